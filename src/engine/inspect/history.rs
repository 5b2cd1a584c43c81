//! What the figures were minute by minute, for those who look later. Each process looks once in a
//! minute whether somebody has noted them, and if not, it does: nobody leads, and nobody minds if
//! it fails.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use redis::{RedisResult, Value, cmd, pipe};
use tokio::time::{sleep, timeout};

use super::super::keys;
use super::super::redis::Redis;
use super::fleet::{lenient, read};
use super::oldest::oldest;
use super::whereabouts::texts;

/// Processes that start together do not look together.
const SPREAD: f64 = 5.0;
/// No second of a minute is later for this: the next one would be it too soon.
const LATEST: f64 = 55.0;
/// Queues or processes asked about in one write.
const AT_ONCE: usize = 50;
/// A server that takes longer has better things to do.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many minutes are told, at most: older ones expire.
const LONGEST: usize = 2 * 24 * 60;
const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// The figures at a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// When the minute began, in epoch seconds.
    pub at: i64,
    /// When in it they were noted, in epoch seconds: what came between two of them took so long.
    pub taken: i64,
    /// Runs, failed ones included, of all time.
    pub processed: u64,
    /// Runs that failed, of all time.
    pub failed: u64,
    /// How long the next job had waited in the slowest queue that is not paused, in seconds.
    pub latency: f64,
    /// How many jobs waited in all queues.
    pub enqueued: u64,
    /// How many ran.
    pub busy: u64,
}

/// What ran on a day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Day {
    /// `YYYY-MM-DD`, in UTC.
    pub date: String,
    /// Runs, failed ones included.
    pub processed: u64,
    /// Runs that failed.
    pub failed: u64,
}

/// Looks once a minute, for the life of the process, and always at the same second of it: so looks are
/// spread over the minute, and those that note something are a minute apart.
pub(crate) async fn run(redis: Redis) {
    sleep(Duration::from_secs_f64(fastrand::f64() * SPREAD)).await;
    let _ = redis.up().await; // before, nobody knows the time
    let second = (redis.now() % MINUTE as f64).min(LATEST);
    loop {
        let minute = redis.now() as i64 / MINUTE;
        note_apart(&redis, minute * MINUTE).await;
        let next = ((minute + 1) * MINUTE) as f64 + second - redis.now();
        sleep(Duration::from_secs_f64(next.clamp(1.0, 2.0 * MINUTE as f64))).await;
    }
}

/// On a task of its own: the poller goes on beside it, whatever becomes of this.
async fn note_apart(redis: &Redis, at: i64) {
    let redis = redis.clone();
    let mut noting = tokio::spawn(async move { note(&redis, at).await });
    let why = match timeout(PATIENCE, &mut noting).await {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(panic)) => panic.to_string(),
        Err(late) => late.to_string(),
    };
    noting.abort();
    tracing::debug!(why, "the figures of this minute are not noted");
}

/// Notes the figures of a minute, unless somebody has. Who is the first leaves a mark before it looks,
/// an empty value: where that takes too long, no other process of the fleet tries it as well.
async fn note(redis: &Redis, at: i64) -> RedisResult<()> {
    let (key, field) = (keys::history(&shown(at, DATE)), shown(at, TIME));
    if redis.query(cmd("HEXISTS").arg(&key).arg(&field)).await? {
        return Ok(());
    }
    let mut mark = pipe();
    mark.cmd("HSETNX").arg(&key).arg(&field).arg("");
    mark.cmd("EXPIRE").arg(&key).arg(keys::HISTORY_TTL.as_secs()).ignore();
    let (first,): (bool,) = redis.pipe(&mark).await?;
    if first {
        let sample = Sample { at, ..look(redis).await? };
        redis.query::<()>(cmd("HSET").arg(&key).arg(&field).arg(sample.text())).await?;
    }
    Ok(())
}

const DATE: &str = "%Y-%m-%d";
const TIME: &str = "%H:%M";

fn shown(seconds: i64, format: &str) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().format(format).to_string()
}

/// The figures of now. (Those of a page are more, and cost more.)
async fn look(redis: &Redis) -> RedisResult<Sample> {
    let mut reads = pipe();
    for set in [keys::QUEUES, keys::PAUSED, keys::PROCESSES] {
        reads.cmd("SMEMBERS").arg(set);
    }
    reads.cmd("MGET").arg(keys::stat("processed", None)).arg(keys::stat("failed", None));
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    let [queues, paused, processes] = [0, 1, 2].map(|at| texts_of(&replies[at]));
    let paused: HashSet<String> = paused.into_iter().collect();
    let (processed, failed): (Option<u64>, Option<u64>) = read(&replies[3]);
    let taken = redis.now();
    let mut sample = Sample { taken: taken as i64, ..Sample::default() };
    (sample.processed, sample.failed) = (processed.unwrap_or(0), failed.unwrap_or(0));
    for names in queues.chunks(AT_ONCE) {
        let mut reads = pipe();
        for name in names {
            reads.cmd("LLEN").arg(keys::queue(name));
        }
        let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
        sample.enqueued += replies.iter().map(read::<u64>).sum::<u64>();
        for (name, since) in names.iter().zip(oldest(redis, names).await?) {
            let since = since.filter(|_| !paused.contains(name));
            sample.latency = sample.latency.max(since.map_or(0.0, |since| taken - since));
        }
    }
    for identities in processes.chunks(AT_ONCE) {
        let mut reads = pipe();
        for identity in identities {
            reads.cmd("HGET").arg(identity).arg("busy");
        }
        let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
        sample.busy += replies.iter().map(|busy| u64::from(read::<u32>(busy))).sum::<u64>();
    }
    Ok(sample)
}

