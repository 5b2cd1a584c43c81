//! `jobs queues`: what waits in each, and whether somebody takes it.

use serde_json::{Value, json};

use super::screen::{Screen, Tone};
use super::table::Table;
use super::{Answer, connect, known, refused, strange};
use crate::config::Config;
use crate::engine::inspect::{self, Queue};
use crate::text::{about, plain};

/// Lists the queues: how many jobs wait, how long the next one has, who serves them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Queues {
    /// The answer as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Lists every queue that somebody has pushed to, that is paused, or that a live process serves. Limits are
those of QUEUE_LIMITS here, which should be what the workers have: on Heroku it is.

Examples:
  jobs queues
  jobs queues --json | jq -r '.queues[] | select(.latency > 60) | .name'

Exit codes: 0; 1 Redis cannot be reached; 2 bad usage.";

impl Queues {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let seen = inspect::queues(&redis, &known(&redis, config)?).await.map_err(refused)?;
        let text = match self.json {
            true => {
                json!({ "queues": seen.all.iter().map(as_json).collect::<Vec<_>>() }).to_string()
            }
            false => words(&seen.all),
        };
        Ok(Answer { text, remarks: strange(seen.strange), code: 0 })
    }
}

fn words(queues: &[Queue]) -> String {
    let mut table = Table::new().text("queue").number("waiting").number("next for");
    table = table.number("running").number("processes").text("state");
    for queue in queues {
        let latency = queue.latency.map_or(String::new(), about);
        let (state, tone) = state(queue);
        let [waiting, running, served] =
            [queue.size, queue.running, queue.served_by].map(|number| number.to_string());
        table.row([plain(&queue.name), waiting, latency, running, served, state], tone);
    }
    table.show(Screen::here())
}

/// What holds its jobs up, and its limits.
fn state(queue: &Queue) -> (String, Tone) {
    let mut words = Vec::new();
    let unserved = queue.served_by == 0 && queue.size > 0;
    words.extend(queue.paused.then(|| "paused".to_owned()));
    words.extend(unserved.then(|| "served by nobody".to_owned()));
    words.extend(queue.at_once.map(|most| format!("{} of {most} at once", queue.held)));
    words.extend(
        queue
            .starts
            .map(|(most, seconds, used)| format!("{used} of {most} starts in {}", about(seconds))),
    );
    let tone = match (unserved, queue.paused) {
        (true, _) => Tone::Bad,
        (_, true) => Tone::Warn,
        _ => Tone::Plain,
    };
    (words.join(", "), tone)
}

fn as_json(queue: &Queue) -> Value {
    json!({
        "name": queue.name,
        "size": queue.size,
        "latency": queue.latency,
        "running": queue.running,
        "paused": queue.paused,
        "processes": queue.served_by,
        "at_once": queue.at_once.map(|most| json!({ "most": most, "held": queue.held })),
        "starts": queue.starts.map(|(most, seconds, used)| {
            json!({ "most": most, "seconds": seconds, "used": used })
        }),
    })
}
