//! Which payloads have a text in them, as a person would write it: capitals and small letters are
//! the same, and so are all the ways in which JSON may write a character. No I/O.

use std::borrow::Cow;

/// A text that is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    /// In small letters.
    text: String,
    pattern: Option<String>,
    /// Whether all that matches the pattern has the text.
    exact: bool,
}

impl Needle {
    /// `None` for a text that everything has.
    pub(crate) fn of(text: &str) -> Option<Needle> {
        let text = text.trim().to_lowercase();
        // one run only: a pattern with several stars takes a server up to 7.0.8 for ever
        let runs = text.split(|c: char| !plain(c));
        let run = runs.max_by_key(|run| run.len()).unwrap_or_default();
        let pattern = (!run.is_empty()).then(|| pattern(run));
        let exact = run == text;
        (!text.is_empty()).then_some(Needle { text, pattern, exact })
    }

    /// A glob that all payloads with the text match, and perhaps others, if there is one.
    pub(crate) fn pattern(&self) -> Option<String> {
        self.pattern.clone()
    }

    /// Whether a payload that matches the pattern has the text.
    pub(crate) fn is_in(&self, raw: &[u8]) -> bool {
        self.exact || unescaped(raw).to_lowercase().contains(&self.text)
    }
}

/// Whether nobody writes it otherwise in JSON. Some write what has a meaning in HTML as an escape,
/// and whatever is not of ASCII.
fn plain(c: char) -> bool {
    (c.is_ascii_graphic() || c == ' ') && !"\"\\/<>&'`+".contains(c)
}

fn pattern(run: &str) -> String {
    let mut pattern = "*".to_owned();
    for c in run.chars() {
        match c {
            'a'..='z' => pattern.extend(['[', c, c.to_ascii_uppercase(), ']']),
            '*' | '?' | '[' | ']' | '^' => pattern.extend(['\\', c]),
            other => pattern.push(other),
        }
    }
    pattern + "*"
}

/// With the characters that are meant in the place of JSON's escapes.
fn unescaped(raw: &[u8]) -> Cow<'_, str> {
    let json = String::from_utf8_lossy(raw);
    if !json.contains('\\') {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = &*json;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (meant, length) = escape(&rest[at..]);
        text.push(meant);
        rest = &rest[at + length..];
    }
    (text + rest).into()
}

/// What the escape at the beginning of a text means, and how long it is.
fn escape(text: &str) -> (char, usize) {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u").and_then(|digits| digits.get(..4));
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    if let Some(first) = unit(text) {
        if let Some(c) = char::from_u32(first) {
            return (c, 6);
        }
        let second = text.get(6..).and_then(unit).filter(|it| (0xDC00..0xE000).contains(it));
        let pair = second.filter(|_| first < 0xDC00);
        let c =
            pair.and_then(|it| char::from_u32(0x10000 + ((first - 0xD800) << 10) + it - 0xDC00));
        return c.map_or((char::REPLACEMENT_CHARACTER, 6), |c| (c, 12));
    }
    match text[1..].chars().next() {
        Some('n') => ('\n', 2),
        Some('t') => ('\t', 2),
        Some('r') => ('\r', 2),
        Some(other) => (other, 1 + other.len_utf8()),
        None => ('\\', 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_narrow_and_nothing_else() {
        let pattern = |text: &str| Needle::of(text).unwrap().pattern();
        assert_eq!(pattern("Ab 1").as_deref(), Some("*[aA][bB] 1*"));
        assert_eq!(pattern("[x]?*^").as_deref(), Some(r"*\[[xX]\]\?\*\^*"));
        assert_eq!(pattern(r#"a"bcd\é"#).as_deref(), Some("*[bB][cC][dD]*"));
        assert_eq!(pattern("é"), None);
        assert!(Needle::of(" ").is_none());
    }

    #[test]
    fn a_text_is_found_however_json_writes_it() {
        let is_in = |text: &str, raw: &str| Needle::of(text).unwrap().is_in(raw.as_bytes());
        for raw in ["{\"a\":\"Café <b>\"}", r#"{"a":"Caf\u00e9 \u003cb\u003e"}"#] {
            for text in ["café", "CAFÉ <B>", "é <", r#""a":"caf"#] {
                assert!(is_in(text, raw), "{text} {raw}");
            }
            assert!(!is_in("cafes <", raw));
        }
        assert!(is_in("say \"hi\"\\", r#"{"a":"say \"hi\"\\"}"#));
        assert!(is_in("a/b\nc", r#"["a\/b\nc"]"#));
        assert!(is_in("😀", r#"["\ud83d\ude00"]"#) && !is_in("😀", r#"["\ud83d\u0041"]"#));
    }

    #[test]
    fn no_payload_does_harm() {
        let words = ["\\", "u", "d83d", "de00", "\"", "é", "00e9", "x", "\\u", "\\ud83d"];
        super::super::super::arbitrary::rounds(2_000, |rng| {
            let text = super::super::super::arbitrary::words(rng, &words);
            let _ = unescaped(text.as_bytes());
        });
    }
}
