//! One run of a delivery: what the engine and the job share about it, and when the cursor is
//! saved.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use super::delivery::Delivery;
use super::iteration::{Checkpoint, Keeper, Saved};
use super::lifecycle::{Lifecycle, Phase};
use super::retry::Stop;
use super::status::Draft;

/// Cursors are saved at once the first time, then at most this often: what a crash can make a
/// job do twice.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// What the payload says about a run.
pub(crate) struct Standing {
    pub(crate) attempt: u32,
    pub(crate) last: bool,
    pub(crate) anonymous: bool,
}

/// One run of a delivery.
pub(crate) struct Run {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) attempt: u32,
    pub(crate) last: bool,
    /// Pushed without a jid: another payload may have the same bytes, so it can have no cursor.
    anonymous: bool,
    pub(crate) lifecycle: Lifecycle,
    keeper: Keeper,
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
        keeper: Keeper,
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
        Arc::new(Run { delivery, attempt, last, anonymous, lifecycle, keeper, iteration })
    }

    /// When the job last showed progress: its start or its last checkpoint.
    pub(crate) fn last_seen(&self) -> Instant {
        self.iteration().seen
    }

    /// Whether there may be a cursor, or a wish to cancel it, to delete when the job is done.
    pub(crate) fn iterated(&self) -> bool {
        let iteration = self.iteration();
        iteration.loaded || iteration.saved.is_some()
    }

    /// Earlier runs that saved a cursor and did not end in a failure.
    pub(crate) fn interruptions(&self) -> u32 {
        self.iteration().earlier.saturating_sub(self.attempt - 1)
    }

    pub(crate) fn progress(&self, current: u64, total: u64) {
        self.iteration().progress = Some((current, total));
        self.tell(|draft| draft.progress = Some((current, total)));
    }

    /// Notes something for those who ask how far the job is.
    pub(crate) fn tell(&self, write: impl FnOnce(&mut Draft)) {
        match &self.keeper {
            Keeper::Redis(session) if self.delivery.status_for().is_some() => {
                self.delivery.drafted(write);
                session.tracker.note(&self.delivery);
            }
            Keeper::Redis(_) => {}
            Keeper::Memory(_) => self.delivery.drafted(write),
        }
    }

    /// The cursor as it was saved; [`Stop::Cancelled`] if the job is not to go on.
    pub(crate) async fn cursor(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let saved = self.load().await?;
        match saved.cancelled {
            true => bail!(Stop::Cancelled),
            false => Ok(saved.cursor),
        }
    }

    pub(crate) async fn cancelled(&self) -> anyhow::Result<bool> {
        Ok(self.load().await?.cancelled)
    }

    async fn load(&self) -> anyhow::Result<Saved> {
        if self.anonymous {
            return Ok(Saved::default());
        }
        let saved = self.keeper.load(&self.delivery).await?;
        let mut iteration = self.iteration();
        if !iteration.loaded && iteration.saved.is_none() {
            iteration.earlier = saved.executions;
            iteration.runtime = saved.runtime;
        }
        iteration.loaded = true;
        Ok(saved)
    }

    pub(crate) async fn checkpoint(&self, cursor: Vec<u8>) -> anyhow::Result<()> {
        if let Keeper::Memory(memory) = &self.keeper {
            memory.passes(&self.lifecycle);
        }
        let leaving = self.lifecycle.phase() > Phase::Running;
        if self.save_due() || leaving || self.delivery.lost() {
            if !self.iterated() {
                self.cursor().await?;
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
        // in a test, when the last one was saved must not depend on how quick the machine is
        let always = matches!(self.keeper, Keeper::Memory(_));
        always || iteration.saved.is_none_or(|saved| saved.elapsed() >= CHECKPOINT_EVERY)
    }

    async fn save(&self, cursor: Vec<u8>) -> anyhow::Result<()> {
        if self.anonymous {
            return Ok(());
        }
        let checkpoint = {
            let iteration = self.iteration();
            let executions = iteration.earlier + 1;
            let runtime = iteration.runtime + iteration.began.elapsed().as_secs_f64();
            Checkpoint { cursor, executions, runtime, progress: iteration.progress }
        };
        self.keeper.save(&self.delivery, checkpoint).await?;
        self.iteration().saved = Some(Instant::now());
        Ok(())
    }

    fn iteration(&self) -> MutexGuard<'_, Iteration> {
        self.iteration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
