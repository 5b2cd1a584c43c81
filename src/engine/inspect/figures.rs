//! How many: what has run, and what is where.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use redis::{RedisResult, Value, pipe};

use super::super::keys;
use super::super::meter::Class;
use super::super::metrics::Runs;
use super::super::redis::Redis;
use super::fleet::{lenient, read};
use super::queue_list::{Known, Queues, queues};

/// So many classes are told, in the order of their names: the names are a stranger's.
const TOLD: usize = 1_000;

/// The figures of all processes together.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Runs, failed ones included, of all time.
    pub processed: u64,
    /// Runs that failed, of all time.
    pub failed: u64,
    /// Runs of this day, in UTC.
    pub processed_today: u64,
    /// Runs of this day that failed.
    pub failed_today: u64,
    /// Jobs that wait for their next attempt.
    pub retry: Timed,
    /// Jobs that wait for their time.
    pub scheduled: Timed,
    /// Jobs that are given up.
    pub dead: usize,
    /// What Sidekiq has no name for: rescued, buried, discarded, …
    pub counters: BTreeMap<String, u64>,
    /// What the runs of each class came to; of our workers only.
    pub classes: Vec<Class>,
    /// The queues, and the live processes.
    pub queues: Queues,
}

/// A set of jobs by time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timed {
    /// How many.
    pub jobs: usize,
    /// For how many seconds the first one has been due and was not moved to its queue.
    pub overdue: f64,
}

/// Counts. What stands under a key and is of another kind counts as nothing.
pub async fn figures(redis: &Redis, known: &Known) -> RedisResult<Figures> {
    let mut queues = queues(redis, known).await?;
    let day = DateTime::<Utc>::from_timestamp(queues.now as i64, 0).unwrap_or_default();
    let day = day.format("%Y-%m-%d").to_string();
    let mut reads = pipe();
    for (kind, day) in
        [("processed", None), ("failed", None), ("processed", Some(&*day)), ("failed", Some(&*day))]
    {
        reads.cmd("GET").arg(keys::stat(kind, day));
    }
    for set in [keys::RETRY, keys::SCHEDULE] {
        reads.cmd("ZCARD").arg(set);
        reads.cmd("ZRANGE").arg(set).arg(0).arg(0).arg("WITHSCORES");
    }
    reads.cmd("ZCARD").arg(keys::DEAD);
    reads.cmd("HGETALL").arg(keys::COUNTERS).cmd("HGETALL").arg(keys::RUNS);
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    queues.strange += replies.iter().filter(|reply| reply.is_err()).count();
    let number = |at: usize| read::<u64>(&replies[at]);
    let timed = |at: usize| Timed {
        jobs: read(&replies[at]),
        overdue: overdue(&replies[at + 1], queues.now),
    };
    Ok(Figures {
        processed: number(0),
        failed: number(1),
        processed_today: number(2),
        failed_today: number(3),
        retry: timed(4),
        scheduled: timed(6),
        dead: read(&replies[8]),
        counters: numbers(&replies[9]),
        classes: classes(&numbers(&replies[10])),
        queues,
    })
}

fn overdue(first: &RedisResult<Value>, now: f64) -> f64 {
    let first: Vec<(Vec<u8>, f64)> = read(first);
    let due = first.first().map(|(_, score)| score.max(0.0));
    due.map_or(0.0, |due| (now - due).max(0.0))
}

/// A hash of numbers; a field that holds something else is left out.
fn numbers(reply: &RedisResult<Value>) -> BTreeMap<String, u64> {
    let fields: Vec<(Vec<u8>, Vec<u8>)> = read(reply);
    let number = |(name, value): (Vec<u8>, Vec<u8>)| {
        Some((String::from_utf8(name).ok()?, String::from_utf8(value).ok()?.parse().ok()?))
    };
    fields.into_iter().filter_map(number).collect()
}

fn classes(fields: &BTreeMap<String, u64>) -> Vec<Class> {
    let mut classes: BTreeMap<&str, Runs> = BTreeMap::new();
    for (field, value) in fields {
        if let Some((class, what)) = field.rsplit_once('|') {
            classes.entry(class).or_default().put(what, *value);
        }
    }
    classes.iter().map(|(class, runs)| Class::of(Some(class), runs)).take(TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_figure_counts_as_none() {
        let text = |text: &str| Value::BulkString(text.into());
        assert_eq!(read::<u64>(&Ok(text("12"))), 12);
        for odd in [text("-1"), text("x"), Value::Nil, Value::Array(Vec::new())] {
            assert_eq!(read::<u64>(&Ok(odd)), 0);
        }
        let hash = ["A|b|f", "2", "A|b|0", "3", "A|b|99", "9", "odd", "1", "A|b|us", "x"];
        let found = classes(&numbers(&Ok(Value::Array(hash.map(text).to_vec()))));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_deref(), found[0].succeeded), (Some("A|b"), 3));
        assert_eq!((found[0].failed, found[0].took.seconds), (2, 0.0));
    }

    #[test]
    fn overdue_is_what_is_past() {
        let first = |score: f64| {
            Ok(Value::Array(vec![Value::BulkString("job".into()), Value::Double(score)]))
        };
        assert_eq!(overdue(&first(90.0), 100.0), 10.0);
        assert_eq!(overdue(&first(110.0), 100.0), 0.0);
        assert_eq!(overdue(&first(f64::NEG_INFINITY), 100.0), 100.0);
        assert_eq!(overdue(&Ok(Value::Nil), 100.0), 0.0);
    }
}
