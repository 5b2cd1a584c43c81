//! Made-up input for tests: payloads as strangers may send them, and noise. Each round has a seed
//! of its own, which is printed if the round fails; `SEED=… cargo test` repeats it.

use fastrand::Rng;

/// Calls it often, with another seed each time.
pub(crate) fn rounds(count: usize, check: impl Fn(&mut Rng)) {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for _ in 0..if given.is_some() { 1 } else { count } {
        let round = Round(given.unwrap_or_else(|| fastrand::u64(..)));
        check(&mut Rng::with_seed(round.0));
    }
}

struct Round(u64);

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat this round: SEED={}", self.0);
        }
    }
}

const NUMBERS: [&str; 19] = [
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1.50",
    "1e400",
    "-1E+2",
    "1e-7",
    "25",
    "24.0",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "1180591620717411303424",
    "1700000000.5",
    "1700000000000",
    "123456789012345678901234567890",
    "0.1e1",
];
const TEXTS: [&str; 17] = [
    "",
    "a",
    "default",
    "A::B",
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude00",
    "\\n\\r\\t\\b\\f",
    "\\\"",
    "\\\\",
    "\\/",
    "é",
    "😀",
    "\u{7f}",
    "{}[],:",
    "\u{2028}",
    "\\u001b[31m",
];
const FIELDS: [&str; 19] = [
    "class",
    "args",
    "jid",
    "queue",
    "retry",
    "retry_count",
    "retry_for",
    "retry_queue",
    "dead",
    "failed_at",
    "retried_at",
    "error_message",
    "error_class",
    "enqueued_at",
    "created_at",
    "at",
    "cattr",
    "bid",
    "cl\\u0061ss",
];

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

fn blank(rng: &mut Rng) -> &'static str {
    pick(rng, &["", "", "", "", " ", "\n", "\t\r"])
}

fn text(rng: &mut Rng) -> String {
    let parts: Vec<&str> = (0..rng.usize(..4)).map(|_| pick(rng, &TEXTS)).collect();
    format!("\"{}\"", parts.concat())
}

fn list(rng: &mut Rng, ends: [&str; 2], item: impl Fn(&mut Rng) -> String) -> String {
    let items = (0..rng.usize(..5)).map(|_| {
        let (before, item, after) = (blank(rng), item(rng), blank(rng));
        format!("{before}{item}{after}")
    });
    let items: Vec<String> = items.collect();
    format!("{}{}{}", ends[0], items.join(","), ends[1])
}

/// Any valid JSON value.
pub(crate) fn json(rng: &mut Rng, depth: usize) -> String {
    match rng.u32(..if depth == 0 { 5 } else { 8 }) {
        0 => pick(rng, &["true", "false", "null"]).to_owned(),
        1 | 2 => pick(rng, &NUMBERS).to_owned(),
        3 | 4 => text(rng),
        5 => list(rng, ["{", "}"], |rng| format!("{}:{}", text(rng), json(rng, depth - 1))),
        6 => list(rng, ["[", "]"], |rng| json(rng, depth - 1)),
        _ => {
            let levels = rng.usize(..130);
            "[".repeat(levels) + &json(rng, 0) + &"]".repeat(levels)
        }
    }
}

/// An object with the fields of a job, of any type and in any order, some twice, and others. (A
/// name with half a surrogate makes it no payload.)
pub(crate) fn payload(rng: &mut Rng) -> String {
    let fields = (0..rng.usize(..14)).map(|_| {
        let name = match rng.u32(..4) {
            0 => text(rng),
            _ => format!("\"{}\"", pick(rng, &FIELDS)),
        };
        let value = match rng.bool() {
            true => pick(rng, &["\"A\"", "[]", "[{}]", "true", "false", "3", "\"x\""]).to_owned(),
            false => json(rng, 3),
        };
        format!("{}{name}{}:{}{value}{}", blank(rng), blank(rng), blank(rng), blank(rng))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// Any bytes, often close to a payload.
pub(crate) fn bytes(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = match rng.u32(..3) {
        0 => json(rng, 3).into_bytes(),
        1 => payload(rng).into_bytes(),
        _ => (0..rng.usize(..40)).map(|_| rng.u8(..)).collect(),
    };
    for _ in 0..rng.usize(..3) {
        let at = rng.usize(..=bytes.len());
        match rng.u32(..3) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.u8(..)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.u8(..)),
        }
    }
    bytes
}

/// Any text, often made of the words given.
pub(crate) fn words(rng: &mut Rng, words: &[&str]) -> String {
    let parts = (0..rng.usize(..8)).map(|_| match rng.u32(..5) {
        0 => String::from_utf8_lossy(&bytes(rng)).into_owned(),
        1 => pick(rng, &NUMBERS).to_owned(),
        _ => pick(rng, words).to_owned(),
    });
    parts.collect()
}
