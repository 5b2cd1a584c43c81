//! Imports and records in Redis: every key of the sample app, and all that reads and writes them.
//!
//! | key | what |
//! |---|---|
//! | `roustabout:import:JID` | hash: how far the import is |
//! | `roustabout:import:JID:body` | the uploaded file, compressed; gone when the import has ended |
//! | `roustabout:import:JID:rejected` | hash: line → reason |
//! | `roustabout:records` | hash: key → import time and the row as JSON |
//! | `roustabout:records:keys` | the keys in order |

pub mod body;
pub mod records;

use std::collections::HashMap;
use std::str::FromStr;

use redis::RedisResult;
use serde::Serialize;

use crate::engine::{Redis, is_dead};

/// How long bodies, results and records are kept: 7 days.
pub const KEPT_SECONDS: u64 = 7 * 24 * 60 * 60;

/// How many rejected rows are kept with their reasons. The count goes on.
pub const REJECTIONS_KEPT: u64 = 1000;

/// Where an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Stored, and no worker has begun.
    #[default]
    Queued,
    /// Begun; interrupted ones stay in this state.
    Running,
    /// Every row was looked at.
    Done,
    /// Given up.
    Failed,
}

impl State {
    /// The word in Redis and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Failed)
    }
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
pub async fn load(redis: &Redis, jid: &str) -> RedisResult<Option<Import>> {
    // Anything else could name a key of another kind.
    if jid.is_empty()
        || !jid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        return Ok(None);
    }
    let mut pipe = redis::pipe();
    pipe.cmd("HGETALL").arg(import_key(jid)).cmd("HGETALL").arg(rejected_key(jid));
    let (fields, rejected): (HashMap<String, String>, HashMap<u64, String>) =
        redis.pipe(&pipe).await?;
    if fields.is_empty() {
        return Ok(None);
    }
    let mut rejected: Vec<Rejection> =
        rejected.into_iter().map(|(line, reason)| Rejection { line, reason }).collect();
    rejected.sort();
    Ok(Some(Import {
        jid: jid.to_owned(),
        state: state(&fields),
        processed: field(&fields, "processed"),
        total: field(&fields, "total"),
        accepted: field(&fields, "accepted"),
        rejected,
        interruptions: field(&fields, "interruptions"),
        created_at: field(&fields, "created_at"),
    }))
}

/// The same, but an import whose job is dead counts as failed, whoever buried it: the job itself
/// cannot tell when its process dies with it again and again.
pub async fn load_settled(redis: &Redis, jid: &str) -> RedisResult<Option<Import>> {
    let import = load(redis, jid).await?;
    match &import {
        Some(known) if !known.state.is_final() && is_dead(redis, jid).await? => {
            update(redis, jid, &[("state", State::Failed.as_str().into())]).await?;
            load(redis, jid).await
        }
        _ => Ok(import),
    }
}

fn state(fields: &HashMap<String, String>) -> State {
    let word = fields.get("state").map(String::as_str);
    let known = [State::Running, State::Done, State::Failed];
    known.into_iter().find(|state| Some(state.as_str()) == word).unwrap_or_default()
}

fn field<T: FromStr + Default>(fields: &HashMap<String, String>, name: &str) -> T {
    fields.get(name).and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// KEYS the import; ARGV seconds to keep it, then fields and values. Returns 1 if they were
/// written.
///
/// `done` is final: a worker that was frozen while another finished its import must not set it
/// back. And nothing is written without an expiry, so that a job that comes after its import has
/// gone leaves nothing for ever.
const UPDATE: &str = "if redis.call('HGET', KEYS[1], 'state') == 'done' then return 0 end \
                      redis.call('HSET', KEYS[1], unpack(ARGV, 2)) \
                      redis.call('EXPIRE', KEYS[1], ARGV[1]) \
                      return 1";

/// Writes fields of an import that is not done yet.
pub async fn update(redis: &Redis, jid: &str, fields: &[(&str, String)]) -> RedisResult<()> {
    let mut command = redis::cmd("EVAL");
    command.arg(UPDATE).arg(1).arg(import_key(jid)).arg(KEPT_SECONDS);
    for (name, value) in fields {
        command.arg(name).arg(value);
    }
    redis.query(command.arg("updated_at").arg(redis.now() as u64)).await
}
