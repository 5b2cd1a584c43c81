//! What a worker costs that has nothing to do.

use std::time::{Duration, Instant};

use roustabout::engine::Redis;

use crate::Settings;
use crate::child::{Running, Setup};
use crate::report::Report;
use crate::server::{self, Usage};

const WATCHED: Duration = Duration::from_secs(15);

pub async fn idle(settings: &Settings, redis: &Redis) -> anyhow::Result<Report> {
    let concurrency = settings.concurrency;
    let setup = Setup { workers: 1, concurrency, warm_up: 0, jobs: 0, sleep: 0, timed: false };
    let worker = Running::start(&setup)?;
    server::registered(redis, 1).await?;
    let mut report = Report { mode: "idle".to_owned(), concurrency, ..Report::default() };
    report.rss_start_mb = Some(worker.memory()?.0);
    let (cpu, before, began) = (worker.cpu()?, Usage::now(redis).await?, Instant::now());
    tokio::time::sleep(WATCHED).await;
    let used = Usage::now(redis).await?.since(before);
    let seconds = began.elapsed().as_secs_f64();
    report.connections = Some(server::connections(redis).await?);
    let (end, peak) = worker.memory()?;
    (report.rss_peak_mb, report.rss_end_mb) = (Some(peak), Some(end));
    report.more("Redis commands per second", used.commands / seconds);
    report.more("Redis CPU, % of a core", used.cpu / seconds * 100.0);
    report.more("worker CPU, % of a core", (worker.cpu()? - cpu) / seconds * 100.0);
    worker.end()?;
    Ok(report)
}
