//! How many: what has run, and what is where.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use redis::{RedisResult, Value, pipe};

use super::fleet::{lenient, read};
use super::keys;
use super::queue_list::{Known, Queues, queues};
use super::redis::Redis;

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
    pub retries: usize,
    /// Jobs that wait for their time.
    pub scheduled: usize,
    /// Jobs that are given up.
    pub dead: usize,
    /// What Sidekiq has no name for: rescued, buried, discarded, …
    pub counters: BTreeMap<String, u64>,
    /// The queues, and the live processes.
    pub queues: Queues,
}

/// Counts.
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
    reads.cmd("ZCARD").arg(keys::RETRY).cmd("ZCARD").arg(keys::SCHEDULE);
    reads.cmd("ZCARD").arg(keys::DEAD).cmd("HGETALL").arg(keys::COUNTERS);
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    queues.strange += replies.iter().filter(|reply| reply.is_err()).count();
    let number = |at: usize| read::<u64>(&replies[at]);
    Ok(Figures {
        processed: number(0),
        failed: number(1),
        processed_today: number(2),
        failed_today: number(3),
        retries: number(4) as usize,
        scheduled: number(5) as usize,
        dead: number(6) as usize,
        counters: counters(&replies[7]),
        queues,
    })
}

fn counters(reply: &RedisResult<Value>) -> BTreeMap<String, u64> {
    let pairs: Vec<(String, String)> = read(reply);
    pairs.into_iter().filter_map(|(name, count)| Some((name, count.parse().ok()?))).collect()
}
