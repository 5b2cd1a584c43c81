//! A list in pages: where one is, and the addresses of the others.

use axum::http::Uri;
use maud::{Markup, html};
use url::form_urlencoded;

use super::fields::Fields;
use super::words::count;

/// Rows of a page.
pub(super) const PAGE: usize = 50;

/// The place of the first row, as the address says.
pub(super) fn sought(query: &Fields) -> usize {
    query.get("from").parse().unwrap_or(0)
}

/// This page with other settings; an empty one is left out.
pub(super) fn link(uri: &Uri, settings: &[(&str, &str)]) -> String {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let kept = query.filter(|(name, _)| settings.iter().all(|(other, _)| name != other));
    let new = settings.iter().filter(|(_, value)| !value.is_empty());
    let mut coded = form_urlencoded::Serializer::new(String::new());
    coded.extend_pairs(kept).extend_pairs(new);
    format!("{}?{}", uri.path(), coded.finish())
}

/// Which rows these are, and the way to the others: the next ones begin after those that are shown,
/// which may be fewer than a page has.
pub(super) fn pages(uri: &Uri, from: usize, shown: usize, total: usize) -> Markup {
    let to = |from: usize| link(uri, &[("from", &from.to_string())]);
    let last = total.saturating_sub(1) / PAGE * PAGE;
    let next = from.saturating_add(if shown > 0 { shown } else { PAGE });
    html! {
        @if next < total || from > 0 {
            nav .pages aria-label="Pages of the list" {
                @if from > 0 {
                    a href=(link(uri, &[("from", "")])) { "first" }
                    a rel="prev" href=(to(from.saturating_sub(PAGE).min(last))) { "previous" }
                }
                span .faint { @if from >= total { "of " (count(total as u64)) } @else {
                    (count((from + 1) as u64)) " to " (count(next.min(total) as u64)) " of " (count(total as u64))
                } }
                @if next < total {
                    a rel="next" href=(to(next)) { "next" }
                    a href=(to(last.max(next))) { "last" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_searched_is_kept() {
        let uri = Uri::from_static("/dashboard/dead?search=a%26b&from=100&sort=class");
        assert_eq!(
            link(&uri, &[("from", "150")]),
            "/dashboard/dead?search=a%26b&sort=class&from=150"
        );
        assert_eq!(link(&uri, &[("from", "")]), "/dashboard/dead?search=a%26b&sort=class");
        let shown = pages(&uri, 100, 50, 100_000).into_string();
        for part in ["101 to 150 of 100,000", "from=50\"", "from=150\"", "from=99950\""] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let short = pages(&uri, 0, 4, 50).into_string();
        assert!(short.contains("1 to 4 of 50") && short.contains("from=4\""), "{short}");
        assert_eq!(pages(&uri, 0, 50, 50).into_string(), "");
        assert!(
            pages(&uri, 500, 0, 10).into_string().contains("<span class=\"faint\">of 10</span>")
        );
    }
}
