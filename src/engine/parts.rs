//! The parts of a running worker: put together, started, and stopped in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::cron_line::CronLine;
use super::failed::Listeners;
use super::fetch::Fetcher;
use super::finish::Finisher;
use super::heartbeat::Heartbeat;
use super::inflight::Inflight;
use super::inspect::history;
use super::intake::Intake;
use super::judge::Judge;
use super::lifecycle::{Lifecycle, Phase, Pulse};
use super::meter::Meter;
use super::middleware::{Call, Chain};
use super::notice::{self, Notices};
use super::options::WorkerOptions;
use super::process::Process;
use super::processor::Processor;
use super::reaper::Rites;
use super::redis::{Redis, until};
use super::registry::Handlers;
use super::serving::Serving;
use super::session::Session;
use super::watchdog::{Life, Limits, Watchdog};
use super::{cron, giveback, poller, reaper, track};

/// How often it is told how many jobs run.
const PULSE: Duration = Duration::from_millis(500);

/// What a worker is made of.
pub(crate) struct Plan {
    pub(crate) options: WorkerOptions,
    pub(crate) redis: Redis,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) lines: Vec<CronLine>,
    pub(crate) chain: Chain<Call, anyhow::Result<()>>,
    pub(crate) notices: Notices,
    pub(crate) listeners: Listeners,
    pub(crate) meter: Arc<Meter>,
}

/// A running worker.
pub(crate) struct Parts {
    options: WorkerOptions,
    processor: Arc<Processor>,
    inflight: Arc<Inflight>,
    stop_beating: Arc<Notify>,
    permits: Arc<Semaphore>,
    /// Resolve when the intake and the heartbeat have ended.
    intake: oneshot::Receiver<()>,
    pub(crate) heartbeat: oneshot::Receiver<()>,
    /// None of these ends by itself.
    pub(crate) tasks: JoinSet<()>,
}

impl Parts {
    pub(crate) fn start(plan: Plan, lifecycle: Lifecycle) -> anyhow::Result<Parts> {
        let Plan { options, redis, handlers, lines, chain, notices, listeners, meter } = plan;
        let own = handlers.queues().chain(["default".to_owned()]);
        let serving = Serving::new(options.queues.clone(), options.limits.clone(), own);
        let process = Arc::new(Process::new(&options, redis.clock().now()));
        let (counters, inflight) = (meter.counters.clone(), meter.inflight.clone());
        let session = Session::new(redis.clone(), process, meter.clone(), options.ttl);
        let finisher = Finisher::new(session.clone(), inflight.clone());
        let judge = Judge {
            handlers: handlers.clone(),
            session: session.clone(),
            counters,
            lifecycle: lifecycle.clone(),
            notices: notices.clone(),
            listeners: listeners.clone(),
        };
        let processor = Arc::new(Processor {
            handlers,
            chain,
            session: session.clone(),
            finisher: finisher.clone(),
            lifecycle: lifecycle.clone(),
            judge,
            job_timeout: options.job_timeout,
            aborting: AtomicBool::new(false),
        });
        let permits = Arc::new(Semaphore::new(options.concurrency));
        let (decided, decisions) = mpsc::unbounded_channel();
        let intake = Intake {
            fetcher: Fetcher::new(
                session.clone(),
                inflight.clone(),
                finisher.clone(),
                decisions,
                serving,
            ),
            processor: processor.clone(),
            inflight: inflight.clone(),
            permits: permits.clone(),
            apart: Arc::new(Semaphore::new(1)),
            lifecycle: lifecycle.clone(),
            safety_poll: options.safety_poll,
            concurrency: options.concurrency,
        };
        let (stop_beating, life) = (Arc::new(Notify::new()), Arc::new(Life::default()));
        let heartbeat =
            beat(&options, &session, &processor, &inflight, stop_beating.clone(), life.clone())?;
        let mut tasks = JoinSet::new();
        let keeper = session.clone();
        tasks.spawn(async move { keeper.keep(decided).await });
        tasks.spawn(async move { finisher.run().await });
        tasks.spawn(timers(redis, lines, meter, lifecycle.clone()));
        let rites = Rites { handlers: processor.handlers.clone(), listeners };
        tasks.spawn(reaper::run(session.clone(), rites, options.reap));
        tasks.spawn(track::run(session.clone()));
        tasks.spawn(notice::say_back(session.clone(), notices));
        tasks.spawn(pulse(session, inflight.clone(), lifecycle.clone()));
        tasks.spawn(say_ready(options.clone(), lifecycle.clone()));
        tasks.spawn(say_quiet(inflight.clone(), lifecycle.clone()));
        tasks.spawn(dump_on_request(inflight.clone(), lifecycle));
        tasks.spawn(async move { life.show().await });
        let intake = take(&mut tasks, intake);
        Ok(Parts { options, processor, inflight, stop_beating, permits, intake, heartbeat, tasks })
    }

