//! What a running job knows and can ask for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use redis::{RedisResult, cmd};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::delivery::Delivery;
use super::json::raw;
use super::keys;
use super::lifecycle::{Lifecycle, Phase};
use super::retry::Stop;
use super::scripts;
use super::session::{Lease, Session};
use super::status::{Draft, shortened};

/// Cursors are saved at once the first time, then at most this often: what a crash can make a
/// job do twice.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

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
    /// has none. An error if what is there is of another type.
    pub async fn cursor<C: DeserializeOwned>(&self) -> anyhow::Result<Option<C>> {
        let saved = self.run.load().await?;
        let cursor = saved.as_deref().map(serde_json::from_slice).transpose();
        cursor.context("the saved cursor is of another type")
    }

    /// Saves where the job is, to go on from there after an interruption or a crash. Call it as
    /// often as you like: the first one is written at once, later ones at most every second,
    /// and the last one before an interruption always. While Redis is away it waits.
    ///
    /// Errors, to be passed on with `?`: [`Stop::Interrupted`] when the process is quiet or
    /// stopping (the cursor is saved, the job goes back to its queue), [`Stop::LostLease`] when
    /// another process has the job (nothing is saved).
    pub async fn checkpoint<C: Serialize>(&self, cursor: C) -> anyhow::Result<()> {
        let cursor = serde_json::to_vec(&cursor).context("the cursor cannot be saved")?;
        self.run.checkpoint(cursor).await
    }

    /// How often this job was interrupted, or its process died, after a first checkpoint. Known
    /// once `cursor` was called.
    pub fn interruptions(&self) -> u32 {
        self.run.iteration().earlier.saturating_sub(self.run.attempt - 1)
    }

    /// Notes how far the job is, for those who watch. Call it as often as you like: it costs no
    /// round trip. A few times a second what is new goes to the job's status, if it has one
    /// ([`Job::STATUS_FOR`](super::Job::STATUS_FOR)), and a checkpoint takes it along.
    pub fn progress(&self, current: u64, total: u64) {
        self.run.iteration().progress = Some((current, total));
        self.run.tell(|draft| draft.progress = Some((current, total)));
    }

    /// The same in words, at most 1,000 characters.
    pub fn message(&self, text: &str) {
        self.run.tell(|draft| draft.message = Some(shortened(text)));
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

/// What the payload says about a run.
pub(crate) struct Standing {
    pub(crate) attempt: u32,
    pub(crate) last: bool,
    pub(crate) anonymous: bool,
}

/// One run of a delivery: what the engine and the job share about it.
pub(crate) struct Run {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) attempt: u32,
    pub(crate) last: bool,
    /// Pushed without a jid: another payload may have the same bytes, so it can have no cursor.
    pub(crate) anonymous: bool,
    lifecycle: Lifecycle,
    session: Arc<Session>,
    iteration: Mutex<Iteration>,
}

struct Iteration {
    loaded: bool,
    /// Earlier runs that saved a cursor.
    earlier: u32,
    /// Seconds that earlier runs took.
    runtime: f64,
    began: Instant,
    /// When the job last came to a checkpoint, saved or not.
    seen: Instant,
    saved: Option<Instant>,
    progress: Option<(u64, u64)>,
}

impl Run {
    pub(crate) fn new(
        delivery: Arc<Delivery>,
        Standing { attempt, last, anonymous }: Standing,
        lifecycle: Lifecycle,
        session: Arc<Session>,
    ) -> Arc<Run> {
        let now = Instant::now();
        let iteration = Iteration {
            loaded: false,
            earlier: 0,
            runtime: 0.0,
            began: now,
            seen: now,
            saved: None,
            progress: None,
        };
        let iteration = Mutex::new(iteration);
        Arc::new(Run { delivery, attempt, last, anonymous, lifecycle, session, iteration })
    }

