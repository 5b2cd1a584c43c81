//! The sample's page and endpoints: a file comes in, a job imports it, and whoever sent it watches.

mod events;
mod file;
mod page;
mod upload;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Web;
use super::error::Error;
use crate::jobs::store::{self, Import, records};

/// `/`, for everybody: what is behind it has a guard.
pub(super) fn page() -> Router<Web> {
    Router::new().route("/", get(page::page))
}

/// What the page talks to.
pub(super) fn endpoints() -> Router<Web> {
    Router::new()
        // The limit is ours, because axum's own answers are not JSON and know no multipart.
        .route("/imports", post(upload::upload).layer(DefaultBodyLimit::disable()))
        .route("/imports/{jid}", get(import))
        .route("/imports/{jid}/events", get(events::events))
        .route("/records", get(list_records))
}

async fn import(
    State(web): State<Web>,
    jid: Result<Path<String>, PathRejection>,
) -> Result<Json<Import>, Error> {
    find(&web, jid).await.map(Json)
}

/// The import a path names.
async fn find(web: &Web, jid: Result<Path<String>, PathRejection>) -> Result<Import, Error> {
    let unknown = || Error::not_found("there is no such import (they are kept for 7 days)");
    let Path(jid) = jid.map_err(|_| unknown())?;
    web.app.redis.status().map_err(Error::unavailable)?;
    store::load_settled(&web.app, &jid).await?.ok_or_else(unknown)
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn list_records(
    State(web): State<Web>,
    query: Result<Query<Limit>, QueryRejection>,
) -> Result<Json<Vec<Box<RawValue>>>, Error> {
    let Query(query) = query.map_err(|_| Error::bad("limit: a whole number"))?;
    web.app.redis.status().map_err(Error::unavailable)?;
    let limit = query.limit.unwrap_or(100).min(1000);
    Ok(Json(records::first(&web.app.redis, limit).await?))
}
