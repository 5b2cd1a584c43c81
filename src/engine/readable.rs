//! Which texts are read as jobs at all, and what is wrong with the others: in words that give away
//! nothing of a payload, because they go to the log.

use serde::de::Error;

/// Ruby's JSON refuses to read what is nested deeper: Sidekiq would lose such a job on its way out
/// of the retry set, so it gets into none.
pub(crate) const DEEPEST: usize = 100;

/// The text, if it looks like an object that every reader of the format takes. These errors are
/// ours, because those of serde quote what they found.
pub(crate) fn readable(bytes: &[u8]) -> Result<&str, serde_json::Error> {
    let text = std::str::from_utf8(bytes).map_err(serde_json::Error::custom)?;
    let wrong = |what| Err(serde_json::Error::custom(what));
    match text {
        _ if !text.trim_ascii_start().starts_with('{') => wrong("no JSON object"),
        _ if deeper_than(text, DEEPEST) => wrong("nested more than 100 deep"),
        _ => Ok(text),
    }
}

/// Whether arrays and objects of a valid JSON text are nested deeper than this.
pub(crate) fn deeper_than(json: &str, limit: usize) -> bool {
    let opens = |byte: u8| byte | b' ' == b'{'; // or [, which differs in this one bit
    // nearly always; counted in bytes, which a processor adds up many at a time
    let opened = |part: &[u8]| part.iter().map(|byte| u8::from(opens(*byte))).sum::<u8>();
    if json.as_bytes().chunks(255).map(|part| usize::from(opened(part))).sum::<usize>() <= limit {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'}' | b']' => depth -= 1,
            _ if opens(byte) => depth += 1,
            _ => {}
        }
        if depth > limit as i64 {
            return true;
        }
    }
    false
}

/// A name as it may stand in a log line: whoever can push can send one of any length.
pub(crate) fn cut(name: &str) -> &str {
    name.char_indices().nth(200).map_or(name, |(end, _)| &name[..end])
}

/// Why arguments do not fit, for the log: what serde expected, without what it found.
pub(crate) fn without_values(message: &str) -> &str {
    match message.rfind(", expected ") {
        Some(at) => &message[at + 2..],
        None if message.starts_with("missing field `") => message,
        None => "they do not fit; the reason is with the job in Redis",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_stay_out_of_the_log() {
        #[derive(serde::Deserialize)]
        struct Args {
            n: u8,
        }
        let told = |args: &str| match serde_json::from_str::<Args>(args) {
            Ok(args) => args.n.to_string(),
            Err(error) => without_values(&error.to_string()).to_owned(),
        };
        assert_eq!(told(r#"{"n":"s3cret, expected x"}"#), "expected u8 at line 1 column 25");
        assert_eq!(told(r#"{"n":7777}"#), "expected u8 at line 1 column 9");
        assert_eq!(told("{}"), "missing field `n` at line 1 column 2");
        assert!(!without_values("no such account: s3cret").contains("s3cret"));
    }

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert!(!deeper_than(&deep(100), 100) && deeper_than(&deep(101), 100));
        assert!(!deeper_than(&format!("[{}]", vec!["{}"; 200].join(",")), 2));
        assert!(!deeper_than(&format!(r#"["{}\\","\"{}"]"#, deep(200), deep(200)), 1));
        assert!(deeper_than(&format!(r#"["\"[",{}]"#, deep(200)), 200));
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_it() {
        let reason = |bytes: &[u8]| readable(bytes).unwrap_err().to_string();
        assert_eq!(reason(b"\"secret\""), "no JSON object");
        assert_eq!(reason(b"{\"secret\xff"), "invalid utf-8 sequence of 1 bytes from index 8");
        let deep = format!("{{\"secret\":{}", "[".repeat(1_000_000));
        assert_eq!(reason(deep.as_bytes()), "nested more than 100 deep");
    }
}
