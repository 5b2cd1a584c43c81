//! The worker process: starts the parts, lets them run, and stops them in order.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::bail;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::counters::Counters;
use super::cron::CronLine;
use super::fetch::Fetcher;
use super::finish::Finisher;
use super::heartbeat::{Heartbeat, Pulse};
use super::inflight::Inflight;
use super::intake::Intake;
use super::lifecycle::{Exit, Lifecycle};
use super::middleware::{Call, Chain, Next};
use super::process::Process;
use super::processor::Processor;
use super::queues::QueueList;
use super::redis::{Redis, until};
use super::registry::{Handlers, Registry};
use super::session::Session;
use super::watchdog::{Life, Limits, Watchdog};
use super::{cron, giveback, poller, reaper};

/// How a worker works. The times are options so that tests need not wait.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Jobs in progress at once.
    pub concurrency: usize,
    /// Which queues, in which order.
    pub queues: QueueList,
    /// What running jobs get at a stop before they are given back.
    pub shutdown_timeout: Duration,
    /// What a job may take unless it says otherwise; `None` = no limit.
    pub job_timeout: Option<Duration>,
    /// How long a job may hold a thread of the runtime, or the runtime not answer, before the
    /// process gives up: the other jobs are given back, and `run` returns `Exit::Stalled`, or,
    /// where the runtime cannot even do that, the process exits with code 70. `None` = never.
    pub stall_timeout: Option<Duration>,
    /// Above this much resident memory, in MiB, no new job is taken, and `run` returns
    /// `Exit::Memory` when the last one has ended. `None` = no limit.
    pub memory_limit: Option<u64>,
    /// Between two heartbeats.
    pub beat: Duration,
    /// How long the record of a silent process lives; after that it counts as dead.
    pub ttl: Duration,
    /// Between two looks for the jobs of dead processes.
    pub reap: Duration,
    /// Between two looks at all queues, whatever the server's notices say.
    pub safety_poll: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        WorkerOptions {
            concurrency: 10,
            queues: QueueList::default(),
            shutdown_timeout: Duration::from_secs(25),
            job_timeout: Some(Duration::from_secs(1_800)),
            stall_timeout: Some(Duration::from_secs(60)),
            memory_limit: None,
            beat: Duration::from_secs(5),
            ttl: Duration::from_secs(20),
            reap: Duration::from_secs(2),
            safety_poll: Duration::from_secs(5),
        }
    }
}

impl WorkerOptions {
    fn limits(&self) -> Limits {
        let grace = self.shutdown_timeout;
        Limits { stall: self.stall_timeout, memory: self.memory_limit, grace }
    }
}

/// A worker, ready to run.
pub struct Worker {
    options: WorkerOptions,
    redis: Redis,
    handlers: Arc<Handlers>,
    lines: Vec<CronLine>,
    chain: Chain<Call, anyhow::Result<()>>,
}

impl Worker {
    /// Puts a worker together; nothing happens before `run`.
    pub fn new<A: Clone + Send + Sync + 'static>(
        options: WorkerOptions,
        redis: Redis,
        registry: Registry<A>,
    ) -> Worker {
        let (handlers, lines) = registry.into_parts();
        Worker { options, redis, handlers: Arc::new(handlers), lines, chain: Chain::default() }
    }

    /// Adds middleware around every run: `async fn(call, next) -> anyhow::Result<()>`. The last
    /// one added is the innermost.
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Worker
    where
        F: Fn(Call, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.chain.add(middleware);
        self
    }

    /// Runs jobs until the lifecycle stops or the watchdog finds that a fresh process is wanted,
    /// then gives back what did not finish. Waits for a Redis that is not there yet. An error if
    /// the server is too old or a part of the engine ends unasked.
    pub async fn run(self, lifecycle: Lifecycle) -> anyhow::Result<Exit> {
        tokio::select! {
            up = self.redis.up() => up?,
            () = lifecycle.stopping() => return Ok(lifecycle.exit()),
        }
        tokio::select! {
            () = self.redis.introduce() => {}
            () = lifecycle.stopping() => return Ok(lifecycle.exit()),
        }
        let WorkerOptions { concurrency, queues, shutdown_timeout, .. } = &self.options;
        tracing::info!(
            "ready: {concurrency} jobs at once from the queues {queues}, {} s to finish at a stop",
            shutdown_timeout.as_secs_f32()
        );
        let mut engine = Engine::start(self, lifecycle.clone())?;
        let ended = tokio::select! {
            () = lifecycle.stopping() => None,
            part = engine.parts.join_next() => Some(format!("{part:?}")),
            _ = &mut engine.heartbeat => Some("the heartbeat".to_owned()),
        };
        lifecycle.stop();
        engine.stop().await;
        match ended {
            None => Ok(lifecycle.exit()),
            Some(part) => bail!("a part of the engine ended by itself: {part}"),
        }
    }
}

/// The parts of a running worker.
struct Engine {
    options: WorkerOptions,
    processor: Arc<Processor>,
    inflight: Arc<Inflight>,
    pulse: Arc<Pulse>,
    permits: Arc<Semaphore>,
    /// Resolve when the intake and the heartbeat have ended.
    intake: oneshot::Receiver<()>,
    heartbeat: oneshot::Receiver<()>,
    parts: JoinSet<()>,
}

