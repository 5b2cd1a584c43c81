//! What is kept of an iterable job between its runs, and where: in `it-JID`, as Sidekiq 7.3 and
//! later have it, or, in a test of its author's, in memory.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use redis::{RedisResult, cmd};

use super::delivery::Delivery;
use super::keys;
use super::lifecycle::Lifecycle;
use super::retry::Stop;
use super::scripts;
use super::session::{Lease, Session};

/// What earlier runs left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saved {
    /// As JSON.
    pub(crate) cursor: Option<Vec<u8>>,
    /// Runs that saved a cursor.
    pub(crate) executions: u32,
    /// Seconds that they took.
    pub(crate) runtime: f64,
    /// Somebody wants it to end.
    pub(crate) cancelled: bool,
}

/// What a run saves.
pub(crate) struct Checkpoint {
    pub(crate) cursor: Vec<u8>,
    pub(crate) executions: u32,
    pub(crate) runtime: f64,
    pub(crate) progress: Option<(u64, u64)>,
}

/// Where it is kept.
pub(crate) enum Keeper {
    Redis(Arc<Session>),
    Memory(Arc<Memory>),
}

impl Keeper {
    pub(crate) async fn load(&self, delivery: &Delivery) -> anyhow::Result<Saved> {
        match self {
            Keeper::Redis(session) => load(session, delivery.jid()).await,
            Keeper::Memory(memory) => Ok(memory.saved().clone()),
        }
    }

    /// Errors, beside those of Redis: [`Stop::LostLease`] and [`Stop::Cancelled`]; then nothing is
    /// saved.
    pub(crate) async fn save(
        &self,
        delivery: &Delivery,
        checkpoint: Checkpoint,
    ) -> anyhow::Result<()> {
        match self {
            Keeper::Redis(session) => save(session, delivery, &checkpoint).await,
            Keeper::Memory(memory) => memory.save(checkpoint),
        }
    }
}

async fn load(session: &Session, jid: &str) -> anyhow::Result<Saved> {
    let mut read = cmd("HMGET");
    read.arg(keys::iteration(jid)).arg(&["c", "ex", "rt", "cancelled"]);
    // whatever stands there: a reply that does not fit a type is no reason to ask again
    type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
    let (cursor, executions, runtime, cancelled): Fields = session
        .persist(|lease| {
            let read = read.clone();
            async move { lease.connection.query(&read).await }
        })
        .await
        .context("the cursor cannot be read")?;
    Ok(Saved {
        cursor,
        executions: number(executions) as u32,
        runtime: number(runtime),
        cancelled: cancelled.is_some(),
    })
}

async fn save(
    session: &Session,
    delivery: &Delivery,
    checkpoint: &Checkpoint,
) -> anyhow::Result<()> {
    loop {
        let request = |lease| save_script(session, lease, delivery, checkpoint);
        let saved: i64 = session.persist(request).await.context("the cursor cannot be saved")?;
        match saved {
            1 => return Ok(()),
            0 => bail!(Stop::LostLease),
            2 => bail!(Stop::Cancelled),
            _ => {} // another lease by now: try with that
        }
        tokio::task::yield_now().await;
    }
}

async fn save_script(
    session: &Session,
    lease: Lease,
    delivery: &Delivery,
    checkpoint: &Checkpoint,
) -> RedisResult<i64> {
    let Checkpoint { cursor, executions, runtime, progress } = checkpoint;
    let progress = progress.map(|(current, total)| format!("{current}/{total}"));
    let jid = delivery.jid();
    let mut script = scripts::CHECKPOINT.prepare_invoke();
    script.arg(session.identity()).arg(lease.number).arg(&session.inflight_key);
    script.arg(delivery.name());
    script.arg(keys::iteration(jid)).arg(keys::ITERATION_TTL.as_secs()).arg(&cursor[..]);
    script.arg(executions).arg(runtime).arg(keys::RESCUES).arg(jid);
    script.arg(progress.unwrap_or_default());
    let saved = lease.connection.run(&script).await?;
    if saved == -1 {
        session.renew_if(lease.number);
    }
    Ok(saved)
}

/// The place of a job that runs in a test, without Redis, and what happens to it on the way.
pub(crate) struct Memory {
    saved: Mutex<Saved>,
    checkpoints: AtomicU32,
    /// The checkpoint at which the process begins to stop, counted from 1.
    interrupt_at: Option<u32>,
    /// The one at which the job turns out to be cancelled.
    cancel_at: Option<u32>,
}

impl Memory {
    pub(crate) fn new(
        saved: Saved,
        interrupt_at: Option<u32>,
        cancel_at: Option<u32>,
    ) -> Arc<Memory> {
        let (saved, checkpoints) = (Mutex::new(saved), AtomicU32::new(0));
        Arc::new(Memory { saved, checkpoints, interrupt_at, cancel_at })
    }

    pub(crate) fn saved(&self) -> MutexGuard<'_, Saved> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn checkpoints(&self) -> u32 {
        self.checkpoints.load(Ordering::Relaxed)
    }

    /// The job has come to a checkpoint.
    pub(crate) fn passes(&self, lifecycle: &Lifecycle) {
        let number = self.checkpoints.fetch_add(1, Ordering::Relaxed) + 1;
        if self.interrupt_at == Some(number) {
            lifecycle.stop();
        }
        if self.cancel_at == Some(number) {
            self.saved().cancelled = true;
        }
    }

    fn save(&self, checkpoint: Checkpoint) -> anyhow::Result<()> {
        let mut saved = self.saved();
        if saved.cancelled {
            bail!(Stop::Cancelled);
        }
        let Checkpoint { cursor, executions, runtime, .. } = checkpoint;
        *saved = Saved { cursor: Some(cursor), executions, runtime, cancelled: false };
        Ok(())
    }
}

fn number(text: Option<Vec<u8>>) -> f64 {
    let text = text.and_then(|text| String::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0.0)
}
