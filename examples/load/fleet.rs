//! Many idle workers on many queues: what one job costs the server, all their looking included.

use std::time::{Duration, Instant};

use redis::cmd;
use roustabout::engine::{Client, Payload, Redis};
use serde_json::json;

use crate::Settings;
use crate::child::{Running, Setup};
use crate::report::Report;
use crate::server::{self, Usage};

const WORKERS: usize = 200;
const QUEUES: usize = 200;
const WATCHED: Duration = Duration::from_secs(15);
/// Between two jobs: the fleet is idle again.
const APART: Duration = Duration::from_millis(200);

pub async fn fleet(settings: &Settings, redis: &Redis) -> anyhow::Result<Report> {
    let (jobs, concurrency) = (settings.jobs(), settings.concurrency);
    let mut names = cmd("SADD");
    names.arg("queues").arg((0..QUEUES).map(|n| format!("load{n}")).collect::<Vec<_>>());
    redis.query::<()>(&names).await?;
    let setup = Setup { workers: WORKERS, concurrency, warm_up: 0, jobs, sleep: 0, timed: false };
    let mut workers = Running::start(&setup)?;
    server::registered(redis, WORKERS).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let (before, began) = (Usage::now(redis).await?, Instant::now());
    tokio::time::sleep(WATCHED).await;
    let idle = Usage::now(redis).await?.since(before);
    let idle_seconds = began.elapsed().as_secs_f64();

    let client = Client::new(redis.clone());
    let (before, began) = (Usage::now(redis).await?, Instant::now());
    for n in 0..jobs {
        let args = json!([{"moment": 0.0, "padding": ""}]);
        client.push(Payload::new("Noop", args).queue(&format!("load{}", n % QUEUES))).await?;
        tokio::time::sleep(APART).await;
    }
    let (seen, workers) = tokio::task::spawn_blocking(move || (workers.seen(), workers)).await?;
    seen?;
    let busy = Usage::now(redis).await?.since(before);
    let share = began.elapsed().as_secs_f64() / idle_seconds;

    let per_job = |busy: f64, idle: f64| (busy - idle * share) / jobs as f64;
    let mut report = Report { mode: "fleet".to_owned(), jobs, concurrency, ..Report::default() };
    report.redis_cpu_us_per_job = Some(per_job(busy.cpu, idle.cpu) * 1e6);
    report.redis_commands_per_job = Some(per_job(busy.commands, idle.commands));
    report.connections = Some(server::connections(redis).await?);
    report.more(
        "idle: commands per second of one worker",
        idle.commands / idle_seconds / WORKERS as f64,
    );
    report.more("idle: Redis CPU of all, % of a core", idle.cpu / idle_seconds * 100.0);
    workers.end()?;
    Ok(report)
}
