//! Jobs through a worker: a heap of them, a stream of them, one now and then.

use std::time::Duration;

use redis::cmd;
use roustabout::engine::{Client, Payload, Redis};
use serde_json::json;

use crate::child::{Noop, Running, Seen, Setup, epoch};
use crate::report::{Report, spread};
use crate::server::{self, Usage};
use crate::{Settings, limit};

/// Jobs before those that are measured: what is begun once (buffers, the memory of the last ends)
/// is no part of what a job costs.
const WARM_UP: usize = 60_000;

/// Where jobs wait that no worker shall see yet: no name that is in `queues`.
const PARKED: &str = "load:parked";

/// The heap is made first and then, in one step, becomes a queue of the waiting worker.
pub async fn drain(settings: &Settings, redis: &Redis) -> anyhow::Result<Report> {
    let (jobs, client) = (settings.jobs(), Client::new(redis.clone()));
    let padding = padding(settings.payload);
    let size = size(settings.payload);
    let before = limit::take_and_finish(redis, 100_000, size, limit::BATCH).await?;
    let names: Vec<String> = (0..settings.queues).map(|n| format!("load{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let share = jobs / names.len() + usize::from(n < jobs % names.len());
        let noop = || Payload::new("Noop", json!([{"moment": 0.0, "padding": padding}]));
        for slice in 0..share.div_ceil(10_000) {
            let many = (share - slice * 10_000).min(10_000);
            client.push_all((0..many).map(|_| noop().queue(name)).collect()).await?;
        }
        park(redis, name).await?;
    }
    let (mut report, run) = begin(settings, redis, false).await?;
    let mut release = redis::pipe();
    for name in &names {
        release.cmd("SADD").arg("queues").arg(name);
        release.cmd("RENAME").arg(format!("{PARKED}:{name}")).arg(format!("queue:{name}"));
    }
    for command in release.cmd_iter() {
        redis.query::<redis::Value>(command).await?;
    }
    run.end(&mut report, redis).await?;
    let after = limit::take_and_finish(redis, 100_000, size, limit::BATCH).await?;
    report.limit_jobs_per_s = Some((before.0 + after.0) / 2.0);
    report.more("Redis CPU of the limit, µs a job", (before.1 + after.1) / 2.0);
    if settings.concurrency < limit::BATCH {
        let few = limit::take_and_finish(redis, 20_000, size, settings.concurrency).await?;
        report.more("the bare pair with as few at a time, per second", few.0);
    }
    Ok(report)
}

async fn park(redis: &Redis, name: &str) -> anyhow::Result<()> {
    let mut rename = cmd("RENAME");
    rename.arg(format!("queue:{name}")).arg(format!("{PARKED}:{name}"));
    redis.query::<()>(&rename).await?;
    Ok(redis.query::<()>(cmd("SREM").arg("queues").arg(name)).await?)
}

/// Producer and worker at the same time, each as fast as it can.
pub async fn flow(settings: &Settings, redis: &Redis) -> anyhow::Result<Report> {
    let client = Client::new(redis.clone());
    let padding = padding(settings.payload);
    let (mut report, run) = begin(settings, redis, true).await?;
    for _ in 0..settings.jobs() {
        client.enqueue(Noop { moment: epoch(), padding: padding.clone() }).await?;
    }
    run.end(&mut report, redis).await?;
    Ok(report)
}

/// Jobs that find an idle worker, each in the next of the queues.
pub async fn latency(
    settings: &Settings,
    redis: &Redis,
    scheduled: bool,
) -> anyhow::Result<Report> {
    let jobs = settings.jobs();
    let bare = match scheduled {
        true => None,
        false => Some(tokio::task::spawn_blocking(move || limit::blocking_pop(jobs)).await??),
    };
    let client = Client::new(redis.clone());
    let padding = padding(settings.payload);
    let (mut report, run) = begin(settings, redis, true).await?;
    for n in 0..jobs {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let payload = |moment: f64| {
            let args = json!([{"moment": moment, "padding": padding}]);
            Payload::new("Noop", args).queue(&format!("load{}", n % settings.queues))
        };
        let moment = epoch() + if scheduled { 0.5 } else { 0.0 };
        let payload = payload(moment);
        client.push(if scheduled { payload.with("at", moment) } else { payload }).await?;
    }
    run.end(&mut report, redis).await?;
    report.jobs_per_s = None;
    if let Some(bare) = bare {
        let [p50, p99, _] = spread(bare);
        report.more("a bare blocking pop: p50, ms", p50);
        report.more("a bare blocking pop: p99, ms", p99);
    }
    Ok(report)
}

/// A worker that has begun to be measured.
struct Run {
    worker: Running,
    jobs: f64,
    redis: Usage,
    cpu: f64,
}

async fn begin(settings: &Settings, redis: &Redis, timed: bool) -> anyhow::Result<(Report, Run)> {
    let Settings { concurrency, sleep, .. } = *settings;
    let jobs = settings.jobs();
    let warm_up = if timed || sleep > 0 { 0 } else { (jobs / 2).min(WARM_UP) };
    let setup = Setup { workers: 1, concurrency, warm_up, jobs, sleep, timed };
    let mut worker = Running::start(&setup)?;
    server::registered(redis, 1).await?;
    if warm_up > 0 {
        let noop = || Noop { moment: 0.0, padding: padding(settings.payload) };
        Client::new(redis.clone()).enqueue_all((0..warm_up).map(|_| noop())).await?;
        worker = tokio::task::spawn_blocking(move || worker.warm().map(|()| worker)).await??;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mode = format!("{:?}", settings.mode).to_lowercase();
    let mut report = Report { mode, jobs, concurrency, ..Report::default() };
    report.connections = Some(server::connections(redis).await?);
    report.rss_start_mb = Some(worker.memory()?.0);
    let (cpu, usage) = (worker.cpu()?, Usage::now(redis).await?);
    Ok((report, Run { worker, jobs: jobs as f64, redis: usage, cpu }))
}

impl Run {
    /// Waits for the last job, and for the ends that are on their way.
    async fn end(mut self, report: &mut Report, redis: &Redis) -> anyhow::Result<()> {
        let (seen, worker) = tokio::task::spawn_blocking(move || {
            let seen = self.worker.seen();
            (seen, self.worker)
        })
        .await?;
        let Seen { seconds, late } = seen?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let used = Usage::now(redis).await?.since(self.redis);
        report.jobs_per_s = Some(self.jobs / seconds);
        report.redis_cpu_us_per_job = Some(used.cpu * 1e6 / self.jobs);
        report.redis_commands_per_job = Some(used.commands / self.jobs);
        report.worker_cpu_us_per_job = Some((worker.cpu()? - self.cpu) * 1e6 / self.jobs);
        if !late.is_empty() {
            report.times(late);
        }
        let (end, peak) = worker.memory()?;
        (report.rss_peak_mb, report.rss_end_mb) = (Some(peak), Some(end));
        worker.end()
    }
}

/// What makes a job about this large in Redis.
pub fn padding(size: usize) -> String {
    "x".repeat(size.saturating_sub(EMPTY))
}

/// Of a job without padding.
const EMPTY: usize = 178;

pub fn size(wanted: usize) -> usize {
    wanted.max(EMPTY)
}
