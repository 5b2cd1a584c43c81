//! What Prometheus reads of all processes.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::Web;
use crate::metrics::{CONTENT_TYPE, fleet};

/// 200 whatever Redis does: that it is away is one of the metrics.
pub(super) async fn metrics(State(web): State<Web>) -> impl IntoResponse {
    let page = fleet::page(&web.app.redis, &web.known).await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page.text())
}
