//! One worker process, as it knows itself: no request to Redis.

use super::{OTHER, Page};
use crate::engine::{Pulse, Readings, Spread};

const READY: (&str, &str) = ("roustabout_worker_ready", "1 if it takes jobs, else 0.");

/// Of a process in which there is none yet.
pub fn starting() -> Page {
    let mut page = Page::default();
    page.resident();
    page.gauge(READY.0, READY.1, 0.0);
    page
}

/// What its instruments show, and whether it is ready.
pub fn page(readings: &Readings, pulse: Pulse, ready: bool) -> Page {
    let mut page = Page::default();
    page.resident();
    let mut gauge = |name: &str, help: &str, value: f64| page.gauge(name, help, value);
    let flag = |flag: bool| f64::from(u8::from(flag));
    gauge(READY.0, READY.1, flag(ready));
    let help = "1 if Redis knows this process, so that it may take jobs.";
    gauge("roustabout_worker_redis_up", help, flag(pulse.registered));
    gauge("roustabout_worker_jobs_busy", "Jobs that it runs.", readings.busy as f64);
    let help = "Jobs that it could run at once.";
    gauge("roustabout_worker_concurrency", help, readings.concurrency as f64);
    if let Some(age) = readings.last_beat {
        let help = "How long ago a heartbeat came through.";
        gauge("roustabout_worker_heartbeat_age_seconds", help, age.as_secs_f64());
        let help = "How long Redis took for the last heartbeat.";
        let took = readings.round_trip.as_secs_f64();
        gauge("roustabout_worker_redis_round_trip_seconds", help, took);
    }
    let events = readings.events.iter().map(|(event, by)| (event.as_str(), *by));
    page.events("roustabout_worker_events_total", events);
    page.classes(
        "roustabout_worker_job_runs_total",
        "roustabout_worker_job_duration_seconds",
        &readings.classes,
    );
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| OTHER.to_owned());
    let waits = readings.waits.iter().map(|(queue, spread)| (name(queue), spread));
    let waits: Vec<(String, &Spread)> = waits.collect();
    let help = "How long jobs had waited in their queue when they started.";
    let waits = waits.iter().map(|(queue, spread)| (&**queue, (*spread).clone()));
    page.spreads("roustabout_worker_queue_wait_seconds", help, "queue", waits);
    page
}
