//! What HireFire asks to decide how many workers there shall be: for how long the oldest job has
//! waited, in whole seconds. Judoscale and others that can be told an address read it as well.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use super::Web;
use super::error::Error;
use crate::engine::inspect::{self, Figures};
use crate::metrics::fleet::PATIENCE;

const RESOURCE: HeaderName = HeaderName::from_static("hirefire-resource");

/// With the token in the address, …
pub(super) async fn by_path(
    State(web): State<Web>,
    token: Result<Path<String>, PathRejection>,
) -> Result<Response, Error> {
    let token = token.map(|Path(token)| token).unwrap_or_default();
    answer(&web, token.as_bytes()).await
}

/// … and in a header, which no router logs.
pub(super) async fn by_header(
    State(web): State<Web>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let token = headers.get("hirefire-token").map_or(&b""[..], HeaderValue::as_bytes);
    answer(&web, token).await
}

/// Without Redis nobody knows, and that is no 0, which would mean that no worker is needed.
async fn answer(web: &Web, token: &[u8]) -> Result<Response, Error> {
    let known = web.hirefire_token.as_ref();
    if !known.is_some_and(|known| known.as_bytes().ct_eq(token).into()) {
        return Err(Error::not_found("there is nothing here"));
    }
    web.app.redis.status().map_err(Error::unavailable)?;
    let figures = timeout(PATIENCE, inspect::figures(&web.app.redis, &web.known)).await;
    let figures = figures.map_err(|_| Error::later("Redis did not answer in time"))??;
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("must-revalidate, private, max-age=0")),
        (RESOURCE, HeaderValue::from_static(concat!("Rust-", env!("CARGO_PKG_VERSION")))),
    ];
    let worker = json!([{ "name": "worker", "value": seconds(&figures) }]);
    Ok((headers, Json(worker)).into_response())
}

/// Over all queues, and the jobs that are due and were not moved. What waits in a paused queue
/// waits for a person: no further worker would help. As long as anything waits or runs it is 1 at
/// least, because 0 is where the last worker is taken away.
fn seconds(figures: &Figures) -> u64 {
    let queues = &figures.queues;
    let served = || queues.all.iter().filter(|queue| !queue.paused && queue.size > 0);
    let oldest = served().map(|queue| queue.latency.unwrap_or(0.0));
    let overdue = [figures.retry.overdue, figures.scheduled.overdue];
    let longest = oldest.chain(overdue).fold(0.0, f64::max);
    let busy = queues.processes.all.iter().any(|process| process.busy > 0);
    let work = served().next().is_some() || busy || longest > 0.0;
    (longest as u64).max(u64::from(work))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::inspect::{Process, Processes, Queue, Queues, Timed};

    #[test]
    fn the_oldest_job_that_a_worker_could_take_counts() {
        let queue = |size, latency: f64, paused| Queue {
            size,
            latency: Some(latency),
            paused,
            ..Queue::default()
        };
        let figures = |busy, overdue| Figures {
            retry: Timed { jobs: 1, overdue },
            queues: Queues {
                processes: Processes {
                    all: vec![Process { busy, ..Process::default() }],
                    ..Processes::default()
                },
                ..Queues::default()
            },
            ..Figures::default()
        };
        let (idle, waits, paused) =
            (queue(0, 0.0, false), queue(3, 65.7, false), queue(9, 1e6, true));
        let fresh = queue(1, 0.2, false);
        for (queues, mut figures, value) in [
            (vec![], figures(0, 0.0), 0),
            (vec![idle.clone()], figures(0, 0.0), 0),
            (vec![idle.clone(), waits.clone(), paused.clone()], figures(0, 0.0), 65),
            (vec![paused], figures(0, 0.0), 0),
            (vec![fresh], figures(0, 0.0), 1),
            (vec![idle.clone()], figures(2, 0.0), 1),
            (vec![waits], figures(2, 90.0), 90),
            (vec![idle], figures(0, 0.4), 1),
        ] {
            figures.queues.all = queues;
            assert_eq!(seconds(&figures), value, "{figures:?}");
        }
    }
}