/// A set of names, as far as they are texts.
fn texts_of(reply: &RedisResult<Value>) -> Vec<String> {
    let members: Vec<Vec<u8>> = read(reply);
    members.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect()
}

impl Sample {
    /// Six numbers: of the times, the seconds into the minute, and the latency in milliseconds.
    fn text(&self) -> String {
        let Sample { at, taken, processed, failed, latency, enqueued, busy } = self;
        let second = (taken - at).clamp(0, MINUTE);
        format!("{processed} {failed} {:.0} {enqueued} {busy} {second}", latency * 1e3)
    }

    fn parse(date: &str, time: &str, text: &str) -> Option<Sample> {
        let at = NaiveDateTime::parse_from_str(&format!("{date} {time}"), "%Y-%m-%d %H:%M").ok()?;
        let at = at.and_utc().timestamp();
        let numbers: Option<Vec<u64>> = text.split(' ').map(|word| word.parse().ok()).collect();
        let [processed, failed, millis, enqueued, busy, second] = numbers?[..] else { return None };
        let (taken, latency) = (at + second.min(60) as i64, millis as f64 / 1e3);
        Some(Sample { at, taken, processed, failed, latency, enqueued, busy })
    }
}

/// The figures of the last minutes, the oldest first: of two days at most, and of a minute in which
/// no worker ran there are none.
pub async fn history(redis: &Redis, minutes: usize) -> RedisResult<Vec<Sample>> {
    let now = server_now(redis).await?;
    let from = now - minutes.min(LONGEST) as i64 * MINUTE;
    let dates: Vec<String> = (from / DAY..=now / DAY).map(|day| shown(day * DAY, DATE)).collect();
    let mut reads = pipe();
    for date in &dates {
        reads.cmd("HGETALL").arg(keys::history(date));
    }
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    let mut samples = Vec::new();
    for (date, reply) in dates.iter().zip(replies) {
        let fields = texts(reply.unwrap_or(Value::Nil));
        samples.extend(fields.iter().filter_map(|(time, text)| Sample::parse(date, time, text)));
    }
    samples.retain(|sample| (from + 1..=now).contains(&sample.at));
    samples.sort_unstable_by_key(|sample| sample.at);
    Ok(samples)
}

/// What ran on each of the last days, this one included, the oldest first: up to five years, as
/// Sidekiq keeps it.
pub async fn days(redis: &Redis, count: usize) -> RedisResult<Vec<Day>> {
    let today = server_now(redis).await? / DAY;
    let most = (keys::STAT_TTL.as_secs() as i64 / DAY) as usize;
    let days = (0..count.min(most) as i64).rev().map(|ago| shown((today - ago) * DAY, DATE));
    let dates: Vec<String> = days.collect();
    if dates.is_empty() {
        return Ok(Vec::new());
    }
    let mut reads = pipe();
    for kind in ["processed", "failed"] {
        let keys: Vec<String> = dates.iter().map(|date| keys::stat(kind, Some(date))).collect();
        reads.cmd("MGET").arg(keys);
    }
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    let numbers = |at: usize| -> Vec<u64> {
        let texts: Vec<Option<Vec<u8>>> = read(&replies[at]);
        let number = |text: Vec<u8>| String::from_utf8(text).ok()?.parse().ok();
        texts.into_iter().map(|text| text.and_then(number).unwrap_or(0)).collect()
    };
    let counts = numbers(0).into_iter().zip(numbers(1));
    let day = |(date, (processed, failed))| Day { date, processed, failed };
    Ok(dates.into_iter().zip(counts).map(day).collect())
}

async fn server_now(redis: &Redis) -> RedisResult<i64> {
    let (seconds, _): (i64, i64) = redis.query(&cmd("TIME")).await?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read() {
        let at = 1_699_999_980;
        let sample = Sample { at, taken: at + 7, processed: 9, failed: 4, ..Sample::default() };
        let sample = Sample { latency: 1.5, enqueued: 6, ..sample };
        let read = Sample::parse(&shown(at, DATE), &shown(at, TIME), &sample.text());
        assert_eq!((sample.text().as_str(), read), ("9 4 1500 6 0 7", Some(sample)));
        for odd in ["", "1 2 3 4 5", "1 2 3 4 5 6 7", "1 2 3 4 5 x", "-1 2 3 4 5 6"] {
            assert_eq!(Sample::parse("2026-01-01", "00:00", odd), None, "{odd}");
        }
        for (date, time) in [("2026-01-01", "24:00"), ("2026-01-01", "x"), ("x", "00:00")] {
            assert_eq!(Sample::parse(date, time, "1 2 3 4 5 6"), None);
        }
    }
}
