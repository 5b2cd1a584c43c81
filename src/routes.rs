//! The HTTP side: the sample, health, metrics, and room for endpoints of your own. It enqueues; the
//! worker does the work.

mod body;
mod connection;
mod error;
mod guard;
mod hirefire;
mod local;
mod metrics;
mod operator;
mod panics;
mod sample; // sample
mod server;

use std::sync::Arc;
use std::time::Duration;

// what endpoints are made of, whether one here needs it or not
#[allow(unused_imports)]
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Redirect, Response};
#[allow(unused_imports)]
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::config::Config;
use crate::dashboard::{self, Desk};
use crate::engine::Lifecycle;
use crate::trace;
use error::Error;

pub use operator::Login;
pub(crate) use panics::caught;
pub(crate) use server::answer;
pub use server::{GRACE, listen, serve};

/// How long the first requests wait for the first connection to Redis.
const CONNECTING: Duration = Duration::from_secs(2);

/// What the handlers share.
#[derive(Clone)]
pub struct Web {
    /// The same as the jobs have.
    pub app: App,
    /// Tells open event streams to end.
    pub lifecycle: Lifecycle,
    /// The bearer token of your endpoints, if they are to answer anyone but this machine.
    pub api_token: Option<Arc<str>>,
    /// Who may look at the metrics, if it is not this machine alone.
    pub login: Option<Arc<Login>>,
    /// What the settings say of queues, and Redis does not.
    pub known: Arc<crate::engine::inspect::Known>,
    /// What HireFire sends, if it may ask.
    pub hirefire_token: Option<Arc<str>>,
    /// Until then requests wait for the first attempt to reach Redis.
    connecting: Instant,
}

impl Web {
    /// With these settings.
    pub fn new(config: &Config, app: App, lifecycle: Lifecycle) -> Web {
        let known = crate::jobs::registry(app.clone()).known(&config.queue_limits);
        Web {
            app,
            known: known.into(),
            lifecycle,
            api_token: config.api_token.as_deref().map(Into::into),
            login: config.login.clone().map(Into::into),
            hirefire_token: config.hirefire_token.as_deref().map(Into::into),
            connecting: Instant::now() + CONNECTING,
        }
    }

    fn desk(&self) -> Desk {
        Desk::new(self.app.redis.clone(), self.known.clone())
    }
}

/// Everything `web` answers.
pub fn router(web: Web) -> Router {
    let endpoints = Router::new()
        .merge(sample::endpoints()) // sample
        .layer(from_fn_with_state(web.clone(), guard::guard));
    let operators = Router::new()
        .route("/metrics", get(metrics::metrics))
        .merge(dashboard::router(web.desk()))
        .route_layer(from_fn_with_state(web.clone(), operator::guard));
    let with_redis = Router::new()
        .route("/ready", get(ready))
        .route("/hirefire", get(hirefire::by_header))
        .route("/hirefire/{token}/info", get(hirefire::by_path))
        .merge(endpoints)
        .merge(operators)
        .route_layer(from_fn_with_state(web.clone(), tried));
    Router::new()
        .merge(sample::page()) // sample
        .route("/health", get(health))
        .merge(with_redis)
        .fallback(nothing)
        .method_not_allowed_fallback(async || Error::method())
        .layer(from_fn(caught))
        .layer(map_response(harden))
        .layer(from_fn(trace::request))
        .with_state(web)
}

async fn nothing(uri: Uri) -> Response {
    match uri.path() {
        // an app without a page of its own
        "/" => Redirect::temporary("/dashboard").into_response(),
        _ => Error::not_found("there is nothing here").into_response(),
    }
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

/// A request that came before the first attempt to reach Redis is over would be refused for nothing,
/// and a platform sends those that it held during the boot as soon as the port is open.
async fn tried(State(web): State<Web>, request: Request, next: Next) -> Response {
    let _ = timeout_at(web.connecting, web.app.redis.tried()).await;
    next.run(request).await
}

/// Headers every answer gets; the page brings a policy of its own.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // not `no-referrer`: without it a form of our own pages has the origin `null`, which over plain
    // HTTP is all that a browser says of where it is from
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
