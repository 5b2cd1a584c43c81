//! The worker: what a program starts, and what it is told in the end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use anyhow::bail;

use super::backtrace::note_panics;
use super::counters::Counters;
use super::failed::{Failed, Listeners};
use super::idle::Idle;
use super::lifecycle::{Exit, Lifecycle};
use super::meter::Meter;
use super::middleware::{Call, Chain, Next};
use super::notice::{Notice, Notices};
use super::options::WorkerOptions;
use super::parts::{Parts, Plan};
use super::redis::Redis;
use super::registry::Registry;

/// A worker, ready to run.
pub struct Worker {
    plan: Plan,
}

impl Worker {
    /// Puts a worker together; nothing happens before `run`.
    pub fn new<A: Clone + Send + Sync + 'static>(
        options: WorkerOptions,
        redis: Redis,
        registry: Registry<A>,
    ) -> Worker {
        let (handlers, lines) = registry.into_parts();
        let counters = Counters::new(handlers.tallies());
        let meter = Arc::new(Meter::new(counters, options.concurrency, options.measure_waits));
        let (chain, notices, listeners) =
            (Chain::default(), Notices::default(), Listeners::default());
        let handlers = Arc::new(handlers);
        let plan = Plan { options, redis, handlers, lines, chain, notices, listeners, meter };
        Worker { plan }
    }

    /// Its instruments: for metrics, from the beginning to the end of the process.
    pub fn meter(&self) -> Arc<Meter> {
        self.plan.meter.clone()
    }

    /// Adds middleware around every run: `async fn(call, next) -> anyhow::Result<()>`. The last
    /// one added is the innermost; inside of it the arguments are decoded and the job runs. What
    /// it returns is what became of the job, [`Stop`] included; not to call `next` and return
    /// `Ok` skips the job, which is done then. A payload that is none and a class that nobody
    /// knows do not get here.
    ///
    /// [`Stop`]: super::Stop
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Worker
    where
        F: Fn(Call, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.plan.chain.add(middleware);
        self
    }

    /// Tells of every run that fails, with or without another attempt to come: by an error, a
    /// panic, at its time limit, for want of a handler, by the death of its processes. For error
    /// reports; the log has it anyway. It is called on threads that have no time: pass on what
    /// comes and return. Interruptions and what a job drops itself are no failures.
    pub fn on_failure(mut self, hear: impl Fn(&Failed) + Send + Sync + 'static) -> Worker {
        self.plan.listeners.add(hear);
        self
    }

    /// Tells of jobs that are stuck and of processes that had to go for them. It is called on
    /// threads that have no time: pass on what comes and return.
    pub fn notices(mut self, tell: impl Fn(Notice) + Send + Sync + 'static) -> Worker {
        self.plan.notices = Notices::new(tell);
        self
    }

    /// Runs jobs until the queues that it serves are empty and nothing runs any more, then stops:
    /// for tests, on a server of their own. What waits for its time, in the schedule or for its
    /// next attempt, is left there; a failed job is no error.
    pub async fn drain(self) -> anyhow::Result<()> {
        let Plan { redis, options, handlers, .. } = &self.plan;
        let known = handlers.queues().chain(["default".to_owned()]).collect();
        let idle = Idle { redis: redis.second(), list: options.queues.clone(), known };
        let lifecycle = Lifecycle::new();
        let mut run = pin!(self.run(lifecycle.clone()));
        tokio::select! {
            ended = &mut run => return ended.map(drop),
            () = idle.reached() => lifecycle.stop(),
        }
        run.await.map(drop)
    }

    /// Runs jobs until the lifecycle stops or the watchdog finds that a fresh process is wanted,
    /// then gives back what did not finish. Waits for a Redis that is not there yet. An error if
    /// the server is too old or a part of the engine ends unasked.
    pub async fn run(self, lifecycle: Lifecycle) -> anyhow::Result<Exit> {
        let redis = &self.plan.redis;
        note_panics();
        tokio::select! {
            up = redis.up() => up?,
            () = lifecycle.stopping() => return Ok(lifecycle.exit()),
        }
        tokio::select! {
            () = redis.introduce() => {}
            () = lifecycle.stopping() => return Ok(lifecycle.exit()),
        }
        let mut parts = Parts::start(self.plan, lifecycle.clone())?;
        let ended = tokio::select! {
            () = lifecycle.stopping() => None,
            part = parts.tasks.join_next() => Some(format!("{part:?}")),
            _ = &mut parts.heartbeat => Some("the heartbeat".to_owned()),
        };
        lifecycle.stop();
        parts.stop().await;
        match ended {
            None => Ok(lifecycle.exit()),
            Some(part) => bail!("a part of the engine ended by itself: {part}"),
        }
    }
}
