//! `jobs retry`, `jobs kill`, `jobs delete`: what is to become of jobs that wait or are dead.

use std::collections::HashSet;

use clap::builder::NonEmptyStringValueParser;

use super::progress::Progress;
use super::{Answer, connect, known, refused, strange};
use crate::config::Config;
use crate::engine::Redis;
use crate::engine::inspect::{self, Edit, Edited, Found, Known, Outcome, Search, Set};
use crate::explain::place;
use crate::text::plain;

/// Tries jobs again at once, out of the retry set, the schedule or the dead set.
#[derive(clap::Args)]
#[command(after_help = RETRY)]
pub(super) struct Retry {
    #[command(flatten)]
    which: Which,
    /// All that are given up
    #[arg(long, group = "which")]
    dead: bool,
}

/// Gives jobs up: they lie in the dead set, until somebody retries or deletes them.
#[derive(clap::Args)]
#[command(after_help = KILL)]
pub(super) struct Kill {
    #[command(flatten)]
    which: Which,
}

/// Deletes jobs for good, wherever they wait or lie.
#[derive(clap::Args)]
#[command(after_help = DELETE)]
pub(super) struct Delete {
    #[command(flatten)]
    which: Which,
    /// All that are given up
    #[arg(long, group = "which")]
    dead: bool,
}

#[derive(clap::Args)]
struct Which {
    /// The jobs' ids
    #[arg(value_name = "JID", group = "which", required_unless_present = "which",
          value_parser = NonEmptyStringValueParser::new())]
    jids: Vec<String>,
    /// All that have failed and wait for their next attempt
    #[arg(long, group = "which")]
    retries: bool,
    /// All that wait for their time
    #[arg(long, group = "which")]
    scheduled: bool,
}

const RETRY: &str = "\
The job goes to its queue, behind those that wait there. One that has failed has one failure less, as
when Sidekiq's pages retry it. What waits in a queue or runs is left alone. Of jobs that are to be one
at a time, a dead one is not retried while another waits or runs.

Examples:
  jobs retry 0123456789abcdef01234567
  jobs retry --dead                   all of them, each once, with a bar on a terminal
  jobs dead --json | jq -r '.jobs[] | select(.error_class == \"Timeout\") | .jid' | xargs -r jobs retry

Exit codes: 0 done; 1 a job was not found or left as it is, or Redis cannot be reached; 2 bad usage.";

const KILL: &str = "\
From a queue, the retry set or the schedule. A running job is left alone: `jobs cancel JID` ends one with
a cursor, `jobs stop` its process. Its lock is given back, its status says dead. The dead set keeps
10,000 jobs; older ones have to go, and are counted. What its type would do at its death (`on_death`) is
not done.

Examples:
  jobs kill 0123456789abcdef01234567
  jobs kill --retries                 no further attempts, but keep them

Exit codes: 0 done; 1 a job was not found or left as it is, or Redis cannot be reached; 2 bad usage.";

const DELETE: &str = "\
From a queue, the retry set, the schedule or the dead set. There is no way back. A running job is left
alone: `jobs cancel JID` ends one with a cursor, `jobs stop` its process. Its lock is given back, its
status says dead.

Examples:
  jobs delete 0123456789abcdef01234567
  jobs delete --dead                  all that are given up

Exit codes: 0 done; 1 a job was not found or left as it is, or Redis cannot be reached; 2 bad usage.";

impl Retry {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        self.which.run(config, Edit::Retry, self.dead).await
    }
}

impl Kill {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        self.which.run(config, Edit::Kill, false).await
    }
}

impl Delete {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        self.which.run(config, Edit::Delete, self.dead).await
    }
}

