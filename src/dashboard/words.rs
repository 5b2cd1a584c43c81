//! How numbers, times and strangers' texts are written on a page.

use chrono::DateTime;
use maud::{Markup, html};

use crate::text::{about, at, plain};

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 job`, `2,000 jobs`.
pub(super) fn jobs(number: usize) -> String {
    if number == 1 { "1 job".to_owned() } else { format!("{} jobs", count(number as u64)) }
}

/// `12.5 MiB`.
pub(super) fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (number as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", units[unit])
}

/// `850 ms`, `12.4 s`, `3m 5s`.
pub(super) fn lasting(seconds: f64) -> String {
    match seconds {
        s if s.is_nan() || s <= 0.0 => "0 ms".to_owned(),
        s if s < 0.001 => "<1 ms".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1_000.0),
        s if s < 60.0 => format!("{s:.1} s"),
        s => about(s),
    }
}

/// A hundred years: nobody meant that, and nobody wants to count its days.
const AGES: f64 = 100.0 * 365.0 * 86_400.0;

/// How long ago, or in how long; the moment itself on hovering.
pub(super) fn when(now: f64, time: f64) -> Markup {
    let machine = DateTime::from_timestamp(time as i64, 0).map(|time| time.to_rfc3339());
    let text = match now - time {
        past if past > AGES => "ages ago".to_owned(),
        past if past < -AGES => "in ages".to_owned(),
        past if past >= 1.0 => format!("{} ago", about(past)),
        past if past > -1.0 => "now".to_owned(),
        future => format!("in {}", about(-future)),
    };
    html! { time datetime=[machine] title=(at(time)) { (text) } }
}

/// Names of more letters than this may be broken anywhere.
const WORD: usize = 40;

/// A stranger's name: nothing in it acts, and its direction is its own.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi .long[text.chars().count() > WORD] { (plain(text)) } }
}

/// So much of a stranger's text, lines kept; what could act on the page is shown as an escape.
pub(super) fn text(text: &str, longest: usize) -> String {
    let acts = |c: char| c != '\n' && (c.is_control() || is_format(c));
    let mut shown = String::new();
    for (place, c) in text.chars().enumerate() {
        match c {
            _ if place == longest => {
                shown.push('…');
                break;
            }
            c if acts(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Marks that turn the direction of writing, join or hide.
fn is_format(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, shown) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(count(number), shown);
        }
        assert_eq!((jobs(1), jobs(2_000)), ("1 job".into(), "2,000 jobs".into()));
        for (number, shown) in
            [(0, "0 B"), (1_536, "1.5 KiB"), (25 << 20, "25.0 MiB"), (512 << 20, "512 MiB")]
        {
            assert_eq!(bytes(number), shown);
        }
        for (seconds, shown) in [
            (f64::NAN, "0 ms"),
            (0.0004, "<1 ms"),
            (0.85, "850 ms"),
            (12.44, "12.4 s"),
            (185.0, "3m 5s"),
        ] {
            assert_eq!(lasting(seconds), shown);
        }
    }

    #[test]
    fn times_for_people_and_machines() {
        let shown = |time| when(1_000_000.0, time).into_string();
        assert!(shown(999_815.0).contains(">3m 5s ago<"), "{}", shown(999_815.0));
        assert!(shown(1_000_060.0).contains(">in 1m<"));
        assert!(shown(1_000_000.4).contains(">now<"));
        assert!(shown(0.0).contains("1970-01-01T00:00:00"));
        assert!(shown(f64::INFINITY).contains(">in ages<"));
        assert!(shown(f64::NEG_INFINITY).contains(">ages ago<"));
    }

    #[test]
    fn nothing_in_a_text_acts() {
        assert_eq!(text("a\nb\u{202e}c\u{1b}[2J", 99), "a\nb\\u{202e}c\\u{1b}[2J");
        assert_eq!(text("abcdef", 3), "abc…");
        assert_eq!(name("<b>\u{202e}").into_string(), "<bdi class=\"\">&lt;b&gt;\\u{202e}</bdi>");
    }
}
