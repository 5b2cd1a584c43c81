//! The HTTP side: the sample app and the health endpoints. It stores and enqueues; the worker does
//! the work.

mod body;
mod error;
mod events;
mod guard;
mod hirefire;
mod local;
mod metrics;
mod operator;
mod page;
mod server;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::app::App;
use crate::config::Config;
use crate::dashboard::{self, Desk};
use crate::engine::Lifecycle;
use crate::engine::inspect::Known;
use crate::jobs;
use crate::jobs::store::{self, Import, records};
use crate::trace;
use error::Error;

pub use operator::Login;
pub use server::{GRACE, listen, serve};

/// What the handlers share.
#[derive(Clone)]
pub struct Web {
    /// The same as the jobs have.
    pub app: App,
    /// Tells open event streams to end.
    pub lifecycle: Lifecycle,
    /// The bearer token of the sample endpoints, if they are to answer anyone but this machine.
    pub api_token: Option<Arc<str>>,
    /// Who may look at the metrics, if it is not this machine alone.
    pub login: Option<Arc<Login>>,
    /// What the settings say of queues, and Redis does not.
    pub known: Arc<Known>,
    /// What HireFire sends, if it may ask.
    pub hirefire_token: Option<Arc<str>>,
}

impl Web {
    /// With these settings.
    pub fn new(config: &Config, app: App, lifecycle: Lifecycle) -> Web {
        let known = jobs::registry(app.clone()).known(&config.queue_limits);
        Web {
            app,
            known: known.into(),
            lifecycle,
            api_token: config.api_token.as_deref().map(Into::into),
            login: config.login.clone().map(Into::into),
            hirefire_token: config.hirefire_token.as_deref().map(Into::into),
        }
    }

    fn desk(&self) -> Desk {
        Desk { redis: self.app.redis.clone(), known: self.known.clone() }
    }
}

/// Everything `web` answers.
pub fn router(web: Web) -> Router {
    let sample = Router::new()
        // The limit is ours, because axum's own answers are not JSON and know no multipart.
        .route("/imports", post(upload::upload).layer(DefaultBodyLimit::disable()))
        .route("/imports/{jid}", get(import))
        .route("/imports/{jid}/events", get(events::events))
        .route("/records", get(list_records))
        .route_layer(from_fn_with_state(web.clone(), guard::guard));
    let operators = Router::new()
        .route("/metrics", get(metrics::metrics))
        .merge(dashboard::router(web.desk()))
        .route_layer(from_fn_with_state(web.clone(), operator::guard));
    Router::new()
        .route("/", get(page::page))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/hirefire", get(hirefire::by_header))
        .route("/hirefire/{token}/info", get(hirefire::by_path))
        .merge(sample)
        .merge(operators)
        .fallback(async || Error::not_found("there is nothing here"))
        .method_not_allowed_fallback(async || Error::method())
        .layer(map_response(harden))
        .layer(from_fn(trace::request))
        .with_state(web)
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

/// Alive, whatever Redis does: a platform that restarts us because Redis is down would only make it
/// worse.
async fn health() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

async fn ready(State(web): State<Web>) -> Result<impl IntoResponse, Error> {
    web.app.redis.status().map_err(Error::unavailable)?;
    // A connection can be open to a server that no longer answers.
    let ping = redis::cmd("PING");
    match tokio::time::timeout(Duration::from_secs(2), web.app.redis.query::<()>(&ping)).await {
        Ok(answer) => answer?,
        Err(_) => return Err(Error::unavailable("no answer within 2 s".into())),
    }
    Ok(Json(json!({ "status": "ready" })))
}

/// Headers every answer gets; the page brings a policy of its own.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
