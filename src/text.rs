//! Text for people.

use std::time::Duration;

use chrono::DateTime;

/// No name that is shown is longer: whoever can push a job chose it.
const LONGEST: usize = 100;

/// A name from a stranger as a terminal, a log or a chat may show it: nothing in it moves the
/// cursor, changes the direction of writing or fills the page.
pub fn plain(name: &str) -> String {
    let shown = name.chars().take(LONGEST).flat_map(|c| match c {
        '"' | '\'' => Vec::from([c]),
        c => c.escape_debug().collect(),
    });
    let rest = if name.chars().nth(LONGEST).is_some() { "…" } else { "" };
    shown.collect::<String>() + rest
}

/// `1h 30m`, in whole seconds.
pub fn lasting(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// About so long: `3d 4h`, `12m 5s`, in a table.
pub fn about(seconds: f64) -> String {
    let mut rest = seconds.max(0.0) as u64;
    let mut words = Vec::new();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
        if rest >= unit && words.len() < 2 {
            words.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    if words.is_empty() { "0s".to_owned() } else { words.join(" ") }
}

/// A point in time, from epoch seconds.
pub fn at(seconds: f64) -> String {
    let time = DateTime::from_timestamp(seconds as i64, 0);
    time.map_or_else(|| "?".to_owned(), |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// `30m`, `1h30m` or bare seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs).ok();
    let length = seconds.or_else(|| humantime::parse_duration(text).ok());
    let accepted =
        || "accepts a time above zero: 30m, 90s, 1h30m, or a number of seconds".to_owned();
    length.filter(|length| !length.is_zero()).ok_or_else(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_acts() {
        assert_eq!(plain("Report::Weekly \"a\" ü"), "Report::Weekly \"a\" ü");
        assert_eq!(plain("a\u{1b}[2J\r\n\u{202e}"), "a\\u{1b}[2J\\r\\n\\u{202e}");
        assert_eq!(plain(&"x".repeat(101)), format!("{}…", "x".repeat(100)));
    }

    #[test]
    fn times_as_people_write_them() {
        for (text, seconds) in [("30m", 1_800), ("90s", 90), ("1h30m", 5_400), ("45", 45)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0", "0m", "-1", "soon", "1h30", "99999999999999999999"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(lasting(5_402), "1h 30m 2s");
        for (seconds, text) in [
            (-1.0, "0s"),
            (59.9, "59s"),
            (5_402.0, "1h 30m"),
            (3_605.0, "1h 5s"),
            (1e8, "1157d 9h"),
        ] {
            assert_eq!(about(seconds), text);
        }
        assert_eq!(at(1_700_000_000.5), "2023-11-14 22:13:20Z");
        assert_eq!((at(f64::INFINITY), about(f64::INFINITY).is_empty()), ("?".into(), false));
    }
}
