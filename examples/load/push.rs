//! Enqueueing: one after the other, many in flight on the one connection, all in one call.

use std::time::Instant;

use roustabout::engine::{Client, Redis};

use crate::child::Noop;
use crate::flow::{padding, size};
use crate::report::Report;
use crate::server::{self, Usage};
use crate::{Settings, limit};

const IN_FLIGHT: usize = 64;

pub async fn push(settings: &Settings, redis: &Redis) -> anyhow::Result<Report> {
    let (jobs, client) = (settings.jobs(), Client::new(redis.clone()));
    let padding = padding(settings.payload);
    let noop = || Noop { moment: 0.0, padding: padding.clone() };
    let size = size(settings.payload);
    let bare = move || limit::push(jobs, IN_FLIGHT, size);
    let before = tokio::task::spawn_blocking(bare).await??;

    let few = (jobs / 10).max(1);
    let (mut times, began) = (Vec::with_capacity(few), Instant::now());
    for _ in 0..few {
        let sent = Instant::now();
        client.enqueue(noop()).await?;
        times.push(sent.elapsed().as_micros() as u32);
    }
    let one_by_one = few as f64 / began.elapsed().as_secs_f64();
    server::empty(redis).await?;

    let (usage, began) = (Usage::now(redis).await?, Instant::now());
    let mut producers = tokio::task::JoinSet::new();
    for n in 0..IN_FLIGHT {
        let (client, padding) = (client.clone(), padding.clone());
        let share = jobs / IN_FLIGHT + usize::from(n < jobs % IN_FLIGHT);
        producers.spawn(async move {
            for _ in 0..share {
                client.enqueue(Noop { moment: 0.0, padding: padding.clone() }).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = producers.join_next().await {
        ended??;
    }
    let rate = jobs as f64 / began.elapsed().as_secs_f64();
    let used = Usage::now(redis).await?.since(usage);
    server::empty(redis).await?;

    let began = Instant::now();
    client.enqueue_all((0..jobs).map(|_| noop())).await?;
    let bulk = jobs as f64 / began.elapsed().as_secs_f64();
    server::empty(redis).await?;
    let after = tokio::task::spawn_blocking(bare).await??;

    let concurrency = IN_FLIGHT;
    let mut report = Report { mode: "push".to_owned(), jobs, concurrency, ..Report::default() };
    report.jobs_per_s = Some(rate);
    report.limit_jobs_per_s = Some((before + after) / 2.0);
    report.redis_cpu_us_per_job = Some(used.cpu * 1e6 / jobs as f64);
    report.redis_commands_per_job = Some(used.commands / jobs as f64);
    report.connections = Some(1);
    report.times(times);
    report.more("one by one, per second", one_by_one);
    report.more("all in one call, per second", bulk);
    report.more("  times the one by one", bulk / one_by_one);
    Ok(report)
}
