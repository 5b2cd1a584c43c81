//! `jobs retries`, `jobs scheduled`, `jobs dead`: what waits for its time, and what is given up.

use serde_json::{Value, json};

use super::screen::{Screen, Tone};
use super::table::Table;
use super::{Answer, connect, refused};
use crate::config::Config;
use crate::engine::inspect::{self, Entry, Listing, Set};
use crate::text::{about, at, plain};

/// Which, and how many.
#[derive(clap::Args)]
pub(super) struct List {
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 25)]
    limit: usize,
    /// The answer as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) const RETRIES: &str = "\
Arguments are not shown; `jobs why JID` tells more of one.

Examples:
  jobs retries --limit 5
  jobs retries --limit 1000 --json | jq -r '.jobs[] | select(.class == \"Report\") | .jid' | xargs -r jobs retry

Exit codes: 0; 1 Redis cannot be reached; 2 bad usage.";

pub(super) const SCHEDULED: &str = "\
Arguments are not shown; `jobs why JID` tells more of one.

Examples:
  jobs scheduled --limit 5
  jobs scheduled --json | jq .total

Exit codes: 0; 1 Redis cannot be reached; 2 bad usage.";

pub(super) const DEAD: &str = "\
The dead set keeps 10,000 jobs, for half a year. Arguments are not shown; `jobs why JID` tells more of
one, `jobs retry JID` gives it another chance, `jobs retry --dead` all of them.

Examples:
  jobs dead
  jobs dead --limit 10000 --json | jq -r '.jobs[].error_class' | sort | uniq -c

Exit codes: 0; 1 Redis cannot be reached; 2 bad usage.";

impl List {
    pub(super) async fn run(self, config: &Config, set: Set) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let listing = inspect::list(&redis, set, self.limit).await.map_err(refused)?;
        let rest = listing.total.saturating_sub(listing.first.len());
        let text = match self.json {
            true => as_json(&listing),
            false if listing.total == 0 => match set {
                Set::Retries => "no job waits for another attempt".to_owned(),
                Set::Scheduled => "no job waits for its time".to_owned(),
                Set::Dead => "no job is given up".to_owned(),
            },
            false => words(set, &listing),
        };
        let more = (rest > 0 && !self.json).then(|| format!("and {rest} more (--limit N)"));
        Ok(Answer { text, remarks: more.into_iter().collect(), code: 0 })
    }
}

fn words(set: Set, listing: &Listing) -> String {
    let (now, table) = (listing.now, Table::new().whole("jid").text("class").text("queue"));
    let mut table = match set {
        Set::Retries => table.number("in").number("fails").text("error"),
        Set::Scheduled => table.number("in").number("fails").text("at"),
        Set::Dead => table.number("since").number("fails").text("error"),
    };
    for (time, entry) in &listing.first {
        let [jid, class, queue] = [&entry.jid, &entry.class, &entry.queue].map(|it| plain(it));
        let (span, last) = match set {
            Set::Retries => (about(time - now), error(entry)),
            Set::Scheduled => (about(time - now), at(*time)),
            Set::Dead => (about(now - time), error(entry)),
        };
        table.row([jid, class, queue, span, entry.failures.to_string(), last], Tone::Plain);
    }
    table.show(Screen::here())
}

/// In one line.
pub(super) fn error(entry: &Entry) -> String {
    let text =
        |(class, message): &(String, String)| format!("{}: {}", plain(class), plain(message));
    entry.error.as_ref().map_or_else(String::new, text)
}

fn as_json(listing: &Listing) -> String {
    let jobs = listing.first.iter().map(|(at, entry)| {
        let mut job = of_entry(entry);
        job["at"] = json!(at);
        job
    });
    json!({ "total": listing.total, "now": listing.now, "jobs": jobs.collect::<Vec<_>>() })
        .to_string()
}

pub(super) fn of_entry(entry: &Entry) -> Value {
    let (error_class, error) = entry.error.clone().unzip();
    json!({
        "jid": entry.jid,
        "class": entry.class,
        "queue": entry.queue,
        "failures": entry.failures,
        "error_class": error_class,
        "error": error,
        "enqueued_at": entry.enqueued_at,
        "failed_at": entry.failed_at,
        "expires_at": entry.expires_at,
        "bytes": entry.bytes,
    })
}
