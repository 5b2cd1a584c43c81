//! What we write, Ruby would write just so: `JSON.generate(JSON.parse(bytes)) == bytes`.

use roustabout::engine::{BufferLimits, Buffered, Payload};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ruby::Session;
use crate::support::client;

/// A value with everything that two JSON writers can differ in.
pub fn odd() -> Value {
    let controls: String = (0..=0x20).map(|code| char::from(code as u8)).collect();
    json!({
        "text": ["", "é/\\\"'<>&", "\u{7f}\u{80}\u{9f}\u{a0}\u{ad}", "\u{2028}\u{2029}\u{feff}"],
        "controls": controls,
        "planes": "\u{ffff}\u{10000}\u{1f600}\u{10ffff}👩‍🚀",
        "é\u{2028}\n": {"": null},
        "empty": [[], {}, [[]], [{}], {"a": []}],
        "integers": [0, -1, u64::MAX, i64::MIN],
        "floats": [0.0, -0.0, 1.0, -1.5, 0.1, 1e-4, 1e-5, 1e-7, 123456.789e-10, 1e14, 1e15, 1e16],
        "more": [1e21, 1.25e22, 5e-324, f64::MAX, 1.0 / 3.0, 1700000000.123456, 1e23, 2.5e-8],
        "plain": [true, false, null],
    })
}

#[tokio::test]
async fn what_clients_write() {
    let Some((server, mut ruby)) = Session::begin("api.rb").await else { return };
    let jobs = client(&server);
    let integer: Box<RawValue> = serde_json::from_str("1180591620717411303424").unwrap();
    let payload = Payload::new("Odd\u{2028}", odd()).queue("é").with("x", integer);
    jobs.push(payload.clone().with("tags", ["/"]).with("cattr", odd())).await.unwrap();
    jobs.push(Payload::active_job("Odd", "é", json!([odd()]))).await.unwrap();
    let buffered = Buffered::new(jobs, BufferLimits::default());
    buffered.push(payload.with("at", 5e9)).await.unwrap();
    let scheduled: Vec<String> = server.query("ZRANGE schedule 0 -1").await;
    let mut written: Vec<String> = server.query("LRANGE queue:é 0 -1").await;
    written.extend(scheduled);
    assert_eq!(written.len(), 3);
    let differ: Vec<String> = ruby.call("bytes_differ", json!([written])).await;
    assert_eq!(differ, [""; 0]);
}

/// Millions of them would not show more than these: every exponent, short and long digits.
#[tokio::test]
async fn floats_of_every_size() {
    let Some((_server, mut ruby)) = Session::begin("api.rb").await else { return };
    let mut random = fastrand::Rng::with_seed(7);
    let bits = std::iter::repeat_with(|| f64::from_bits(random.u64(..)));
    let mut floats: Vec<f64> = bits.filter(|float| float.is_finite()).take(2_000).collect();
    for exponent in -30..30 {
        floats.extend([1.0, 1.5, 9.999999999999999, -7.0 / 3.0].map(|n| n * 10f64.powi(exponent)));
    }
    let texts = floats.iter().map(|float| {
        let payload = Payload::new("Floats", json!([float]));
        payload.get::<Box<RawValue>>("args").unwrap().get().to_owned()
    });
    let texts: Vec<String> = texts.collect();
    for (text, float) in texts.iter().zip(&floats) {
        assert_eq!(serde_json::from_str::<[f64; 1]>(text).unwrap(), [*float]);
    }
    let differ: Vec<String> = ruby.call("bytes_differ", json!([texts])).await;
    assert_eq!(differ, [""; 0]);
}
