//! `jobs stats`: how many.

use serde_json::json;

use super::screen::{Screen, Tone};
use super::table::Table;
use super::{Answer, connect, known, refused, strange};
use crate::config::Config;
use crate::engine::inspect::{self, Figures};
use crate::text::{about, plain};

/// Counts jobs and processes: what has run, what waits where, what went wrong.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stats {
    /// The answer as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Counts of all time and of this day (UTC) are those of Sidekiq's pages; workers bring theirs with each
heartbeat. What Sidekiq has no name for (rescued, buried, discarded, …) comes last.

Examples:
  jobs stats
  watch -n 5 target/release/jobs stats
  jobs stats --json | jq .retries

Exit codes: 0; 1 Redis cannot be reached; 2 bad usage.";

impl Stats {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let figures = inspect::figures(&redis, &known(&redis, config)?).await.map_err(refused)?;
        let text = if self.json { as_json(&figures) } else { words(&figures) };
        let remarks = strange(figures.queues.strange);
        Ok(Answer { text, remarks, code: 0 })
    }
}

struct Sums {
    enqueued: usize,
    latency: f64,
    busy: usize,
    places: usize,
}

fn sums(figures: &Figures) -> Sums {
    let (queues, processes) = (&figures.queues, &figures.queues.processes);
    Sums {
        enqueued: queues.waiting(),
        latency: queues.all.iter().filter_map(|queue| queue.latency).fold(0.0, f64::max),
        busy: processes.busy(),
        places: processes.places(),
    }
}

fn words(figures: &Figures) -> String {
    let Sums { enqueued, latency, busy, places } = sums(figures);
    let mut table = Table::new().text("what").number("jobs").text("");
    let mut row = |what: &str, count: String, more: String, tone| {
        table.row([what.to_owned(), count, more], tone);
    };
    let bad = |count: usize| if count > 0 { Tone::Warn } else { Tone::Plain };
    let today = |count: u64| format!("{count} today");
    row("processed", figures.processed.to_string(), today(figures.processed_today), Tone::Plain);
    row("failed", figures.failed.to_string(), today(figures.failed_today), Tone::Plain);
    let waits = if enqueued > 0 { format!("the next waits {}", about(latency)) } else { "".into() };
    let of = format!("of {places} places in {} processes", figures.queues.processes.all.len());
    row("enqueued", enqueued.to_string(), waits, Tone::Plain);
    row("busy", busy.to_string(), of, Tone::Plain);
    row("scheduled", figures.scheduled.jobs.to_string(), String::new(), Tone::Plain);
    row("retries", figures.retry.jobs.to_string(), String::new(), bad(figures.retry.jobs));
    row("dead", figures.dead.to_string(), String::new(), bad(figures.dead));
    for (name, count) in &figures.counters {
        row(&plain(name), count.to_string(), String::new(), Tone::Plain);
    }
    table.show(Screen::here())
}

fn as_json(figures: &Figures) -> String {
    let Sums { enqueued, latency, busy, places } = sums(figures);
    let answer = json!({
        "processed": figures.processed,
        "failed": figures.failed,
        "processed_today": figures.processed_today,
        "failed_today": figures.failed_today,
        "enqueued": enqueued,
        "latency": latency,
        "busy": busy,
        "concurrency": places,
        "processes": figures.queues.processes.all.len(),
        "scheduled": figures.scheduled.jobs,
        "retries": figures.retry.jobs,
        "dead": figures.dead,
        "counters": figures.counters,
    });
    answer.to_string()
}
