//! Every Redis key of the engine, its lifetime and cap. No other file of the engine holds a key
//! literal; keys of your own are safe from it under any other prefix.
//!
//! The unprefixed names are Sidekiq's (its 6.4 to 8.x, read from its source) and carry Sidekiq's
//! meaning, so that its clients, its Web UI and its API see our worker as one of their own.
//! What only we know starts with `roustabout:`.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Set of the bare names of all queues ever pushed to.
pub(crate) const QUEUES: &str = "queues";
/// Sorted set of jobs that wait for their time; score = epoch seconds.
pub(crate) const SCHEDULE: &str = "schedule";
/// Sorted set of failed jobs that wait for their next attempt; score = epoch seconds.
pub(crate) const RETRY: &str = "retry";
/// Sorted set of jobs that are given up; score = time of death.
pub(crate) const DEAD: &str = "dead";
/// Set of the identities of live processes. Any reader may prune it, so we never trust it.
pub(crate) const PROCESSES: &str = "processes";

/// Set of the bare names of paused queues (Sidekiq Pro writes it, the pages of 8.1 read it).
pub(crate) const PAUSED: &str = "paused";

/// Set of the identities that may own deliveries; only the reaper takes one out.
pub(crate) const OWNERS: &str = "roustabout:owners";
/// Hash jid -> how often and since when its deliveries outlived their process.
pub(crate) const RESCUES: &str = "roustabout:rescues";
/// Hash of counters that Sidekiq has no name for (rescued, poisoned, lost leases, …).
pub(crate) const COUNTERS: &str = "roustabout:counters";
/// Hash of what the runs of each registered class came to, from the beginning: field `CLASS|f`
/// failures, `CLASS|us` time, and `CLASS|0` to `CLASS|25` the histogram of those that ended well.
pub(crate) const RUNS: &str = "roustabout:runs";
/// Never there: to ask by a removal whether the server takes writes.
pub(crate) const PROBE: &str = "roustabout:probe";
/// Since when (epoch ms) heartbeats have come through without a break; expires with one.
pub(crate) const UNBROKEN: &str = "roustabout:unbroken";
/// Which process wrote the cron lines: the one that started last of those that live.
pub(crate) const CRON_KEEPER: &str = "roustabout:cron-keeper";

/// What the sidekiq-cron gem calls the place of our cron lines, apart from those of its own.
pub(crate) const CRON_NAMESPACE: &str = "roustabout";

/// Set of the keys of all cron lines of ours. These are the sidekiq-cron gem's keys, in a namespace
/// of our own.
pub(crate) const CRON_LINES: &str = "cron_jobs:roustabout";

/// The same for ours, for Ruby's where nothing else is said, and for those of the gem before its 2.
pub(crate) const CRON_SETS: [&str; 3] = [CRON_LINES, "cron_jobs:default", "cron_jobs"];

/// What the keys of cron lines begin with, whose ever they are.
pub(crate) const CRON_PREFIX: &str = "cron_job:";

/// The hash of a cron line: the gem's fields, and `last_slot` of ours.
pub(crate) fn cron_line(name: &str) -> String {
    format!("cron_job:roustabout:{name}")
}

/// The sorted set of the slots of a cron line that were enqueued lately, by time.
pub(crate) fn cron_slots(line: &str) -> String {
    format!("{line}:enqueued")
}

/// The list of the jobs of a cron line that were enqueued lately.
pub(crate) fn cron_history(line: &str) -> String {
    format!("{line}:jid_history")
}

/// A push that may be sent again was done under this id (drawn anew for each push: two pushes
/// may bear the same jid).
pub(crate) fn pushed(id: &str) -> String {
    format!("roustabout:pushed:{id}")
}

/// The lock of jobs of which one at a time is enough: the jid of the one that has it.
pub(crate) fn lock(name: &str) -> String {
    format!("roustabout:unique:{name}")
}

/// Hash of how far a job is, for those who ask by its jid.
pub(crate) fn status(jid: &str) -> String {
    format!("roustabout:status:{jid}")
}

/// What the keys of queues begin with.
pub(crate) const QUEUE_PREFIX: &str = "queue:";

