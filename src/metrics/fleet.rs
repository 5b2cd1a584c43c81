//! All processes together, as Redis knows them: what any `web` can tell.

use std::time::{Duration, Instant};

use redis::RedisResult;
use tokio::time::timeout;

use super::{Page, apart};
use crate::engine::inspect::{self, Figures, Known, Queue, Timed};
use crate::engine::{Redis, ServerInfo};

/// All questions to Redis together, for one who asks every few seconds: a scraper gives up after ten.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What Redis tells. Without an answer it is that, and not the page, which fails.
pub async fn page(redis: &Redis, known: &Known) -> Page {
    let mut page = Page::default();
    page.resident();
    let told = match redis.status() {
        Ok(()) => timeout(PATIENCE, Told::ask(redis, known)).await.ok().and_then(RedisResult::ok),
        Err(_) => None,
    };
    let up = f64::from(u8::from(told.is_some()));
    page.gauge("roustabout_redis_up", "Whether Redis answers.", up);
    if let Some(told) = told {
        told.server(&mut page);
        told.queues(&mut page);
        told.sets(&mut page);
        told.processes(&mut page);
        told.jobs(&mut page);
    }
    page
}

struct Told {
    round_trip: Duration,
    info: ServerInfo,
    figures: Figures,
}

impl Told {
    async fn ask(redis: &Redis, known: &Known) -> RedisResult<Told> {
        let asked = Instant::now();
        redis.query::<()>(&redis::cmd("PING")).await?;
        Ok(Told {
            round_trip: asked.elapsed(),
            // a managed server may refuse to tell
            info: redis.server_info().await.unwrap_or_default(),
            figures: inspect::figures(redis, known).await?,
        })
    }

    fn server(&self, page: &mut Page) {
        let ServerInfo { used_memory, maxmemory, clients, maxclients, .. } = self.info;
        let mut gauge = |name: &str, help: &str, value: f64| page.gauge(name, help, value);
        let help = "How long Redis took to answer a ping.";
        gauge("roustabout_redis_round_trip_seconds", help, self.round_trip.as_secs_f64());
        let help = "Memory that Redis uses.";
        gauge("roustabout_redis_memory_used_bytes", help, used_memory as f64);
        let help = "Memory that Redis may use; 0 if it has no limit of its own.";
        gauge("roustabout_redis_memory_max_bytes", help, maxmemory as f64);
        let help = "Connections to Redis, of whomever.";
        gauge("roustabout_redis_connections", help, clients as f64);
        let help = "Connections that Redis allows; 0 if it does not say.";
        gauge("roustabout_redis_connections_max", help, maxclients as f64);
    }

    fn queues(&self, page: &mut Page) {
        type Seen = (usize, f64, bool, usize);
        let join = |one: Seen, other: Seen| {
            (one.0 + other.0, one.1.max(other.1), one.2 || other.2, one.3.max(other.3))
        };
        let seen = |it: &Queue| (it.size, it.latency.unwrap_or(0.0), it.paused, it.served_by);
        let queues = self.figures.queues.all.iter();
        let all = apart(queues.map(|it| (it.name.as_str(), seen(it))), join);
        let mut gauges = |name: &str, help: &str, value: fn(&Seen) -> f64| {
            let queue = |(name, it): (&String, _)| (vec![("queue", name.clone())], value(it));
            page.gauges(name, help, all.iter().map(queue));
        };
        gauges("roustabout_queue_jobs", "Jobs that wait in the queue.", |it| it.0 as f64);
        let help = "For how long the oldest job of the queue has waited; 0 if none does.";
        gauges("roustabout_queue_oldest_job_age_seconds", help, |it| it.1);
        let help = "1 if the queue is paused, else 0.";
        gauges("roustabout_queue_paused", help, |it| f64::from(u8::from(it.2)));
        let help = "Live processes that take jobs of the queue.";
        gauges("roustabout_queue_served_by", help, |it| it.3 as f64);
    }

    fn sets(&self, page: &mut Page) {
        let Figures { retry, scheduled, dead, .. } = self.figures;
        let set = |name: &str| vec![("set", name.to_owned())];
        let sizes = [("retry", retry.jobs), ("schedule", scheduled.jobs), ("dead", dead)];
        let help = "Jobs in the retry, the scheduled and the dead set.";
        page.gauges("roustabout_set_jobs", help, sizes.map(|(name, n)| (set(name), n as f64)));
        let help = "For how long the first due job of the set has not been moved to its queue.";
        let overdue = [("retry", retry), ("schedule", scheduled)];
        let overdue = overdue.map(|(name, Timed { overdue, .. })| (set(name), overdue));
        page.gauges("roustabout_set_overdue_seconds", help, overdue);
    }

    fn processes(&self, page: &mut Page) {
        let processes = &self.figures.queues.processes;
        let quiet = processes.all.iter().filter(|process| process.quiet).count();
        let mut gauge = |name: &str, help: &str, value: u64| page.gauge(name, help, value as f64);
        let help = "Live worker processes, Sidekiq's included.";
        gauge("roustabout_processes", help, processes.all.len() as u64);
        let help = "Those of them that take no new job.";
        gauge("roustabout_processes_quiet", help, quiet as u64);
        gauge("roustabout_jobs_busy", "Jobs that they run.", processes.busy() as u64);
        let help = "Jobs that they could run at once.";
        gauge("roustabout_concurrency", help, processes.places() as u64);
        let help = "Resident memory of all of them.";
        gauge("roustabout_processes_resident_memory_bytes", help, processes.resident());
    }

    fn jobs(&self, page: &mut Page) {
        let Figures { processed, failed, counters, classes, .. } = &self.figures;
        let help = "Runs that came to an end, Sidekiq's and failed ones included.";
        page.counter("roustabout_jobs_processed_total", help, *processed);
        page.counter("roustabout_jobs_failed_total", "Runs that failed.", *failed);
        page.events("roustabout_events_total", counters.iter().map(|(event, by)| (&**event, *by)));
        page.classes("roustabout_job_runs_total", "roustabout_job_duration_seconds", classes);
    }
}