    /// When the job last showed progress: its start or its last checkpoint.
    pub(crate) fn last_seen(&self) -> Instant {
        self.iteration().seen
    }

    /// Whether there is a cursor to delete when the job is done.
    pub(crate) fn iterated(&self) -> bool {
        let iteration = self.iteration();
        iteration.loaded || iteration.saved.is_some()
    }

    fn tell(&self, write: impl FnOnce(&mut Draft)) {
        if self.delivery.status_for().is_some() {
            self.delivery.drafted(write);
            self.session.tracker.note(&self.delivery);
        }
    }

    async fn load(&self) -> anyhow::Result<Option<Vec<u8>>> {
        if self.anonymous {
            return Ok(None);
        }
        let mut read = cmd("HMGET");
        read.arg(keys::iteration(self.delivery.jid())).arg(&["c", "ex", "rt"]);
        // whatever stands there: a reply that does not fit a type is no reason to ask again
        type Saved = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
        let (cursor, executions, runtime): Saved = self
            .session
            .persist(|lease| {
                let read = read.clone();
                async move { lease.connection.query(&read).await }
            })
            .await
            .context("the cursor cannot be read")?;
        let mut iteration = self.iteration();
        if !iteration.loaded && iteration.saved.is_none() {
            iteration.earlier = number(executions) as u32;
            iteration.runtime = number(runtime);
        }
        iteration.loaded = true;
        Ok(cursor)
    }

    async fn checkpoint(&self, cursor: Vec<u8>) -> anyhow::Result<()> {
        let leaving = self.lifecycle.phase() > Phase::Running;
        if self.save_due() || leaving || self.delivery.lost() {
            if self.iteration().saved.is_none() && !self.iteration().loaded {
                self.load().await?;
            }
            self.save(cursor).await?;
        }
        if leaving {
            bail!(Stop::Interrupted)
        }
        Ok(())
    }

    fn save_due(&self) -> bool {
        let mut iteration = self.iteration();
        iteration.seen = Instant::now();
        iteration.saved.is_none_or(|saved| saved.elapsed() >= CHECKPOINT_EVERY)
    }

    async fn save(&self, cursor: Vec<u8>) -> anyhow::Result<()> {
        if self.anonymous {
            return Ok(());
        }
        loop {
            let saved = self.session.persist(|lease| self.save_script(lease, &cursor)).await;
            let saved: i64 = saved.context("the cursor cannot be saved")?;
            match saved {
                1 => break,
                0 => bail!(Stop::LostLease),
                _ => {} // another lease by now: try with that
            }
            tokio::task::yield_now().await;
        }
        self.iteration().saved = Some(Instant::now());
        Ok(())
    }

    async fn save_script(&self, lease: Lease, cursor: &[u8]) -> RedisResult<i64> {
        let (executions, runtime, progress) = {
            let iteration = self.iteration();
            let progress = iteration.progress.map(|(current, total)| format!("{current}/{total}"));
            (
                iteration.earlier + 1,
                iteration.runtime + iteration.began.elapsed().as_secs_f64(),
                progress.unwrap_or_default(),
            )
        };
        let jid = self.delivery.jid();
        let mut script = scripts::CHECKPOINT.prepare_invoke();
        script.arg(self.session.identity()).arg(lease.number).arg(&self.session.inflight_key);
        script.arg(self.delivery.name());
        script.arg(keys::iteration(jid)).arg(keys::ITERATION_TTL.as_secs()).arg(cursor);
        script.arg(executions).arg(runtime).arg(keys::RESCUES).arg(jid).arg(progress);
        let saved = lease.connection.run(&script).await?;
        if saved == -1 {
            self.session.renew_if(lease.number);
        }
        Ok(saved)
    }

    fn iteration(&self) -> MutexGuard<'_, Iteration> {
        self.iteration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(text: Option<Vec<u8>>) -> f64 {
    let text = text.and_then(|text| String::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0.0)
}
