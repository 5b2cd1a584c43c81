//! Refusals: a status and `{"error": reason}`. The reason is for the person who made the request.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, html};
use redis::{ErrorKind, RedisError, ServerErrorKind};
use serde_json::json;

use crate::engine::{EnqueueError, is_full};

/// What a handler returns instead of an answer.
#[derive(Debug)]
pub(super) struct Error {
    status: StatusCode,
    reason: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Error {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Error {
        Error { status, reason: reason.into(), header: None }
    }

    pub(super) fn bad(reason: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(super) fn unauthorized() -> Error {
        let mut error = Error::new(
            StatusCode::UNAUTHORIZED,
            "Authorization: Bearer with the API_TOKEN is needed",
        );
        error.header = Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        error
    }

    pub(super) fn login() -> Error {
        let mut error = Error::new(
            StatusCode::UNAUTHORIZED,
            "the DASHBOARD_USER and DASHBOARD_PASSWORD are needed",
        );
        let basic = concat!("Basic realm=\"", env!("CARGO_PKG_NAME"), "\", charset=\"UTF-8\"");
        error.header = Some((header::WWW_AUTHENTICATE, HeaderValue::from_static(basic)));
        error
    }

    pub(super) fn forbidden(reason: impl Into<String>) -> Error {
        Error::new(StatusCode::FORBIDDEN, reason)
    }

    pub(super) fn not_found(reason: &str) -> Error {
        Error::new(StatusCode::NOT_FOUND, reason)
    }

    pub(super) fn method() -> Error {
        Error::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here")
    }

    /// More bytes than this.
    pub(super) fn too_large(limit: usize) -> Error {
        let reason = format!("what you send is larger than {} MiB", limit >> 20);
        Error::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    }

    /// Redis cannot take it now.
    pub(super) fn later(reason: impl Into<String>) -> Error {
        let mut error = Error::new(StatusCode::SERVICE_UNAVAILABLE, reason);
        error.header = Some((header::RETRY_AFTER, HeaderValue::from_static("5")));
        error
    }

    /// There is no connection; the engine, which logs that, says why.
    pub(super) fn unavailable(why: String) -> Error {
        Error::later(format!("Redis is not available: {why}"))
    }

    pub(super) fn full() -> Error {
        Error::later("Redis has no memory left for this; nothing was stored")
    }

    /// A defect of ours: the log has it, the answer does not.
    pub(super) fn internal(why: impl std::fmt::Display) -> Error {
        tracing::error!("request failed: {why}");
        Error::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something went wrong here; the log says what",
        )
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Error {
        // A full Redis refuses writes with OOM.
        if is_full(&error) {
            return Error::full();
        }
        tracing::warn!("Redis: {error}");
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) => {
                Error::later("Redis refused the command")
            }
            _ => Error::later("Redis did not answer"),
        }
    }
}

impl From<EnqueueError> for Error {
    fn from(error: EnqueueError) -> Error {
        match error {
            EnqueueError::Unavailable(why) => Error::unavailable(why),
            EnqueueError::Full => Error::full(),
            EnqueueError::Unknown(why) => Error::later(format!(
                "the connection to Redis broke while the job was being enqueued ({why}): it may run \
                 or not"
            )),
            other => Error::internal(other),
        }
    }
}

impl Error {
    /// The same for somebody who sits before a browser.
    pub(super) fn page(self) -> Response {
        let headers: HeaderMap = self.header.into_iter().collect();
        let title = self.status.canonical_reason().unwrap_or_default();
        let page = html! { (DOCTYPE) html lang="en" { head { title { (title) } } body { p { (self.reason) "." } } } };
        (self.status, headers, Html(page.into_string())).into_response()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let headers: HeaderMap = self.header.into_iter().collect();
        (self.status, headers, Json(json!({ "error": self.reason }))).into_response()
    }
}
