//! Commands from outside: to processes, jobs and queues.

use chrono::{DateTime, Utc};
use redis::{RedisResult, cmd, pipe};

use super::super::jid::known_as;
use super::super::keys;
use super::super::notice::{self, Stopped};
use super::super::redis::Redis;

/// What was found when a job was cancelled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cancelled {
    /// Nobody had cancelled it before.
    pub fresh: bool,
    /// It has saved a cursor, so it is one that comes to checkpoints.
    pub iterates: bool,
}

/// Tells processes to stop, as Sidekiq's API does. They take the command at their next look.
pub async fn stop(redis: &Redis, identities: &[&str]) -> RedisResult<()> {
    command(redis, identities, "TERM").await
}

/// Tells processes to take no new jobs, as Sidekiq's API does. There is no way back but a restart.
pub async fn quiet(redis: &Redis, identities: &[&str]) -> RedisResult<()> {
    command(redis, identities, "TSTP").await
}

async fn command(redis: &Redis, identities: &[&str], word: &str) -> RedisResult<()> {
    let mut commands = pipe();
    for key in identities.iter().map(|identity| keys::signals(identity)) {
        commands.cmd("LPUSH").arg(&key).arg(word);
        commands.cmd("EXPIRE").arg(&key).arg(keys::SIGNALS_TTL.as_secs());
    }
    redis.pipe(&commands).await
}

/// Cancels a job, whether it runs, waits or is yet to come, as Sidekiq's `cancel!` does: it ends
/// at its next checkpoint, or as soon as it asks for its cursor. One that does neither takes no
/// notice.
pub async fn cancel(redis: &Redis, jid: &str) -> RedisResult<Cancelled> {
    let key = keys::iteration(&known_as(&[], Some(jid)));
    let mut note = pipe();
    note.cmd("HSETNX").arg(&key).arg("cancelled").arg(redis.now() as u64);
    // Sidekiq 8.1's page of running jobs, and its workers, fail on a hash without a cursor
    note.cmd("HSETNX").arg(&key).arg("c").arg("null").ignore();
    note.cmd("EXPIRE").arg(&key).arg(keys::ITERATION_TTL.as_secs()).arg("NX").ignore();
    note.cmd("HEXISTS").arg(&key).arg("ex");
    let (fresh, iterates) = redis.pipe(&note).await?;
    Ok(Cancelled { fresh, iterates })
}

/// What became of a command to pause or resume a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paused {
    /// It was not so before.
    pub news: bool,
    /// Somebody has pushed to this queue at some time.
    pub known: bool,
}

/// From when this returns, no process of this engine takes another job of the queue, until it is
/// resumed; what runs goes on. Sidekiq Pro and we go by it, and Sidekiq's pages (8.1) show it.
pub async fn pause(redis: &Redis, queue: &str) -> RedisResult<Paused> {
    set_paused(redis, "SADD", queue).await
}

/// Takes jobs of a paused queue again, at once.
pub async fn resume(redis: &Redis, queue: &str) -> RedisResult<Paused> {
    set_paused(redis, "SREM", queue).await
}

async fn set_paused(redis: &Redis, change: &str, queue: &str) -> RedisResult<Paused> {
    let mut commands = pipe();
    commands.cmd(change).arg(keys::PAUSED).arg(queue);
    commands.cmd("SISMEMBER").arg(keys::QUEUES).arg(queue);
    commands.cmd("EXISTS").arg(keys::queue(queue));
    let replies: RedisResult<(bool, bool, bool)> = redis.pipe(&commands).await;
    // a worker on this very connection is not told of it by the server
    redis.wakes().everything();
    let (news, named, there) = replies?;
    Ok(Paused { news, known: named || there })
}

/// Notes why a process of ours has to stop, so that the one in its place can say that it is back.
pub async fn remember(redis: &Redis, stopped: &Stopped) -> RedisResult<()> {
    notice::remember(redis, stopped).await
}

/// Marks a deploy for the metrics of Sidekiq 6.5 and later, at this minute. False if the same
/// label was marked within the last minute, or another one in this minute.
pub async fn mark_deploy(redis: &Redis, label: &str) -> RedisResult<bool> {
    let now = DateTime::<Utc>::from_timestamp(redis.now() as i64, 0).unwrap_or_default();
    let (minute, day) = (now.format("%Y-%m-%dT%H:%M:00Z").to_string(), now.format("%Y%m%d"));
    let mut lock = cmd("SET");
    lock.arg(keys::deploy_lock(label)).arg(&minute);
    lock.arg("NX").arg("EX").arg(keys::DEPLOY_LOCK_TTL.as_secs());
    if !redis.query::<bool>(&lock).await? {
        return Ok(false);
    }
    let key = keys::marks(&day.to_string());
    let mut mark = pipe();
    mark.cmd("HSETNX").arg(&key).arg(&minute).arg(label);
    mark.cmd("EXPIRE").arg(&key).arg(keys::MARKS_TTL.as_secs()).ignore();
    let (fresh,): (bool,) = redis.pipe(&mark).await?;
    Ok(fresh)
}
