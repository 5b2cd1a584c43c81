//! `POST /imports`: all of it or nothing. What is wrong with the file as a whole is said here, not
//! by the job.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::file::file;
use crate::csv_file;
use crate::engine::{EnqueueError, Payload, Redis};
use crate::jobs::ImportCsv;
use crate::jobs::store::body;
use crate::routes::{Web, error::Error};
use crate::webhooks;

#[derive(Deserialize)]
pub(super) struct Options {
    key: Option<String>,
    callback_url: Option<String>,
}

/// A file that passed all checks, ready to be stored.
struct Upload {
    packed: Vec<u8>,
    rows: u64,
    /// What it may come to need in Redis.
    room: u64,
}

pub(super) async fn upload(
    State(web): State<Web>,
    options: Result<Query<Options>, QueryRejection>,
    request: Request,
) -> Result<Response, Error> {
    // The body first, whatever else is wrong: see `routes::body`.
    let bytes = file(request).await;
    let job = job(options)?;
    let (bytes, key) = (bytes?, job.key.clone());
    // Up to 5 MiB of parsing and compressing: not on the threads that answer everybody else.
    let prepared = tokio::task::spawn_blocking(move || prepare(&bytes, key.as_deref())).await;
    let upload = prepared.map_err(Error::internal)??;
    let jid = store(&web, &job, &upload).await?;
    let url = format!("/imports/{jid}");
    let answer = Json(json!({ "jid": jid, "status_url": url }));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, url)], answer).into_response())
}

/// The job a request asks for. A form sends what was left empty as an empty string.
fn job(options: Result<Query<Options>, QueryRejection>) -> Result<ImportCsv, Error> {
    let Query(options) =
        options.map_err(|_| Error::bad("the query accepts key and callback_url, once each"))?;
    let given = |value: Option<String>| value.filter(|value| !value.is_empty());
    let callback_url = given(options.callback_url);
    if let Some(Err(reason)) = callback_url.as_deref().map(webhooks::parse) {
        return Err(Error::bad(format!("callback_url: {reason}")));
    }
    Ok(ImportCsv { key: given(options.key), callback_url })
}

fn prepare(bytes: &[u8], key: Option<&str>) -> Result<Upload, Error> {
    let checked = csv_file::check(bytes, key).map_err(Error::bad)?;
    let packed = body::pack(checked.text).map_err(Error::internal)?;
    // Five times the file is the rule; a few long column names repeated in many short rows can come
    // to more.
    let room = checked.stored_len.max(5 * bytes.len() as u64);
    Ok(Upload { packed, rows: checked.rows, room })
}

/// The file first, then the job that needs it. If the job certainly did not get in, the file goes
/// again.
async fn store(web: &Web, job: &ImportCsv, upload: &Upload) -> Result<String, Error> {
    let redis = &web.app.redis;
    redis.status().map_err(Error::unavailable)?;
    check_room(redis, upload.room).await?;
    let payload = Payload::of(job)?;
    let jid = payload.jid();
    let outcome = match body::create(redis, &jid, &upload.packed, upload.rows).await {
        Ok(()) => web.app.jobs.push(payload).await.map_err(|error| {
            let perhaps_there = matches!(error, EnqueueError::Unknown(_));
            (Error::from(error), perhaps_there)
        }),
        Err(error) => Err((Error::from(error), false)),
    };
    match outcome {
        Ok(_) => Ok(jid),
        // The job may be there, and would need its file.
        Err((error, true)) => Err(error),
        Err((error, false)) => {
            take_back(redis, &jid).await;
            Err(error)
        }
    }
}

/// Nothing half-done stays behind. Should Redis not take this either, the file expires by itself.
async fn take_back(redis: &Redis, jid: &str) {
    if redis.status().is_err() || body::forget(redis, jid).await.is_err() {
        tracing::warn!(job.jid = jid, "an upload without a job stays in Redis until it expires");
    }
}

/// A full Redis would stop every queue, so an upload that might fill it is not begun.
async fn check_room(redis: &Redis, room: u64) -> Result<(), Error> {
    let info = redis.server_info().await?;
    match info.maxmemory {
        0 => Ok(()),
        max if info.used_memory.saturating_add(room) > max => Err(Error::full()),
        _ => Ok(()),
    }
}
