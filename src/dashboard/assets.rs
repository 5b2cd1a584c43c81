//! The style and the script, as files of their own so that the page's policy can forbid all else.

use std::sync::LazyLock;

use axum::http::{HeaderName, Uri, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What a page may load and do: its own style, its own script, requests to where it is from.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Where a page finds them: the address changes with the content, so a browser may keep them.
pub(super) static ADDRESSES: LazyLock<[String; 2]> = LazyLock::new(|| {
    [("style.css", STYLE), ("script.js", SCRIPT)].map(|(name, content)| {
        let digest = digest::digest(&digest::SHA256, content.as_bytes());
        let version = BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..9]);
        format!("/dashboard/{name}?{version}")
    })
});

pub(super) async fn style(uri: Uri) -> impl IntoResponse {
    (headers("text/css; charset=utf-8", &uri), STYLE)
}

pub(super) async fn script(uri: Uri) -> impl IntoResponse {
    (headers("text/javascript; charset=utf-8", &uri), SCRIPT)
}

/// While two releases run, a page of the one may ask the other: what it gets there is not to be kept
/// under its address.
fn headers(kind: &'static str, uri: &Uri) -> [(HeaderName, &'static str); 2] {
    let asked = uri.path_and_query().map(|asked| asked.as_str());
    let kept = match ADDRESSES.iter().any(|known| Some(known.as_str()) == asked) {
        true => "private, max-age=31536000, immutable",
        false => "no-store",
    };
    [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_becomes_html() {
        for elsewhere in ["http://", "https://", "@import", "url("] {
            assert!(!STYLE.contains(elsewhere) && !SCRIPT.contains(elsewhere), "{elsewhere}");
        }
        for into_html in
            ["innerHTML", "outerHTML =", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!SCRIPT.contains(into_html), "{into_html}");
        }
    }
}
