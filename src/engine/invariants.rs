//! What must hold for any bytes that a stranger pushes. The tests feed it made-up payloads, the
//! fuzzer (`fuzz/`) whatever it comes upon; neither is part of a normal build.

use super::field::split_name;
use super::head::Head;
use super::jid::known_as;
use super::payload::Payload;
use super::retry::{BAD_ARGUMENTS, BAD_JSON, ERROR, Failure, Fate, Moment, Retry};
use super::retry::{Rule, UNKNOWN_CLASS, buried, failed, last_chance};

const NOW: f64 = 1_700_000_000.0;
/// What a failure writes.
const WRITTEN: [&str; 9] = [
    "jid",
    "retry",
    "queue",
    "error_message",
    "error_class",
    "error_backtrace",
    "failed_at",
    "retried_at",
    "retry_count",
];

/// A payload is read and written back without loss, also by way of the retry set; anything else
/// ends up in the dead set as it is.
pub fn payload(bytes: &[u8]) {
    let head = Head::parse(bytes);
    let Ok(payload) = Payload::parse(bytes) else {
        assert!(head.is_err(), "run, but never retried");
        let dead = Fate::Dead { payload: Some(bytes.to_vec()), will: None };
        assert_eq!(failed(bytes, "q", None, &Failure::new(BAD_JSON, ""), &moment()), dead);
        return assert_eq!(buried(bytes, "q", &Failure::new(BAD_JSON, ""), NOW), bytes);
    };
    let head = head.expect("retried, but never run");
    assert!(!known_as(bytes, head.jid.as_deref()).is_empty());
    let encoded = payload.to_bytes();
    let again = Payload::parse(&encoded).expect("what we write we can read");
    assert_eq!(again.to_bytes(), encoded);
    for rule in [Retry::Default, Retry::Times(0), Retry::Never] {
        last_chance(&head, rule, NOW);
        survives(bytes, Some(rule), ERROR);
    }
    for class in [UNKNOWN_CLASS, BAD_ARGUMENTS, BAD_JSON] {
        survives(bytes, None, class);
    }
}

fn moment() -> Moment {
    Moment { now: NOW, dice: 0.5 }
}

/// Fails twice; what no failure writes is the same afterwards, and in the same order.
fn survives(bytes: &[u8], rule: Option<Retry>, class: &'static str) {
    let failure = Failure::new(class, "boom \u{0} \u{1b}");
    let mut before = bytes.to_vec();
    for _ in 0..2 {
        let after = match failed(&before, "q", rule.map(Rule::from), &failure, &moment()) {
            Fate::Retry { at, payload } => {
                assert!(at.is_finite() && at > NOW);
                payload
            }
            Fate::Dead { payload: Some(payload), .. } => payload,
            other => return assert_eq!(other, Fate::Dead { payload: None, will: None }),
        };
        assert_eq!(untouched(&after), untouched(&before));
        let head = Head::parse(&after).expect("it can be run again");
        assert!(head.jid.is_some() && head.failures() > 0);
        before = after;
    }
}

fn untouched(bytes: &[u8]) -> Vec<(String, String)> {
    let payload = Payload::parse(bytes).expect("a payload");
    let fields = payload.fields.iter().map(|(name, raw)| (name.to_string(), raw.clone()));
    fields.filter(|(name, _)| !WRITTEN.contains(&name.as_str())).collect()
}

/// The name of a field of the in-flight hash comes apart into what it was made of, or not at all.
pub fn record(bytes: &[u8]) {
    if let Ok(name) = std::str::from_utf8(bytes)
        && let Some((field, queue)) = split_name(name)
    {
        assert!(name.ends_with(queue));
        assert_eq!(split_name(&format!("{field}:{queue}")), Some((field, queue)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;

    #[test]
    fn payloads_survive() {
        arbitrary::rounds(1_500, |rng| payload(arbitrary::payload(rng).as_bytes()));
    }

    #[test]
    fn noise_does_no_harm() {
        arbitrary::rounds(1_500, |rng| {
            let bytes = arbitrary::bytes(rng);
            payload(&bytes);
            record(&bytes);
            record(&[format!("{}:{}:", rng.u8(..), rng.u8(..)).as_bytes(), &bytes].concat());
        });
    }
}
