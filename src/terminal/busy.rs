//! `jobs busy`: what runs.

use serde_json::json;

use super::screen::{Screen, Tone};
use super::table::Table;
use super::{Answer, connect, refused, strange};
use crate::config::Config;
use crate::engine::inspect::{self, Processes};
use crate::text::{about, plain};

/// Lists the running jobs of all worker processes, Ruby's Sidekiq included; the longest first.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Busy {
    /// The answer as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
As of the last heartbeats, 5 s ago at most (10 s with newer Sidekiqs): short jobs are rarely seen.
Arguments are not shown.

Examples:
  jobs busy
  jobs busy --json | jq -r '.running[] | select(.queue == \"imports\") | .jid'

Exit codes: 0; 1 Redis cannot be reached; 2 bad usage.";

impl Busy {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let mut seen = inspect::processes(&redis).await.map_err(refused)?;
        seen.all.sort_by(|one, other| {
            let oldest =
                |it: &inspect::Process| it.running.first().map_or(f64::MAX, |job| job.run_at);
            oldest(one).total_cmp(&oldest(other))
        });
        let text = if self.json { as_json(&seen) } else { words(&seen) };
        Ok(Answer { text, remarks: strange(seen.unreadable), code: 0 })
    }
}

fn words(seen: &Processes) -> String {
    let mut table = Table::new().whole("jid").text("class").text("queue").number("for");
    table = table.text("process");
    for process in &seen.all {
        for job in &process.running {
            let age = about(seen.now - job.run_at);
            let names = [&job.jid, &job.class, &job.queue, &process.identity].map(|it| plain(it));
            let [jid, class, queue, process] = names;
            table.row([jid, class, queue, age, process], Tone::Plain);
        }
    }
    match table.is_empty() {
        true => format!("nothing runs (live processes: {})", seen.all.len()),
        false => table.show(Screen::here()),
    }
}

fn as_json(seen: &Processes) -> String {
    let jobs = seen.all.iter().flat_map(|process| {
        process.running.iter().map(|job| {
            json!({
                "jid": job.jid,
                "class": job.class,
                "queue": job.queue,
                "age": (seen.now - job.run_at).max(0.0) as u64,
                "run_at": job.run_at,
                "process": process.identity,
            })
        })
    });
    let running: Vec<_> = jobs.collect();
    json!({ "processes": seen.all.len(), "unreadable": seen.unreadable, "running": running })
        .to_string()
}