impl Which {
    async fn run(self, config: &Config, edit: Edit, dead: bool) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let set = match (dead, self.retries, self.scheduled) {
            (true, ..) => Set::Dead,
            (_, true, _) => Set::Retries,
            (.., true) => Set::Scheduled,
            _ => return named(&redis, edit, self.jids, &known(&redis, config)?).await,
        };
        let mut bar = Progress::new();
        let progress = |done: usize, total: usize| bar.at(done, total);
        let edited = inspect::edit_all(&redis, edit, set, "", None, progress);
        let edited = edited.await.map_err(refused)?;
        drop(bar);
        Ok(summed_up(edit, &edited))
    }
}

fn summed_up(edit: Edit, edited: &Edited) -> Answer {
    let mut remarks: Vec<String> = Vec::new();
    for (jid, outcome) in &edited.left {
        remarks.push(format!("left alone: {}: it {}", plain(jid), left(outcome)));
    }
    if edited.left_in_all > edited.left.len() {
        remarks.push(format!("{} in all were left as they are", edited.left_in_all));
    }
    remarks.extend(trimmed(edited.trimmed));
    let text = format!("{}: {}", past(edit), edited.done);
    Answer { text, remarks, code: u8::from(edited.left_in_all > 0) }
}

/// Each of these, one after the other: wherever it is, and in each place if its jid is in several.
async fn named(
    redis: &Redis,
    edit: Edit,
    jids: Vec<String>,
    known: &Known,
) -> Result<Answer, String> {
    let mut seen = HashSet::new();
    let jids: Vec<String> = jids.into_iter().filter(|jid| seen.insert(jid.clone())).collect();
    let search = inspect::find(redis, &jids, known).await.map_err(refused)?;
    let (mut lines, mut remarks, mut code) = (Vec::new(), strange(search.strange), 0);
    let (mut let_go, mut bar) = (0, Progress::new());
    for (done, jid) in jids.iter().enumerate() {
        bar.at(done, jids.len());
        let found = of_jid(&search, jid);
        let name = plain(jid);
        if found.is_empty() {
            remarks.push(format!("no job {name} waits, runs or is dead"));
            code = 1;
        }
        if found.len() > 1 {
            remarks.push(format!("{} jobs have the jid {name}", found.len()));
        }
        for found in found {
            let (outcome, gone) = inspect::edit(redis, edit, found).await.map_err(refused)?;
            let_go += gone;
            code |= u8::from(!matches!(outcome, Outcome::Done | Outcome::Already));
            lines.push(told(edit, found, &outcome));
        }
    }
    remarks.extend(trimmed(let_go));
    Ok(Answer { text: lines.join("\n"), remarks, code })
}

fn of_jid<'a>(search: &'a Search, jid: &str) -> Vec<&'a Found> {
    search.found.iter().filter(|found| found.is(jid)).collect()
}

fn told(edit: Edit, found: &Found, outcome: &Outcome) -> String {
    let (class, jid) = (plain(&found.entry.class), plain(&found.entry.jid));
    let from = place(found);
    match outcome {
        Outcome::Done => format!("{}: {class} {jid}, {from}", past(edit)),
        other => format!("left alone: {class} {jid}, {from}: it {}", left(other)),
    }
}

fn past(edit: Edit) -> &'static str {
    match edit {
        Edit::Retry => "retried",
        Edit::Kill => "killed",
        Edit::Delete => "deleted",
    }
}

/// Why nothing was done.
fn left(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "is done".to_owned(),
        Outcome::Gone => "is not there any more: it has moved on; try again".to_owned(),
        Outcome::Already => "needs no more than that".to_owned(),
        Outcome::Runs => "is not touched: `jobs cancel` or `jobs stop` end it".to_owned(),
        Outcome::Locked(jid) => {
            let holder = plain(jid);
            format!("has to wait: {holder} is of the same kind, of which there is one at a time")
        }
        Outcome::NoJob => "is no job that could run: `jobs delete` removes it".to_owned(),
        Outcome::Refused(why) => format!("stays where it is: Redis refuses it ({})", plain(why)),
    }
}

fn trimmed(count: usize) -> Option<String> {
    (count > 0).then(|| format!("the dead set was full or held very old jobs: {count} had to go"))
}
