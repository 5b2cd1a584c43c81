//! What became of a click: told on the page that the browser is sent to next, and only there. It
//! travels in a cookie, which no link from elsewhere can set.

use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const COOKIE: &str = "roustabout_told";
/// Browsers keep 4 KiB, coded.
const LONGEST: usize = 800;

/// A sentence or two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) good: bool,
    pub(super) text: String,
}

impl Told {
    pub(super) fn good(text: impl Into<String>) -> Told {
        Told { good: true, text: text.into() }
    }

    pub(super) fn bad(text: impl Into<String>) -> Told {
        Told { good: false, text: text.into() }
    }

    /// Sends the browser back to the page that the form is on.
    pub(super) fn at(self, page: &Uri) -> Response {
        let text: String = self.text.chars().take(LONGEST).collect();
        let coded = utf8_percent_encode(&text, NON_ALPHANUMERIC);
        let mood = if self.good { "good" } else { "bad" };
        let cookie = format!(
            "{COOKIE}={mood}.{coded}; Path=/dashboard; Max-Age=60; HttpOnly; SameSite=Strict"
        );
        let to = page.path_and_query().map_or("/dashboard", |page| page.as_str());
        let headers = [(header::LOCATION, to.to_owned()), (header::SET_COOKIE, cookie)];
        (StatusCode::SEE_OTHER, headers).into_response()
    }

    /// What the browser brings along with a page that somebody opens; not when a script, perhaps in
    /// another window, fetches one.
    pub(super) fn read(headers: &HeaderMap) -> Option<Told> {
        if headers.get("sec-fetch-dest").is_some_and(|what| what != "document") {
            return None;
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        let mut cookies = cookies.flat_map(|cookies| cookies.split(';'));
        let value = cookies.find_map(|it| it.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
        let (mood, coded) = value.split_once('.')?;
        let text = percent_decode_str(coded).decode_utf8().ok()?.into_owned();
        Some(Told { good: mood == "good", text })
    }

    /// The cookie goes with the page that shows it.
    pub(super) fn forget(headers: &mut HeaderMap) {
        let gone = HeaderValue::from_static("roustabout_told=; Path=/dashboard; Max-Age=0");
        headers.insert(header::SET_COOKIE, gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was() {
        let told = Told::bad("3 of 5; \"quoted\"\r\nSet-Cookie: ü=<b>");
        let response = told.clone().at(&Uri::from_static("/dashboard/dead?page=2"));
        assert_eq!(response.headers()[header::LOCATION], "/dashboard/dead?page=2");
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        let mut headers = HeaderMap::new();
        let pair = cookie.split(';').next().unwrap();
        headers.insert(header::COOKIE, format!("a=b; {pair}").parse().unwrap());
        assert_eq!(Told::read(&headers), Some(told));
        headers.insert("sec-fetch-dest", "document".parse().unwrap());
        assert!(Told::read(&headers).is_some());
        headers.insert("sec-fetch-dest", "empty".parse().unwrap());
        assert_eq!(Told::read(&headers), None);
        headers.remove("sec-fetch-dest");
        headers.insert(header::COOKIE, "roustabout_told=%ff".parse().unwrap());
        assert_eq!(Told::read(&headers), None);
    }
}
