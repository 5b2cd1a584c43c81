//! Imports and records in Redis: every key of the sample app, and all that reads and writes them.
//!
//! | key | what |
//! |---|---|
//! | `roustabout:import:JID` | hash: what is known of it from the upload on |
//! | `roustabout:import:JID:body` | the uploaded file, compressed; gone when the import has ended |
//! | `roustabout:import:JID:rejected` | hash: line → reason |
//! | `roustabout:records` | hash: key → import time and the row as JSON |
//! | `roustabout:records:keys` | the keys in order |
//!
//! How far an import is the engine keeps, as the status of its job.

pub mod body;
pub mod records;

use std::collections::HashMap;
use std::str::FromStr;

use redis::RedisResult;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::engine::{State as JobState, Status, is_dead};

/// How long bodies, results and records are kept: 7 days.
pub const KEPT_SECONDS: u64 = 7 * 24 * 60 * 60;

/// How many rejected rows are kept with their reasons. The count goes on.
pub const REJECTIONS_KEPT: u64 = 1000;

/// Where an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Stored, and no worker has it.
    Queued,
    /// A worker has it, or will try it again.
    Running,
    /// Every row was looked at.
    Done,
    /// Given up.
    Failed,
}

impl State {
    fn of(job: JobState) -> State {
        match job {
            JobState::Queued => State::Queued,
            JobState::Running | JobState::Retrying => State::Running,
            JobState::Done => State::Done,
            JobState::Dead => State::Failed,
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Failed)
    }
}

/// What the job of an import tells beside its progress.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Rows taken as records so far.
    pub accepted: u64,
    /// How often a stop or a crash interrupted it.
    pub interruptions: u64,
}

/// An import as the HTTP side shows it.
#[derive(Serialize)]
pub struct Import {
    /// The job's id.
    pub jid: String,
    /// Where it is.
    pub state: State,
    /// Rows looked at.
    pub processed: u64,
    /// Rows in the file.
    pub total: u64,
    /// Rows taken as records.
    pub accepted: u64,
    /// The first rows that were not, in the order of the file.
    pub rejected: Vec<Rejection>,
    /// How often a stop or a crash interrupted it.
    pub interruptions: u64,
    /// Once nothing is left to do, and its file is gone for that: how many rows were taken.
    #[serde(skip)]
    pub ended: Option<u64>,
    /// When it was uploaded, in unix seconds.
    #[serde(skip)]
    pub created_at: u64,
}

/// A row that was not taken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rejection {
    /// The line it starts on.
    pub line: u64,
    /// Why.
    pub reason: String,
}

fn import_key(jid: &str) -> String {
    format!("roustabout:import:{jid}")
}

fn body_key(jid: &str) -> String {
    format!("roustabout:import:{jid}:body")
}

fn rejected_key(jid: &str) -> String {
    format!("roustabout:import:{jid}:rejected")
}

/// Reads an import; `None` if there is none, or none any more.
pub async fn load(app: &App, jid: &str) -> RedisResult<Option<Import>> {
    // Anything else could name a key of another kind.
    if jid.is_empty()
        || !jid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        return Ok(None);
    }
    // first, so that of one which is done all there is to know of it is there
    let status = app.jobs.status(jid).await?;
    let mut pipe = redis::pipe();
    pipe.cmd("HGETALL").arg(import_key(jid)).cmd("HGETALL").arg(rejected_key(jid));
    let (fields, rejected): (HashMap<String, String>, HashMap<u64, String>) =
        app.redis.pipe(&pipe).await?;
    if fields.is_empty() {
        return Ok(None);
    }
    let (processed, _) = status.as_ref().and_then(|status| status.progress).unwrap_or_default();
    let outcome = status.as_ref().and_then(Status::result::<Outcome>).unwrap_or_default();
    let mut rejected: Vec<Rejection> =
        rejected.into_iter().map(|(line, reason)| Rejection { line, reason }).collect();
    rejected.sort();
    Ok(Some(Import {
        jid: jid.to_owned(),
        state: status.map_or(State::Queued, |status| State::of(status.state)),
        processed,
        total: field(&fields, "total"),
        accepted: outcome.accepted,
        rejected,
        interruptions: outcome.interruptions,
        ended: fields.contains_key("ended").then(|| field(&fields, "ended")),
        created_at: field(&fields, "created_at"),
    }))
}

/// The same, but an import whose job lies in the dead set counts as failed, whoever put it there:
/// somebody may have done so by hand, on one of Sidekiq's pages.
pub async fn load_settled(app: &App, jid: &str) -> RedisResult<Option<Import>> {
    match load(app, jid).await? {
        Some(import) if !import.state.is_final() && is_dead(&app.redis, jid).await? => {
            Ok(Some(Import { state: State::Failed, ..import }))
        }
        import => Ok(import),
    }
}

fn field<T: FromStr + Default>(fields: &HashMap<String, String>, name: &str) -> T {
    fields.get(name).and_then(|value| value.parse().ok()).unwrap_or_default()
}
