//! Decides when this process has to make room for a fresh one: it is stuck, or too large. It
//! lives on the heartbeat's thread, since what it looks for is a runtime that does not get to run.
//!
//! Whether something moves is told by counters, and time is counted in ticks of its own: a
//! process that was frozen as a whole (SIGSTOP, a laptop's lid) is not late when it wakes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::delivery::Delivery;
use super::field::Field;
use super::giveback;
use super::inflight::Inflight;
use super::lifecycle::{Exit, Lifecycle, Phase};
use super::notice::{self, Notice, Notices, Stopped, StuckJob};
use super::process::resident_kib;
use super::redis::Redis;
use super::session::Session;

const TICK: Duration = Duration::from_millis(500);
/// Whatever has not moved for this long is worth a line in the log.
const LATE: Duration = Duration::from_secs(2);
/// What runs in a process that is too large gets this long, and then the grace of a stop.
const FINISHING: Duration = Duration::from_secs(15 * 60);
/// What giving back may take when the runtime is beyond help.
const LAST: Duration = Duration::from_millis(400);

/// Counts up as long as the main runtime gets to run.
#[derive(Default)]
pub(crate) struct Life(AtomicU32);

impl Life {
    /// Runs on the main runtime.
    pub(crate) async fn show(&self) {
        loop {
            self.0.fetch_add(1, Ordering::Relaxed);
            sleep(TICK / 2).await;
        }
    }
}

/// What is too much.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// For a job to hold a thread of the runtime, for the runtime not to answer.
    pub(crate) stall: Option<Duration>,
    /// Resident memory, in MiB.
    pub(crate) memory: Option<u64>,
    /// For a stopping process.
    pub(crate) grace: Duration,
}

pub(crate) struct Watchdog {
    pub(crate) session: Arc<Session>,
    pub(crate) inflight: Arc<Inflight>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) life: Arc<Life>,
    pub(crate) notices: Notices,
    /// The main one.
    pub(crate) runtime: Handle,
    pub(crate) limits: Limits,
}

impl Watchdog {
    /// Looks for the life of the process, and ends it itself if nobody else can any more.
    pub(crate) async fn run(self, redis: &Redis) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut progress, mut last) = (Progress::default(), Instant::now());
        let (mut stopping, mut finishing) = (Duration::ZERO, Duration::ZERO);
        loop {
            ticks.tick().await;
            let passed = last.elapsed().min(2 * TICK);
            last = Instant::now();
            let told = progress.look(passed, &self.life, self.inflight.polling());
            report(&told, &progress);
            if !progress.runtime.is_zero() {
                self.poke();
            }
            if self.lifecycle.phase() == Phase::Stopping {
                stopping += passed;
                if self.beyond_help(&progress, stopping) {
                    self.leave(redis).await;
                }
            } else {
                if let Some(stopped) = self.watch_progress(&progress) {
                    let _ = timeout(LAST, notice::remember(redis, &stopped)).await;
                }
                self.watch_memory(&mut finishing, passed);
            }
        }
    }

    /// The thread that waits for sockets and timers on behalf of all may be the one that a job
    /// holds, while the others sleep. A new task wakes one of them, which then takes over.
    fn poke(&self) {
        self.runtime.spawn(async {});
    }

    /// Gives up on a process that is stuck. Nothing can take a thread away from a job that does
    /// not give it back, so the process has to go; the job stays recorded under its name, for
    /// the reaper to count it as one that its process did not survive. Returns what is to be
    /// remembered of it.
    fn watch_progress(&self, progress: &Progress) -> Option<Stopped> {
        let limit = self.limits.stall?;
        if progress.runtime < limit && progress.stuck(limit).is_empty() {
            return None;
        }
        // not the whole limit: who made the runtime stop may have been seen a look later
        let stuck = progress.stuck(limit / 2);
        for job in &stuck {
            tracing::error!(
                job.class = job.class(),
                job.jid = job.jid(),
                queue = &*job.queue,
                limit = limit.as_secs(),
                "this job has not given its thread back within STALL_TIMEOUT: \
                 blocking code belongs into `cx.blocking`"
            );
            job.leave_behind();
        }
        tracing::error!(
            running = self.inflight.busy().len(),
            "stalled: giving back all other jobs, then exit 70 for a fresh process"
        );
        self.lifecycle.end(Exit::Stalled);
        let jobs = stuck.iter().map(|job| StuckJob::of(job)).collect();
        let (process, at) = (self.session.identity().to_owned(), self.session.redis.now());
        let stopped = Stopped { process, at, jobs };
        self.notices.tell(Notice::Stalled { stopped: stopped.clone(), limit });
        Some(stopped)
    }

    /// Finishes what runs, takes nothing new, and ends: what leaks is gone with the process.
    fn watch_memory(&self, finishing: &mut Duration, passed: Duration) {
        let Some(limit) = self.limits.memory else { return };
        let mib = resident_kib() / 1024;
        if mib > limit && self.lifecycle.phase() == Phase::Running {
            tracing::warn!(
                mib,
                limit,
                running = self.inflight.busy().len(),
                "above MEMORY_LIMIT_MB: finishing what runs, then exit 75 for a fresh process"
            );
            self.lifecycle.quiet_for(Exit::Memory);
        }
        if self.lifecycle.exit() == Exit::Memory {
            *finishing += passed;
            if *finishing >= FINISHING || self.inflight.busy().is_empty() {
                self.lifecycle.end(Exit::Memory);
            }
        }
    }

    /// A stop that the runtime does not carry out.
    fn beyond_help(&self, progress: &Progress, stopping: Duration) -> bool {
        let over = stopping >= self.limits.grace || self.lifecycle.exit() == Exit::Stalled;
        over && progress.runtime >= LATE
    }

    /// Gives back over the heartbeat's connection and ends the process. The threads that are
    /// stuck cannot be asked to end.
    async fn leave(&self, redis: &Redis) {
        self.inflight.abort_all();
        let giving = async {
            let connection = redis.connection().await?;
            giveback::at_once(&connection, &self.session, &self.inflight).await
        };
        match timeout(LAST, giving).await {
            Ok(Ok(given_back)) => tracing::warn!(given_back, "stopped while the runtime was stuck"),
            _ => tracing::warn!(
                "stopped while the runtime was stuck: the reaper of another process brings the jobs back"
            ),
        }
        self.lifecycle.leave()
    }
}

