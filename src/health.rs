//! How a worker is, for orchestrators and scrapers, on `WORKER_HEALTH_PORT`: `/live`, `/ready` and
//! `/metrics`.
//!
//! On a thread and a runtime of its own: what is to be told may be that the worker's runtime is
//! stuck. And until the process ends: one that stops is no longer ready, but it lives.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::runtime::{Builder, Handle};
use tokio::time::{sleep, timeout};

use crate::engine::{Lifecycle, Meter, Phase};
use crate::metrics::{CONTENT_TYPE, worker};
use crate::routes;

/// The worker's runtime is asked this often to do nothing.
const TICK: Duration = Duration::from_secs(1);
/// So many ticks without an answer, and it takes no jobs, …
const LATE: u32 = 3;
/// … and so many, and it may be restarted. The worker itself, which can give jobs back before,
/// waits for `STALL_TIMEOUT`.
const STUCK: u32 = 10;

/// The endpoints; without a port there are none.
#[derive(Default)]
pub struct Health {
    thread: Option<(Handle, Seen)>,
}

/// Empty until there is a worker.
type Seen = Arc<OnceLock<Watched>>;

struct Watched {
    lifecycle: Lifecycle,
    meter: Arc<Meter>,
    /// Ticks since its runtime has answered.
    silent: AtomicU32,
}

impl Health {
    /// Listens and answers from now on; not on a thread of a runtime. An error is one line.
    pub fn open(port: Option<u16>) -> Result<Health, String> {
        let Some(port) = port else { return Ok(Health::default()) };
        let failed = |error: std::io::Error| format!("WORKER_HEALTH_PORT: {error}");
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listener = runtime.block_on(routes::listen("WORKER_HEALTH_PORT", port))?;
        let (handle, seen) = (runtime.handle().clone(), Seen::default());
        let router = Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .layer(from_fn(routes::caught))
            .with_state(seen.clone());
        let serve = move || runtime.block_on(routes::answer(listener, router, pending()));
        thread::Builder::new().name("health".to_owned()).spawn(serve).map_err(failed)?;
        Ok(Health { thread: Some((handle, seen)) })
    }

    /// Tells of this worker from now on. Call it on the worker's runtime.
    pub fn watch(&self, lifecycle: &Lifecycle, meter: Arc<Meter>) {
        let Some((handle, seen)) = &self.thread else { return };
        let watched = Watched { lifecycle: lifecycle.clone(), meter, silent: AtomicU32::new(0) };
        if seen.set(watched).is_ok() {
            handle.spawn(ask(seen.clone(), Handle::current()));
        }
    }
}

/// Asks the runtime for a sign of life, again and again. Counted in ticks: a process that was
/// frozen as a whole is not late when it wakes.
async fn ask(seen: Seen, worker: Handle) {
    let Some(watched) = seen.get() else { return };
    loop {
        let mut answer = worker.spawn(async {});
        while timeout(TICK, &mut answer).await.is_err() {
            watched.silent.fetch_add(1, Ordering::Relaxed);
        }
        watched.silent.store(0, Ordering::Relaxed);
        sleep(TICK).await;
    }
}

impl Watched {
    fn silent(&self, limit: u32) -> Result<(), String> {
        match self.silent.load(Ordering::Relaxed) {
            ticks if ticks < limit => Ok(()),
            ticks => Err(format!("the runtime has not answered for {ticks} s: jobs block it")),
        }
    }

    /// Why it takes no jobs, if so.
    fn ready(&self) -> Result<(), String> {
        match self.lifecycle.phase() {
            Phase::Running => {}
            Phase::Quiet => return Err("quiet: it takes no new job".to_owned()),
            Phase::Stopping => return Err("stopping".to_owned()),
        }
        self.silent(LATE)?;
        let pulse = self.lifecycle.pulse();
        match (pulse.registered, pulse.beating, pulse.scheduling) {
            (true, true, true) => Ok(()),
            (false, ..) => Err("waiting for Redis".to_owned()),
            (_, false, _) => Err("no heartbeat comes through to Redis".to_owned()),
            _ => Err("due jobs are not brought to their queues".to_owned()),
        }
    }
}

async fn live(State(seen): State<Seen>) -> Response {
    answer("live", seen.get().map_or(Ok(()), |watched| watched.silent(STUCK)))
}

async fn ready(State(seen): State<Seen>) -> Response {
    let starting = || Err("starting".to_owned());
    answer("ready", seen.get().map_or_else(starting, Watched::ready))
}

fn answer(status: &str, well: Result<(), String>) -> Response {
    match well {
        Ok(()) => Json(json!({ "status": status })).into_response(),
        Err(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": reason }))).into_response()
        }
    }
}

async fn metrics(State(seen): State<Seen>) -> Response {
    let page = seen.get().map_or_else(worker::starting, |watched| {
        let (readings, ready) = (watched.meter.read(), watched.ready().is_ok());
        worker::page(&readings, watched.lifecycle.pulse(), ready)
    });
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page.text()).into_response()
}
