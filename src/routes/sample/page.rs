//! `GET /`: one file with everything in it.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

const PAGE: &str = include_str!("page.html");

/// Nothing from elsewhere, nothing inline but what is in the file: a script that got into the page
/// by way of somebody's CSV would not run.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (script, style) = (hash("script"), hash("style"));
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; \
         img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

pub(super) async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, POLICY.as_str())], Html(PAGE))
}

/// The hash by which a browser recognises the one inline element of this name.
fn hash(element: &str) -> String {
    let inside = PAGE
        .split_once(&format!("<{element}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{element}>")));
    let inside = inside.map(|(inside, _)| inside).unwrap_or_default();
    format!("'sha256-{}'", STANDARD.encode(digest::digest(&digest::SHA256, inside.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_one_style_and_nothing_from_elsewhere() {
        for element in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
            assert_eq!(PAGE.matches(&format!("<{element}>")).count(), 1, "{element}");
        }
        let into_html = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"];
        let elsewhere = [" src=", "http://", "https://", "@import", "url("];
        // The policy would block these, silently.
        let inline = [" style=", " onclick=", "javascript:"];
        for forbidden in into_html.iter().chain(&elsewhere).chain(&inline) {
            assert!(!PAGE.contains(*forbidden), "{forbidden}");
        }
    }
}