/// The list of a queue: pushed on the left, taken from the right.
pub(crate) fn queue(name: &str) -> String {
    format!("{QUEUE_PREFIX}{name}")
}

/// The hash of the deliveries that a process holds: field `BATCH:INDEX`, value = length of the
/// queue's name, `:`, the name, the payload's raw bytes.
pub(crate) fn inflight(identity: &str) -> String {
    format!("roustabout:inflight:{identity}")
}

/// What the names of the sets of jobs in progress begin with.
pub(crate) const RUNNING_PREFIX: &str = "roustabout:running:";

/// Set of the deliveries of a queue that are in progress, if there is a limit for them:
/// `BATCH:INDEX:IDENTITY`, which points to a field of an in-flight hash.
pub(crate) fn running(queue: &str) -> String {
    format!("{RUNNING_PREFIX}{queue}")
}

/// Hash hundredth of a time (`s`, `m`, `h`) -> starts in it, of a queue with such a limit; expires
/// with the last.
pub(crate) fn starts(unit: char, queue: &str) -> String {
    format!("roustabout:starts:{unit}:{queue}")
}

/// Running jobs as Sidekiq 6.4.2 and later look for them.
pub(crate) fn work(identity: &str) -> String {
    format!("{identity}:work")
}

/// The same under the name that Sidekiq used through 6.4.1.
pub(crate) fn workers(identity: &str) -> String {
    format!("{identity}:workers")
}

/// What the names of those lists end with.
pub(crate) const SIGNALS_SUFFIX: &str = "-signals";

/// List of remote commands for a process (`TSTP`, `TERM`, `TTIN`).
pub(crate) fn signals(identity: &str) -> String {
    format!("{identity}{SIGNALS_SUFFIX}")
}

/// Cursor and run time of an iterable job (Sidekiq 7.3 and later).
pub(crate) fn iteration(jid: &str) -> String {
    format!("it-{jid}")
}

/// Number of the last heartbeat of a process whose counters were added.
pub(crate) fn beats(identity: &str) -> String {
    format!("roustabout:beats:{identity}")
}

/// Hash identity -> which processes of a host were stopped for stuck jobs, until one that takes
/// the place says so.
pub(crate) fn stopped(host: &str) -> String {
    format!("roustabout:stopped:{host}")
}

/// Hash minute (ISO 8601) -> label: the deploys of a day (`20260131`), for Sidekiq's metrics.
pub(crate) fn marks(day: &str) -> String {
    format!("{day}-marks")
}

/// There while the same label would be the same deploy.
pub(crate) fn deploy_lock(label: &str) -> String {
    format!("deploylock-{label}")
}

/// Hash minute (`HH:MM`) of a UTC day -> what the figures were: six numbers, or nothing as long
/// as somebody looks.
pub(crate) fn history(day: &str) -> String {
    format!("roustabout:history:{day}")
}

/// Totals of a kind (`processed`, `failed`), and per UTC day when `day` is given.
pub(crate) fn stat(kind: &str, day: Option<&str>) -> String {
    match day {
        Some(day) => format!("stat:{kind}:{day}"),
        None => format!("stat:{kind}"),
    }
}

/// Hashes of what the runs of all classes came to in a minute and in ten, with their lifetimes:
/// field `CLASS|p` runs, `CLASS|f` failures, `CLASS|ms` time. As Sidekiq 8 reads them; the last
/// one as 6.5 and 7 do.
pub(crate) fn sums(time: &DateTime<Utc>) -> [(String, Duration); 3] {
    let mut ten_minutes = time.format("j|%y%m%d|%-H:%M").to_string();
    ten_minutes.pop();
    [
        (time.format("j|%y%m%d|%-H:%M").to_string(), MINUTE_TTL),
        (ten_minutes, TEN_MINUTES_TTL),
        (time.format("j|%Y%m%d|%-H:%-M").to_string(), MINUTE_TTL),
    ]
}

