//! What the figures were minute by minute, for those who look later. Each process looks once in a
//! minute whether somebody has noted them, and if not, it does: nobody leads, and nobody minds if
//! it fails.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use redis::{RedisResult, Value, cmd, pipe};
use tokio::time::{sleep, timeout};

use super::figures::{Figures, figures};
use super::fleet::{lenient, read};
use super::keys;
use super::queue_list::Known;
use super::redis::Redis;
use super::whereabouts::texts;

/// Not all processes look at the same moment: most see what the first one has noted.
const SPREAD: f64 = 5.0;
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

/// Notes the figures, for the life of the process, a minute for a minute.
pub(crate) async fn run(redis: Redis) {
    loop {
        sleep(Duration::from_secs_f64(fastrand::f64() * SPREAD)).await;
        let _ = redis.up().await; // before, nobody knows the time
        let minute = redis.now() as i64 / MINUTE;
        note_apart(&redis, minute * MINUTE).await;
        let next = ((minute + 1) * MINUTE) as f64 - redis.now();
        sleep(Duration::from_secs_f64(next.clamp(0.0, MINUTE as f64))).await;
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

/// Notes the figures of a minute, unless somebody has.
async fn note(redis: &Redis, at: i64) -> RedisResult<()> {
    let (key, field) = (keys::history(&shown(at, DATE)), shown(at, TIME));
    if redis.query(cmd("HEXISTS").arg(&key).arg(&field)).await? {
        return Ok(());
    }
    let sample = Sample { at, ..Sample::of(&figures(redis, &Known::default()).await?) };
    let mut write = pipe();
    write.cmd("HSETNX").arg(&key).arg(&field).arg(sample.text());
    write.cmd("EXPIRE").arg(&key).arg(keys::HISTORY_TTL.as_secs());
    redis.pipe(&write).await
}

const DATE: &str = "%Y-%m-%d";
const TIME: &str = "%H:%M";

fn shown(seconds: i64, format: &str) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().format(format).to_string()
}

impl Sample {
    fn of(figures: &Figures) -> Sample {
        let queues = &figures.queues;
        let waits = queues.all.iter().filter(|queue| !queue.paused).filter_map(|it| it.latency);
        Sample {
            at: 0,
            processed: figures.processed,
            failed: figures.failed,
            latency: waits.fold(0.0, f64::max),
            enqueued: queues.all.iter().map(|queue| queue.size as u64).sum(),
            busy: queues.processes.all.iter().map(|process| process.busy as u64).sum(),
        }
    }

    /// Five numbers; the latency in milliseconds.
    fn text(&self) -> String {
        let Sample { processed, failed, latency, enqueued, busy, .. } = self;
        format!("{processed} {failed} {:.0} {enqueued} {busy}", latency * 1e3)
    }

    fn parse(date: &str, time: &str, text: &str) -> Option<Sample> {
        let at = NaiveDateTime::parse_from_str(&format!("{date} {time}"), "%Y-%m-%d %H:%M").ok()?;
        let numbers: Option<Vec<u64>> = text.split(' ').map(|word| word.parse().ok()).collect();
        let [processed, failed, millis, enqueued, busy] = numbers?[..] else { return None };
        let (at, latency) = (at.and_utc().timestamp(), millis as f64 / 1e3);
        Some(Sample { at, processed, failed, latency, enqueued, busy })
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
    use super::super::queue_list::{Queue, Queues};
    use super::*;

    #[test]
    fn what_is_noted_is_read() {
        let queue = |latency, paused| Queue { latency, paused, size: 2, ..Queue::default() };
        let all = vec![queue(Some(1.5), false), queue(Some(99.0), true), queue(None, false)];
        let queues = Queues { all, ..Queues::default() };
        let figures = Figures { processed: 9, failed: 4, queues, ..Figures::default() };
        let sample = Sample { at: 1_699_999_980, ..Sample::of(&figures) };
        assert_eq!((sample.latency, sample.enqueued), (1.5, 6));
        let read = Sample::parse(&shown(sample.at, DATE), &shown(sample.at, TIME), &sample.text());
        assert_eq!((sample.text().as_str(), read), ("9 4 1500 6 0", Some(sample)));
        for odd in ["", "1 2 3 4", "1 2 3 4 5 6", "1 2 3 4 x", "-1 2 3 4 5"] {
            assert_eq!(Sample::parse("2026-01-01", "00:00", odd), None, "{odd}");
        }
        assert_eq!(Sample::parse("2026-01-01", "24:00", "1 2 3 4 5"), None);
        assert_eq!(Sample::parse("2026-01-01", "x", "1 2 3 4 5"), None);
    }
}
