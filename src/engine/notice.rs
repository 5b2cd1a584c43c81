//! What people should hear of: a job that is stuck, a process that had to go for it, and the one
//! that took its place. The engine only says so; what becomes of it is the program's affair.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, cmd};
use serde::{Deserialize, Serialize};

use super::delivery::Delivery;
use super::keys;
use super::readable::cut;
use super::redis::Redis;
use super::session::Session;

/// A job as notices name it: without its arguments. Strangers choose these texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StuckJob {
    /// What it is.
    pub class: String,
    /// Which one.
    pub jid: String,
    /// Where it came from.
    pub queue: String,
    /// For how many seconds it has run.
    pub age: u64,
}

impl StuckJob {
    pub(crate) fn of(job: &Delivery) -> StuckJob {
        let [class, jid, queue] = [job.class(), job.jid(), cut(&job.queue)].map(str::to_owned);
        StuckJob { class, jid, queue, age: job.since.elapsed().as_secs() }
    }
}

/// A process that was stopped for stuck jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stopped {
    /// Its identity, `HOST:PID:NONCE`.
    pub process: String,
    /// When, in epoch seconds as the server has them.
    pub at: f64,
    /// For these; none if it is not known what held it up.
    pub jobs: Vec<StuckJob>,
}

/// Something to tell people.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A run reached its time limit: it was ended and counts as failed.
    TimedOut {
        /// The process it ran in.
        process: String,
        /// The job.
        job: StuckJob,
        /// Which limit.
        reason: String,
    },
    /// Jobs have not given their threads back, or the runtime has not answered, for as long as
    /// the limit: this process stops for it.
    Stalled {
        /// The process and the jobs.
        stopped: Stopped,
        /// How long that may last.
        limit: Duration,
    },
    /// This process takes the place of one that was stopped for stuck jobs.
    Back {
        /// The identity of the new one.
        process: String,
        /// The old one, and why it had to go.
        stopped: Stopped,
        /// How long the place was empty, as far as we know.
        after: Duration,
    },
}

type Tell = dyn Fn(Notice) + Send + Sync;

/// To whom notices go; by default to nobody.
#[derive(Clone, Default)]
pub(crate) struct Notices(Option<Arc<Tell>>);

impl Notices {
    pub(crate) fn new(tell: impl Fn(Notice) + Send + Sync + 'static) -> Notices {
        Notices(Some(Arc::new(tell)))
    }

    pub(crate) fn tell(&self, notice: Notice) {
        if let Some(tell) = &self.0 {
            tell(notice);
        }
    }
}

/// Notes that a process was stopped, for the one that takes its place: the next that starts with
/// the same host part. Once for each process, however often it is told.
pub(crate) async fn remember(redis: &Redis, stopped: &Stopped) -> RedisResult<()> {
    let key = keys::stopped(host(&stopped.process));
    let record = serde_json::to_string(stopped).unwrap_or_default();
    let mut note = redis::pipe();
    note.cmd("HSETNX").arg(&key).arg(&stopped.process).arg(record);
    note.cmd("EXPIRE").arg(&key).arg(keys::STOPPED_TTL.as_secs());
    redis.pipe(&note).await
}

/// Says once, when this process has registered, whose place it takes.
pub(crate) async fn say_back(session: Arc<Session>, notices: Notices) {
    session.lease_after(0).await;
    match replaced(&session).await {
        Ok(Some(stopped)) => {
            let process = session.identity().to_owned();
            let seconds = (session.redis.now() - stopped.at).max(0.0);
            let jobs: Vec<&str> = stopped.jobs.iter().map(|job| &*job.class).collect();
            tracing::info!(
                seconds = seconds.round(),
                ?jobs,
                "in the place of {}, which was stopped for stuck jobs",
                stopped.process.escape_debug()
            );
            let after = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            notices.tell(Notice::Back { process, stopped, after });
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "whose place this process takes is not known"),
    }
    std::future::pending().await
}

/// Takes one record of a stopped process: whose removal counts, has it.
async fn replaced(session: &Session) -> RedisResult<Option<Stopped>> {
    let key = keys::stopped(host(session.identity()));
    let records: Vec<(String, Vec<u8>)> = session.redis.query(cmd("HGETALL").arg(&key)).await?;
    for (process, record) in records {
        let removed: u32 = session.redis.query(cmd("HDEL").arg(&key).arg(process)).await?;
        let stopped = serde_json::from_slice(&record).ok();
        if removed == 1 && stopped.is_some() {
            return Ok(stopped);
        }
    }
    Ok(None)
}

/// The host part of an identity. Where platforms give names to the places of processes, it is
/// the name of the place: `worker.1`.
fn host(identity: &str) -> &str {
    identity.rsplitn(3, ':').nth(2).unwrap_or(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_pid_and_nonce() {
        assert_eq!(host("worker.1:4:abc"), "worker.1");
        assert_eq!(host("fe80::1:4:abc"), "fe80::1");
        assert_eq!(host("odd"), "odd");
    }
}
