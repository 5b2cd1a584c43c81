//! Reading the bodies of requests.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt;

use super::error::Error;

/// How much of a body that is too large is read, and thrown away, before the refusal: a client that
/// is still sending would see a broken connection instead of the answer.
const PATIENCE: usize = 64 * 1024 * 1024;

/// How long a body may take.
pub(super) const TIME: Duration = Duration::from_secs(60);

/// Reads what comes with a request that is refused: see [`PATIENCE`].
pub(super) async fn discard(request: Request) {
    if !request.headers().contains_key(header::EXPECT) {
        let _ = tokio::time::timeout(TIME, read(request.into_body(), 0)).await;
    }
}

/// The whole body, with or without a declared length.
pub(super) async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Error> {
    let (mut chunks, mut bytes, mut seen) = (body.into_data_stream(), Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::bad("the request ended before its body did"))?;
        seen += chunk.len();
        match seen {
            _ if seen <= limit => bytes.extend_from_slice(&chunk),
            _ if seen > PATIENCE => break,
            _ => bytes = Vec::new(),
        }
    }
    if seen > limit { Err(Error::too_large(limit)) } else { Ok(bytes) }
}