/// For how long what should move has not moved.
#[derive(Default)]
struct Progress {
    life: u32,
    runtime: Duration,
    jobs: HashMap<Field, Holding>,
}

/// A job that has a thread at the moment.
struct Holding {
    delivery: Arc<Delivery>,
    poll: u32,
    since: Duration,
}

/// What a look brought that is worth a line.
#[derive(Default)]
struct Told {
    stalled: bool,
    recovered: bool,
    late: Vec<Arc<Delivery>>,
}

impl Progress {
    /// `polling`: the jobs that have a thread, and which of their polls that is.
    fn look(&mut self, passed: Duration, life: &Life, polling: Vec<(Arc<Delivery>, u32)>) -> Told {
        let (before, mut told) = (self.runtime, Told::default());
        let life = life.0.load(Ordering::Relaxed);
        self.runtime = if life == self.life { before + passed } else { Duration::ZERO };
        self.life = life;
        told.stalled = before < LATE && self.runtime >= LATE;
        told.recovered = before >= LATE && self.runtime < LATE;
        let mut earlier = std::mem::take(&mut self.jobs);
        for (delivery, poll) in polling {
            let same = earlier.remove(&delivery.field).filter(|held| held.poll == poll);
            let before = same.map(|held| held.since);
            let since = before.map_or(Duration::ZERO, |before| before + passed);
            if before.is_some_and(|before| before < LATE) && since >= LATE {
                told.late.push(delivery.clone());
            }
            self.jobs.insert(delivery.field, Holding { delivery, poll, since });
        }
        told
    }

    /// The jobs that have held their thread for at least this long.
    fn stuck(&self, limit: Duration) -> Vec<Arc<Delivery>> {
        let stuck = self.jobs.values().filter(|held| held.since >= limit);
        stuck.map(|held| held.delivery.clone()).collect()
    }
}

fn report(told: &Told, progress: &Progress) {
    for job in told.late.iter().filter(|job| job.blamed()) {
        tracing::warn!(
            job.class = job.class(),
            job.jid = job.jid(),
            queue = &*job.queue,
            "the job holds a thread of the runtime for over 2 s without an await: \
             blocking code belongs into `cx.blocking`"
        );
    }
    if told.stalled {
        let jobs: Vec<String> = progress.stuck(LATE).iter().map(|job| job.describe()).collect();
        tracing::warn!(?jobs, "the runtime does not answer");
    }
    if told.recovered {
        tracing::info!("the runtime answers again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_move_is_late() {
        let (mut progress, life) = (Progress::default(), Life::default());
        let job = |index| Delivery::new(Field { batch: 1, index }, "q".into(), Vec::new());
        let (stuck, busy) = (job(1), job(2));
        let second = Duration::from_secs(1);
        for tick in 0..5 {
            life.0.fetch_add(u32::from(tick < 2), Ordering::Relaxed);
            let polling = vec![(stuck.clone(), 7), (busy.clone(), 2 * tick + 1)];
            let told = progress.look(second, &life, polling);
            assert_eq!(told.late.len(), usize::from(tick == 2));
            assert_eq!(told.stalled, tick == 3);
        }
        assert_eq!(progress.stuck(4 * second).len(), 1);
        assert!(progress.stuck(5 * second).is_empty());
        life.0.fetch_add(1, Ordering::Relaxed);
        assert!(progress.look(second, &life, Vec::new()).recovered);
        assert!(progress.stuck(Duration::ZERO).is_empty());
    }
}
