//! A job in a row of a list: the way to its own page, and its arguments.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::words::{count, name, text};
use crate::engine::inspect::Entry;

/// Letters of the arguments, and of an error, in a row; and when it is opened. A page has fifty of
/// them, and a stranger's may all be such as take six letters each in HTML.
pub(super) const SHORT: usize = 120;
const OPENED: usize = 1_000;

/// The page of something with a stranger's name.
pub(super) fn addressed(what: &str, name: &str) -> String {
    format!("/dashboard/{what}/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// The class, with the way to the job's own page; without an id it has none.
pub(super) fn linked(entry: &Entry) -> Markup {
    html! {
        @if entry.jid == "?" { (name(&entry.class)) }
        @else { a href=(addressed("jobs", &entry.jid)) { (name(&entry.class)) } }
    }
}

/// A stranger's arguments, shortened; opened, more of them.
pub(super) fn arguments(args: Option<&str>, key: &str) -> Markup {
    let args = args.unwrap_or_default();
    let short = text(&args.replace('\n', " "), SHORT);
    html! {
        @if args.chars().nth(SHORT).is_none() {
            code { (short) }
        } @else {
            details data-key=(format!("arguments {key}")) {
                summary { code { (short) } }
                pre { (text(args, OPENED)) }
                @if args.chars().nth(OPENED).is_some() {
                    p .faint { "cut: " (count(args.len() as u64)) " bytes in all; the page of the job has more" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_are_cut_and_say_so() {
        let shown = arguments(Some("[1,\"<script>\"]"), "1").into_string();
        assert_eq!(shown, "<code>[1,&quot;&lt;script&gt;&quot;]</code>");
        let long = format!("[\"{}\"]", "x".repeat(1 << 20));
        let shown = arguments(Some(&long), "a\"b").into_string();
        assert!(shown.len() < 3_000 && shown.contains("cut: 1,048,580 bytes"), "{shown}");
        assert!(shown.contains("data-key=\"arguments a&quot;b\""));
        assert_eq!(addressed("jobs", "a/../b?c"), "/dashboard/jobs/a%2F%2E%2E%2Fb%3Fc");
    }
}
