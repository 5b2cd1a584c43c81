//! All worker processes together, in figures: what is in Redis, ours and Sidekiq's.

use std::collections::BTreeMap;

use redis::{FromRedisValue, Pipeline, RedisResult, Value, pipe};

use super::fleet::lenient;
use super::keys;
use super::meter::Class;
use super::metrics::Runs;
use super::payload::Payload;
use super::redis::Redis;

/// Processes asked about in one write.
const AT_ONCE: usize = 200;
/// So many classes and events are told, in the order of their names.
const TOLD: usize = 1_000;

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Runs of all times, and how many of them failed: Sidekiq's own totals.
    pub processed: u64,
    /// The failed ones among them.
    pub failed: u64,
    /// What else was counted, by name.
    pub events: Vec<(String, u64)>,
    /// What the runs of each class came to; of our workers only.
    pub classes: Vec<Class>,
    /// Jobs that wait for their next attempt.
    pub retry: Timed,
    /// Jobs that wait for their time.
    pub scheduled: Timed,
    /// Jobs that are given up.
    pub dead: u64,
    /// Live processes, those that take no new jobs among them.
    pub processes: u64,
    /// How many of them take no new jobs.
    pub quiet: u64,
    /// Jobs that they run.
    pub busy: u64,
    /// Jobs that they could run at once.
    pub concurrency: u64,
    /// Their resident memory together, in bytes.
    pub resident: u64,
}

/// A set of jobs by time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timed {
    /// How many.
    pub jobs: u64,
    /// For how many seconds the first one has been due and was not moved to its queue.
    pub overdue: f64,
}

/// Reads them in two round trips, and one more for every further 200 processes. What stands under
/// a key and is of another kind counts as nothing.
pub async fn figures(redis: &Redis) -> RedisResult<Figures> {
    let mut look = pipe();
    for kind in ["processed", "failed"] {
        look.cmd("GET").arg(keys::stat(kind, None));
    }
    look.cmd("HGETALL").arg(keys::COUNTERS).cmd("HGETALL").arg(keys::RUNS);
    for set in [keys::RETRY, keys::SCHEDULE, keys::DEAD] {
        look.cmd("ZCARD").arg(set);
    }
    put_first(&mut look);
    look.cmd("SMEMBERS").arg(keys::PROCESSES);
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut look).await?;
    let now = redis.now();
    let mut replies = replies.into_iter().map(|reply| reply.unwrap_or(Value::Nil));
    let mut next = || replies.next().unwrap_or(Value::Nil);
    let mut figures = Figures {
        processed: number(next()),
        failed: number(next()),
        events: numbers(next()).into_iter().take(TOLD).collect(),
        classes: classes(numbers(next())),
        ..Figures::default()
    };
    let [retry, scheduled, dead] = [number(next()), number(next()), number(next())];
    figures.dead = dead;
    figures.retry = Timed { jobs: retry, overdue: overdue(next(), now) };
    figures.scheduled = Timed { jobs: scheduled, overdue: overdue(next(), now) };
    let identities: Vec<Vec<u8>> = read(next()).unwrap_or_default();
    for identities in identities.chunks(AT_ONCE) {
        add_processes(redis, identities, &mut figures).await?;
    }
    Ok(figures)
}

/// Asks for the first members of the timed sets.
fn put_first(look: &mut Pipeline) {
    for set in [keys::RETRY, keys::SCHEDULE] {
        look.cmd("ZRANGE").arg(set).arg(0).arg(0).arg("WITHSCORES");
    }
}

fn overdue(first: Value, now: f64) -> f64 {
    let first: Option<Vec<(Vec<u8>, f64)>> = read(first);
    let due = first.and_then(|first| first.first().map(|(_, score)| *score));
    due.map_or(0.0, |due| (now - due.max(0.0)).max(0.0))
}

/// Adds what these processes tell. One that is gone tells nothing and does not count.
async fn add_processes(
    redis: &Redis,
    identities: &[Vec<u8>],
    figures: &mut Figures,
) -> RedisResult<()> {
    let mut look = pipe();
    for identity in identities {
        look.cmd("HMGET").arg(identity).arg(&["info", "busy", "quiet", "rss"]);
    }
    type Record = (Option<Vec<u8>>, Option<String>, Option<String>, Option<String>);
    let records: Vec<RedisResult<Value>> = lenient(redis, &mut look).await?;
    for record in records.into_iter().flatten() {
        let Some((Some(info), busy, quiet, rss)) = read::<Record>(record) else { continue };
        let info = Payload::parse(&info).ok();
        let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
        let [busy, kib] = [busy, rss].map(|text| number(text).unwrap_or(0));
        figures.processes += 1;
        figures.quiet += u64::from(quiet.as_deref() == Some("true"));
        figures.busy = figures.busy.saturating_add(busy);
        figures.resident = figures.resident.saturating_add(kib.saturating_mul(1_024));
        let places = info.and_then(|info| info.get("concurrency")).unwrap_or(0);
        figures.concurrency = figures.concurrency.saturating_add(places);
    }
    Ok(())
}

fn classes(fields: BTreeMap<String, u64>) -> Vec<Class> {
    let mut classes: BTreeMap<&str, Runs> = BTreeMap::new();
    for (field, value) in &fields {
        if let Some((class, what)) = field.rsplit_once('|') {
            classes.entry(class).or_default().put(what, *value);
        }
    }
    let all = classes.iter().map(|(class, runs)| Class::of(Some(class), runs));
    all.take(TOLD).collect()
}

fn read<T: FromRedisValue>(reply: Value) -> Option<T> {
    T::from_redis_value(reply).ok()
}

fn number(reply: Value) -> u64 {
    read::<String>(reply).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A hash of numbers; a field that holds something else is left out.
fn numbers(reply: Value) -> BTreeMap<String, u64> {
    let fields: Vec<(Vec<u8>, Vec<u8>)> = read(reply).unwrap_or_default();
    let number = |(name, value): (Vec<u8>, Vec<u8>)| {
        Some((String::from_utf8(name).ok()?, String::from_utf8(value).ok()?.parse().ok()?))
    };
    fields.into_iter().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_figure_counts_as_none() {
        let text = |text: &str| Value::BulkString(text.into());
        assert_eq!(number(text("12")), 12);
        for odd in [text("-1"), text("x"), Value::Nil, Value::Array(Vec::new())] {
            assert_eq!(number(odd), 0);
        }
        let hash = ["A|b|f", "2", "A|b|0", "3", "A|b|99", "9", "odd", "1", "A|b|us", "x"];
        let found = classes(numbers(Value::Array(hash.map(text).to_vec())));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_deref(), found[0].succeeded), (Some("A|b"), 3));
        assert_eq!((found[0].failed, found[0].took.seconds), (2, 0.0));
    }

    #[test]
    fn overdue_is_what_is_past() {
        let first =
            |score: f64| Value::Array(vec![Value::BulkString("job".into()), Value::Double(score)]);
        assert_eq!(overdue(first(90.0), 100.0), 10.0);
        assert_eq!(overdue(first(110.0), 100.0), 0.0);
        assert_eq!(overdue(first(f64::NEG_INFINITY), 100.0), 100.0);
        assert_eq!(overdue(Value::Nil, 100.0), 0.0);
    }
}
