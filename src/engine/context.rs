//! What a running job knows and can ask for.

use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::json::raw;
use super::lifecycle::Phase;
use super::run::Run;
use super::status::shortened;

/// Handed to [`Job::perform`]; clones share everything.
///
/// [`Job::perform`]: super::Job::perform
#[derive(Clone)]
pub struct JobContext<A> {
    /// The application's shared state.
    pub app: A,
    run: Arc<Run>,
}

impl<A> JobContext<A> {
    pub(crate) fn new(app: A, run: Arc<Run>) -> JobContext<A> {
        JobContext { app, run }
    }

    /// The job's id: the same on every attempt. (A client that pushed the job without one gets
    /// its jobs run all the same, but without cursor; the id is made up at the first failure.)
    pub fn jid(&self) -> &str {
        self.run.delivery.jid()
    }

    /// The class as it stands in the payload; of an Active Job its own, not its wrapper's.
    pub fn class(&self) -> &str {
        self.run.delivery.class()
    }

    /// The queue it was taken from.
    pub fn queue(&self) -> &str {
        &self.run.delivery.queue
    }

    /// 1 on the first run. Only failures count up; interruptions do not.
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// Whether an error now would be the last: no retry would follow.
    pub fn last_attempt(&self) -> bool {
        self.run.last
    }

    /// Whether the job should come to an end soon: the process is stopping, or the job is no
    /// longer ours. Jobs without checkpoints may look at it; they have the rest of the grace.
    pub fn stopping(&self) -> bool {
        self.run.lifecycle.phase() == Phase::Stopping || self.run.delivery.lost()
    }

    /// Resolves when the process begins to stop.
    pub async fn stopped(&self) {
        self.run.lifecycle.stopping().await;
    }

    /// What the last checkpoint of this job saved, in this run or an earlier one; `None` if it
    /// has none. An error if what is there is of another type; [`Stop::Cancelled`] if somebody has
    /// cancelled the job.
    ///
    /// [`Stop::Cancelled`]: super::Stop::Cancelled
    pub async fn cursor<C: DeserializeOwned>(&self) -> anyhow::Result<Option<C>> {
        let saved = self.run.cursor().await?;
        let cursor = saved.as_deref().map(serde_json::from_slice).transpose();
        match (cursor, saved.as_deref()) {
            (Err(_), Some(b"null")) => Ok(None), // Ruby's "not begun"
            (cursor, _) => cursor.context("the saved cursor is of another type"),
        }
    }

    /// Saves where the job is, to go on from there after an interruption or a crash. Call it as
    /// often as you like: the first one is written at once, later ones at most every second,
    /// and the last one before an interruption always. While Redis is away it waits.
    ///
    /// Errors, to be passed on with `?`: [`Stop::Interrupted`] when the process is quiet or
    /// stopping (the cursor is saved, the job goes back to its queue), [`Stop::LostLease`] when
    /// another process has the job, [`Stop::Cancelled`] when somebody has cancelled it (known
    /// whenever a cursor is written; then nothing is saved).
    ///
    /// [`Stop::Interrupted`]: super::Stop::Interrupted
    /// [`Stop::LostLease`]: super::Stop::LostLease
    /// [`Stop::Cancelled`]: super::Stop::Cancelled
    pub async fn checkpoint<C: Serialize>(&self, cursor: C) -> anyhow::Result<()> {
        let cursor = serde_json::to_vec(&cursor).context("the cursor cannot be saved")?;
        self.run.checkpoint(cursor).await
    }

    /// Whether somebody has cancelled the job: for those without a cursor, which hear of it nowhere
    /// else. Asks Redis, and waits while that is away. End the job with [`Stop::Cancelled`].
    ///
    /// [`Stop::Cancelled`]: super::Stop::Cancelled
    pub async fn cancelled(&self) -> anyhow::Result<bool> {
        self.run.cancelled().await
    }

    /// How often this job was interrupted, or its process died, after a first checkpoint. Known
    /// once `cursor` was called.
    pub fn interruptions(&self) -> u32 {
        self.run.interruptions()
    }

    /// Notes how far the job is, for those who watch. Call it as often as you like: it costs no
    /// round trip. A few times a second what is new goes to the job's status, if it has one
    /// ([`Job::STATUS_FOR`](super::Job::STATUS_FOR)), and a checkpoint takes it along.
    pub fn progress(&self, current: u64, total: u64) {
        self.run.progress(current, total);
    }

    /// The same in words, at most 1,000 characters.
    pub fn message(&self, text: impl AsRef<str>) {
        self.run.tell(|draft| draft.message = Some(shortened(text.as_ref())));
    }

    /// What the job came to: readable by its jid as soon as it is done, if it has a status
    /// ([`Job::STATUS_FOR`](super::Job::STATUS_FOR)). Keep it small, it lives in Redis. An error
    /// if it cannot be written as JSON.
    pub fn result(&self, result: impl Serialize) -> anyhow::Result<()> {
        let result = raw(&result).context("the result cannot be saved")?;
        self.run.tell(|draft| draft.result = Some(result));
        Ok(())
    }

    /// Runs code that blocks or computes for long on a thread of its own, so that it does not
    /// hold up the others. It cannot be aborted; an error if it panics.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        tokio::task::spawn_blocking(work).await.context("the blocking part of the job panicked")
    }
}