/// How long the successful runs of a class took in a minute: 26 counters of 16 bits. As Sidekiq 8
/// reads it, and as 6.5 and 7 do.
pub(crate) fn histograms(class: &str, time: &DateTime<Utc>) -> [String; 2] {
    [
        format!("h|{class}-{}", time.format("%-d-%-H:%-M")),
        format!("{class}-{}", time.format("%d-%H:%-M")),
    ]
}

/// How long the numbers of a minute are kept …
pub(crate) const MINUTE_TTL: Duration = Duration::from_secs(8 * 3_600);
/// … and those of ten.
pub(crate) const TEN_MINUTES_TTL: Duration = Duration::from_secs(72 * 3_600);
/// How long the number of the last heartbeat is remembered: longer than any outage in which a
/// process keeps its counters.
pub(crate) const BEATS_TTL: Duration = Duration::from_secs(86_400);
/// How long the totals of a day are kept.
pub(crate) const STAT_TTL: Duration = Duration::from_secs(5 * 365 * 86_400);
/// How late a push that nobody waits for any more may still arrive.
pub(crate) const PUSHED_TTL: Duration = Duration::from_secs(86_400);
/// How long a cursor outlives its job's last sign of life.
pub(crate) const ITERATION_TTL: Duration = Duration::from_secs(30 * 86_400);
/// A remote command that is not taken within this is void.
pub(crate) const SIGNALS_TTL: Duration = Duration::from_secs(60);
/// How long a stopped process may stay away before its return is no news.
pub(crate) const STOPPED_TTL: Duration = Duration::from_secs(86_400);
/// How long a process that keeps the cron lines may be silent before another one does.
pub(crate) const CRON_KEEPER_TTL: Duration = Duration::from_secs(90);
/// How long the slots of a cron line are listed; as the gem has it.
pub(crate) const CRON_SLOTS_TTL: Duration = Duration::from_secs(86_400);
/// How many jobs of a cron line are listed; as the gem has it.
pub(crate) const CRON_HISTORY: usize = 10;
/// How long the figures of a day are kept from its last one on.
pub(crate) const HISTORY_TTL: Duration = Duration::from_secs(3 * 86_400);
/// How long deploys are shown.
pub(crate) const MARKS_TTL: Duration = Duration::from_secs(90 * 86_400);
/// One deploy is marked at most once within this.
pub(crate) const DEPLOY_LOCK_TTL: Duration = Duration::from_secs(60);
/// Rescues older than this do not count against a job.
pub(crate) const RESCUE_WINDOW: Duration = Duration::from_secs(72 * 3_600);
/// A job rescued this often within the window is buried instead of being run again.
pub(crate) const POISON_LIMIT: u32 = 3;
/// The dead set forgets what is older than this …
pub(crate) const DEAD_TTL: Duration = Duration::from_secs(180 * 86_400);
/// … and what is beyond this many jobs. Sidekiq's rule of trimming keeps one less.
pub(crate) const DEAD_MAX: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand from what Sidekiq 8.0 and 7.3 ask for at these times.
    #[test]
    fn metrics_are_where_sidekiq_looks() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let names = |time| {
            let [(minute, _), (ten, _), (seventh, _)] = sums(&time);
            let [histogram, seventh_histogram] = histograms("A::B", &time);
            [minute, ten, histogram, seventh, seventh_histogram].join(" ")
        };
        assert_eq!(
            names(at(1_741_424_589)), // 2025-03-08 09:03:09
            "j|250308|9:03 j|250308|9:0 h|A::B-8-9:3 j|20250308|9:3 A::B-08-09:3"
        );
        assert_eq!(
            names(at(1_735_689_599)), // 2024-12-31 23:59:59
            "j|241231|23:59 j|241231|23:5 h|A::B-31-23:59 j|20241231|23:59 A::B-31-23:59"
        );
        assert_eq!(
            names(at(1_767_225_600)), // 2026-01-01 00:00:00
            "j|260101|0:00 j|260101|0:0 h|A::B-1-0:0 j|20260101|0:0 A::B-01-00:0"
        );
        assert_eq!(sums(&at(0)).map(|(_, ttl)| ttl.as_secs()), [28_800, 259_200, 28_800]);
    }
}