impl Engine {
    fn start(worker: Worker, lifecycle: Lifecycle) -> anyhow::Result<Engine> {
        let Worker { options, redis, handlers, lines, chain } = worker;
        let mut known: Vec<String> = handlers.queues().chain(["default".to_owned()]).collect();
        known.sort();
        known.dedup();
        let process = Arc::new(process(&options, &known, redis.clock().now()));
        let (inflight, counters) = (Arc::new(Inflight::default()), Arc::new(Counters::default()));
        let session =
            Session::new(redis.clone(), process, inflight.clone(), counters.clone(), options.ttl);
        let finisher = Finisher::new(session.clone(), inflight.clone());
        let processor = Arc::new(Processor {
            handlers,
            chain,
            session: session.clone(),
            finisher: finisher.clone(),
            counters,
            lifecycle: lifecycle.clone(),
            job_timeout: options.job_timeout,
            aborting: AtomicBool::new(false),
        });
        let (pulse, life) = (Pulse::new(options.ttl), Arc::new(Life::default()));
        let watchdog = Watchdog {
            session: session.clone(),
            inflight: inflight.clone(),
            lifecycle: lifecycle.clone(),
            life: life.clone(),
            runtime: tokio::runtime::Handle::current(),
            limits: options.limits(),
        };
        let heartbeat = Heartbeat {
            session: session.clone(),
            inflight: inflight.clone(),
            lifecycle: lifecycle.clone(),
            pulse: pulse.clone(),
            every: options.beat,
        };
        let permits = Arc::new(Semaphore::new(options.concurrency));
        let (decided, decisions) = mpsc::unbounded_channel();
        let list = options.queues.clone();
        let fetcher = Fetcher::new(session.clone(), inflight.clone(), decisions, list, known);
        let intake = Intake {
            fetcher,
            processor: processor.clone(),
            inflight: inflight.clone(),
            permits: permits.clone(),
            apart: Arc::new(Semaphore::new(1)),
            lifecycle: lifecycle.clone(),
            safety_poll: options.safety_poll,
        };
        let (intake_ended, intake_wait) = oneshot::channel();
        let mut parts = JoinSet::new();
        parts.spawn({
            let session = session.clone();
            async move { session.keep(decided).await }
        });
        parts.spawn(async move { finisher.run().await });
        parts.spawn(timers(redis.clone(), lines, lifecycle.clone()));
        parts.spawn(reaper::run(session, pulse.clone(), options.reap));
        parts.spawn(dump_on_request(inflight.clone(), lifecycle));
        parts.spawn(async move { life.show().await });
        parts.spawn(async move {
            intake.run().await;
            let _ = intake_ended.send(());
            std::future::pending().await // its end is no accident
        });
        let (intake, heartbeat) = (intake_wait, heartbeat.start(watchdog)?);
        Ok(Engine { options, processor, inflight, pulse, permits, intake, heartbeat, parts })
    }

    /// The end, in order. It takes at most the grace and a second, whatever Redis does.
    async fn stop(&mut self) {
        let began = Instant::now();
        let deadline = began + self.options.shutdown_timeout;
        // the last 250 ms are the give-back's: nothing before it may use them up
        let (last, end) =
            (deadline + Duration::from_millis(550), deadline + Duration::from_millis(800));
        tracing::info!(running = self.inflight.busy().len(), "stopping: no new jobs from now on");
        // a fetch under way is awaited; what it brings goes straight back
        until(last, &mut self.intake).await;
        until(deadline, self.all_ended()).await;
        let aborted = self.inflight.busy().len();
        self.processor.aborting.store(true, Ordering::Release);
        self.inflight.abort_all();
        until((Instant::now() + Duration::from_millis(500)).min(last), self.all_ended()).await;
        until(last, self.processor.finisher.drained()).await;
        self.pulse.stop();
        if !self.heartbeat.is_terminated() {
            until(last, &mut self.heartbeat).await;
        }
        let given_back = until(end, giveback::run(&self.processor.session, &self.inflight)).await;
        let seconds = format!("{:.1}", began.elapsed().as_secs_f32());
        match given_back {
            Some(given_back) => tracing::info!(aborted, given_back, seconds, "stopped"),
            None => tracing::warn!(
                aborted,
                seconds,
                "stopped while Redis was away: the reaper of another process brings the jobs back"
            ),
        }
        self.parts.abort_all();
    }

    /// Resolves when no job runs any more: every permit is back, but for those of jobs that never
    /// give theirs back.
    async fn all_ended(&self) {
        let stuck = self.inflight.busy().iter().filter(|job| job.left_behind()).count();
        let all = self.options.concurrency.saturating_sub(stuck) as u32;
        let _ = self.permits.acquire_many(all).await;
    }
}

/// Due jobs and cron lines, as long as the process takes jobs at all.
async fn timers(redis: Redis, lines: Vec<CronLine>, lifecycle: Lifecycle) {
    tokio::select! {
        () = poller::run(redis.clone()) => {}
        () = cron::run(redis, lines) => {}
        () = lifecycle.reached(super::lifecycle::Phase::Quiet) => {}
    }
    std::future::pending().await
}

async fn dump_on_request(inflight: Arc<Inflight>, lifecycle: Lifecycle) {
    loop {
        lifecycle.dump_requested().await;
        let jobs = inflight.busy();
        tracing::info!(running = jobs.len(), "running jobs, as asked for:");
        jobs.iter().for_each(|job| tracing::info!("  {}", job.describe()));
    }
}

fn process(options: &WorkerOptions, known: &[String], now: f64) -> Process {
    let weighted = options.queues.weighted();
    let queues = options.queues.resolve(known).into_iter();
    let queues: Vec<(String, u32)> =
        queues.map(|queue| (queue.name, if weighted { queue.weight } else { 0 })).collect();
    Process::new(options.concurrency, &queues, now)
}