    /// The end, in order. It takes at most the grace and a second, whatever Redis does.
    pub(crate) async fn stop(&mut self) {
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
        self.stop_beating.notify_one();
        if !self.heartbeat.is_terminated() {
            until(last, &mut self.heartbeat).await;
        }
        let given_back = until(end, giveback::run(&self.processor.session, &self.inflight)).await;
        let seconds = format!("{:.1}", began.elapsed().as_secs_f32());
        match given_back {
            Some(given_back) => {
                let given_back = given_back + self.processor.finisher.returned();
                tracing::info!(aborted, given_back, seconds, "stopped");
            }
            None => tracing::warn!(
                aborted,
                seconds,
                "stopped while Redis was away: the reaper of another process brings the jobs back"
            ),
        }
        self.tasks.abort_all();
    }

    /// Resolves when no job runs any more: every permit is back, but for those of jobs that never
    /// give theirs back. If one of these does after all, its permit is none of the others'.
    async fn all_ended(&self) {
        loop {
            let stuck = self.stuck();
            let all = self.options.concurrency.saturating_sub(stuck) as u32;
            let _permits = self.permits.acquire_many(all).await;
            if self.stuck() == stuck {
                return;
            }
        }
    }

    fn stuck(&self) -> usize {
        self.inflight.busy().iter().filter(|job| job.left_behind()).count()
    }
}

/// Due jobs, cron lines and the figures of each minute, as long as the process takes jobs at all.
async fn timers(redis: Redis, lines: Vec<CronLine>, meter: Arc<Meter>, lifecycle: Lifecycle) {
    tokio::select! {
        () = poller::run(redis.clone(), &meter.poller) => {}
        () = cron::run(redis.clone(), lines) => {}
        () = history::run(redis) => {}
        () = lifecycle.reached(Phase::Quiet) => {}
    }
    std::future::pending().await
}

/// Tells the supervisors how the process is; at once when it has registered.
async fn pulse(session: Arc<Session>, inflight: Arc<Inflight>, lifecycle: Lifecycle) {
    let mut number = 0;
    loop {
        if let Ok(lease) = timeout(PULSE, session.lease_after(number)).await {
            number = lease.number;
        }
        let (registered, busy, meter) = (session.number() > 0, inflight.load(), &session.meter);
        let beating = meter.beat.within(session.ttl);
        lifecycle.tell(Pulse {
            registered,
            busy,
            beating,
            scheduling: meter.poller.within(poller::ALIVE),
        });
    }
}

async fn say_ready(options: WorkerOptions, lifecycle: Lifecycle) {
    lifecycle.ready().await;
    let WorkerOptions { concurrency, queues, limits, shutdown_timeout, .. } = options;
    if !limits.is_empty() {
        tracing::info!("over all processes at most: {limits}");
    }
    tracing::info!(
        "ready: {concurrency} jobs at once from the queues {queues}, {} s to finish at a stop",
        shutdown_timeout.as_secs_f32()
    );
    std::future::pending().await
}

/// Whoever asked for it looks for a sign of it in the log. (A stop has a line of its own.)
async fn say_quiet(inflight: Arc<Inflight>, lifecycle: Lifecycle) {
    lifecycle.reached(Phase::Quiet).await;
    if lifecycle.phase() == Phase::Quiet {
        tracing::info!(running = inflight.busy().len(), "quiet: no new jobs from now on");
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

/// Starts the heartbeat's thread, and the watchdog on it.
fn beat(
    options: &WorkerOptions,
    session: &Arc<Session>,
    processor: &Processor,
    inflight: &Arc<Inflight>,
    stop: Arc<Notify>,
    life: Arc<Life>,
) -> anyhow::Result<oneshot::Receiver<()>> {
    let watchdog = Watchdog {
        session: session.clone(),
        inflight: inflight.clone(),
        lifecycle: processor.lifecycle.clone(),
        life,
        notices: processor.judge.notices.clone(),
        runtime: Handle::current(),
        limits: Limits {
            stall: options.stall_timeout,
            memory: options.memory_limit,
            grace: options.shutdown_timeout,
        },
    };
    let heartbeat = Heartbeat {
        session: session.clone(),
        inflight: inflight.clone(),
        lifecycle: processor.lifecycle.clone(),
        stop,
        every: options.beat,
    };
    heartbeat.start(watchdog)
}

/// Starts to take jobs; the receiver resolves when that has ended, which is no accident.
fn take(tasks: &mut JoinSet<()>, intake: Intake) -> oneshot::Receiver<()> {
    let (ended, wait) = oneshot::channel();
    tasks.spawn(async move {
        intake.run().await;
        let _ = ended.send(());
        std::future::pending().await
    });
    wait
}
