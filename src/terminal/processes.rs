//! `jobs processes`: who works.

use serde_json::json;

use super::screen::{Screen, Tone};
use super::table::Table;
use super::{Answer, connect, refused, strange};
use crate::config::Config;
use crate::engine::inspect::{self, Process};
use crate::text::{about, plain};

/// Lists the live worker processes, Ruby's Sidekiq included.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Processes {
    /// The answer as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
A process is alive while its heartbeat is there, which outlives it by 20 s at most (Ruby's: 60 s) if it
did not sign off. Its name, the host and what follows, is what `jobs quiet` and `jobs stop` take.

Examples:
  jobs processes
  jobs processes --json | jq -r '.processes[] | select(.rss_kib > 400000) | .identity'

Exit codes: 0; 1 Redis cannot be reached; 2 bad usage.";

impl Processes {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let seen = inspect::processes(&redis).await.map_err(refused)?;
        let text = match self.json {
            true => as_json(&seen),
            false if seen.all.is_empty() => {
                format!("no worker process is alive in the Redis at {}", config.redis.place())
            }
            false => words(&seen),
        };
        Ok(Answer { text, remarks: strange(seen.unreadable), code: 0 })
    }
}

fn words(seen: &inspect::Processes) -> String {
    let mut table = Table::new().whole("process").number("busy").number("of").number("MiB");
    table = table.number("up for").text("state").text("queues");
    for process in &seen.all {
        let [busy, of] = [process.busy, process.concurrency].map(|number| number.to_string());
        let memory = (process.rss_kib / 1_024).to_string();
        let up = process.started_at.map_or(String::new(), |since| about(seen.now - since));
        let queues: Vec<String> = process.queues.iter().map(|name| plain(name)).collect();
        let (state, tone) = state(process);
        let row = [plain(&process.identity), busy, of, memory, up, state, queues.join(",")];
        table.row(row, tone);
    }
    table.show(Screen::here())
}

fn state(process: &Process) -> (String, Tone) {
    let words = [(process.quiet, "quiet"), (process.embedded, "embedded"), (!process.ours, "Ruby")];
    let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    (words.join(" "), if process.quiet { Tone::Warn } else { Tone::Plain })
}

fn as_json(seen: &inspect::Processes) -> String {
    let processes = seen.all.iter().map(|process| {
        json!({
            "identity": process.identity,
            "ours": process.ours,
            "embedded": process.embedded,
            "quiet": process.quiet,
            "busy": process.busy,
            "concurrency": process.concurrency,
            "queues": process.queues,
            "rss_kib": process.rss_kib,
            "started_at": process.started_at,
            "beat": process.beat,
        })
    });
    let processes: Vec<_> = processes.collect();
    json!({ "processes": processes, "unreadable": seen.unreadable }).to_string()
}
