//! Reading an uploaded file out of a request, whichever way it was sent.

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};

use crate::routes::body::{TIME, read};
use crate::routes::error::Error;

/// The largest file.
const LIMIT: usize = 5 * 1024 * 1024;

/// What multipart may add around it: boundaries, part headers, other fields.
const ENVELOPE: usize = 64 * 1024;

enum Kind {
    Csv,
    Multipart,
}

/// The file in a request.
pub(super) async fn file(request: Request) -> Result<Vec<u8>, Error> {
    let kind = kind(request.headers());
    let (parts, body) = request.into_parts();
    let limit = LIMIT + if matches!(kind, Some(Kind::Multipart)) { ENVELOPE } else { 0 };
    if too_large_and_waiting(&parts.headers, limit) {
        return Err(Error::too_large(LIMIT));
    }
    let read = tokio::time::timeout(TIME, read(body, limit)).await;
    let bytes = read.map_err(|_| slow())?;
    match kind {
        None => Err(unsupported()),
        Some(Kind::Csv) => bytes,
        Some(Kind::Multipart) => from_multipart(Request::from_parts(parts, bytes?.into())).await,
    }
}

fn kind(headers: &HeaderMap) -> Option<Kind> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    match essence {
        _ if essence.eq_ignore_ascii_case("text/csv") => Some(Kind::Csv),
        _ if essence.eq_ignore_ascii_case("multipart/form-data") => Some(Kind::Multipart),
        _ => None,
    }
}

/// A client that asks before it sends (`Expect: 100-continue`) can be told at once.
fn too_large_and_waiting(headers: &HeaderMap, limit: usize) -> bool {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    headers.contains_key(header::EXPECT) && length.is_some_and(|length: usize| length > limit)
}

async fn from_multipart(request: Request) -> Result<Vec<u8>, Error> {
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|_| Error::bad("multipart/form-data without a boundary"))?;
    while let Some(field) = form.next_field().await.map_err(|_| broken())? {
        if field.name() == Some("file") {
            let file = field.bytes().await.map_err(|_| broken())?;
            return if file.len() > LIMIT { Err(Error::too_large(LIMIT)) } else { Ok(file.into()) };
        }
    }
    Err(Error::bad("the form has no field named file"))
}

fn slow() -> Error {
    Error::new(StatusCode::REQUEST_TIMEOUT, "the upload took too long")
}

fn unsupported() -> Error {
    let reason = "send the file as text/csv, or as the field `file` of multipart/form-data";
    Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason)
}

fn broken() -> Error {
    Error::bad("the multipart form is broken")
}
