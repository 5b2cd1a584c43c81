//! What a page says when there is nothing to show.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use redis::RedisError;

use super::page;
use crate::engine::{code, is_full, is_unavailable};

/// Why not.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Redis is away or does not answer; with the reason.
    Away(String),
    /// Redis is there and takes too long.
    Late,
    /// There is no such page, or it is not there any more.
    Nowhere(String),
    /// The form is not one of ours.
    Bad(String),
    /// The form is larger than any of ours.
    Large,
}

pub(super) async fn nowhere() -> Trouble {
    Trouble::no_page()
}

impl Trouble {
    pub(super) fn no_page() -> Trouble {
        Trouble::Nowhere("There is no such page.".to_owned())
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Trouble {
        tracing::warn!("dashboard: {error}");
        Trouble::Away("It did not answer as it should; the log says more.".to_owned())
    }
}

/// In words for whoever clicked, why Redis did not do it.
pub(super) fn refused(error: &RedisError) -> String {
    match code(error).as_deref() {
        _ if is_full(error) => "Redis is full and refuses to write: nothing was changed. Free memory or take a larger plan.".to_owned(),
        Some(code @ "READONLY") => lacking(code),
        Some(code) => format!("Redis refused it ({code})."),
        None if is_unavailable(error) => lacking(&error.to_string()),
        None => "Redis did not answer: it may be done or not. Look before you try again.".to_owned(),
    }
}

/// The same where there is no server to ask, for this reason.
pub(super) fn lacking(why: &str) -> String {
    match why.contains("READONLY") {
        true => "Redis is a read-only replica: nothing was changed.".to_owned(),
        false => "Redis is not there: nothing was changed.".to_owned(),
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Trouble::Away(why) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Redis cannot be used now", why)
            }
            Trouble::Late => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Redis is late",
                "It did not answer in time.".to_owned(),
            ),
            Trouble::Nowhere(what) => (StatusCode::NOT_FOUND, "Not here", what),
            Trouble::Bad(what) => (StatusCode::BAD_REQUEST, "Not understood", what),
            Trouble::Large => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Too much",
                "So many jobs cannot be ticked at once.".to_owned(),
            ),
        };
        let away = status == StatusCode::SERVICE_UNAVAILABLE;
        let mut response = page::bare(title, away, html! { p .empty { (text) } });
        *response.status_mut() = status;
        if away {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
