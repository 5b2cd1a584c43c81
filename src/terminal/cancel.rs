//! `jobs cancel`: a job that is not to go on.

use std::collections::HashMap;

use clap::builder::NonEmptyStringValueParser;

use super::{Answer, connect, refused};
use crate::config::Config;
use crate::engine::inspect::{self, Cancelled, Processes, Running};
use crate::text::plain;

/// Cancels jobs: each ends at its next checkpoint, or when it starts.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Cancel {
    /// The jobs' ids
    #[arg(required = true, value_name = "JID", value_parser = NonEmptyStringValueParser::new())]
    jids: Vec<String>,
}

const EXAMPLES: &str = "\
Leaves a note that jobs with a cursor see: a running one at its next checkpoint (within a second or
so; Ruby's within 5), one in a queue, in the schedule or in the retry set when its turn comes. It
ends there: no failure, no retry. A job without a cursor runs all the same, unless it asks
(`cx.cancelled()`). There is no list of all ids, so a job that does not exist (any more) can be
cancelled too; the note is kept for 30 days.

Examples:
  jobs cancel 0123456789abcdef01234567
  jobs check --max-runtime 6h --json | jq -r '.stuck[].jid' | xargs -r jobs cancel

Exit codes: 0 the note is left; 1 Redis cannot be reached; 2 bad usage.";

impl Cancel {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let mut found = Vec::new();
        for jid in &self.jids {
            found.push(inspect::cancel(&redis, jid).await.map_err(refused)?);
        }
        // afterwards: what has started in the meantime has seen the note
        let seen = inspect::processes(&redis).await.map_err(refused)?;
        let running = by_jid(&seen);
        let lines = self.jids.iter().zip(found).map(|(jid, Cancelled { fresh, iterates })| {
            let what = if fresh { "cancelled" } else { "was cancelled before" };
            format!("{what}: {}", outlook(jid, iterates, running.get(jid.as_str())))
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        Ok(Answer { text, remarks: Vec::new(), code: 0 })
    }
}

fn by_jid(seen: &Processes) -> HashMap<&str, (&Running, &str)> {
    let of_all = seen.all.iter().flat_map(|process| {
        process.running.iter().map(move |job| (job, process.identity.as_str()))
    });
    of_all.map(|(job, process)| (job.jid.as_str(), (job, process))).collect()
}

/// What is known of the job, and what will become of it.
fn outlook(jid: &str, iterates: bool, running: Option<&(&Running, &str)>) -> String {
    let jid = plain(jid);
    let Some((job, process)) = running else {
        let then = "where it waits, it ends when its turn comes, if it has a cursor";
        return format!("{jid} does not run, as of the last heartbeats; {then}");
    };
    let then = match iterates {
        true => "ends at its next checkpoint",
        false => "has saved no cursor so far: it ends if it comes to a checkpoint",
    };
    format!("{} {jid} in {} {then}", plain(&job.class), plain(process))
}
