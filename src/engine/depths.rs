//! How many jobs wait in each queue, and for how long the oldest one has.

use std::collections::BTreeSet;

use redis::{RedisResult, pipe};

use super::clock::moment;
use super::fleet::lenient;
use super::keys;
use super::payload::Payload;
use super::redis::Redis;

/// Queues asked about in one write: an oldest job may be of some MiB.
const AT_ONCE: usize = 100;

/// A queue as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Depth {
    /// Which; a stranger chose it.
    pub queue: String,
    /// Jobs that wait.
    pub jobs: u64,
    /// For how many seconds the oldest of them has been in it; 0 if it is empty or does not say.
    pub oldest: f64,
    /// Whether it is paused.
    pub paused: bool,
}

/// All queues that anybody has pushed to, or has paused, by name. One under whose key something
/// else stands counts as empty, and one whose name is no text is left out: nobody can serve it.
pub async fn depths(redis: &Redis) -> RedisResult<Vec<Depth>> {
    let mut names = pipe();
    names.cmd("SMEMBERS").arg(keys::QUEUES).cmd("SMEMBERS").arg(keys::PAUSED);
    let [known, paused]: [RedisResult<Vec<Vec<u8>>>; 2] =
        lenient(redis, &mut names).await?.try_into().unwrap_or_else(|_| [Ok(vec![]), Ok(vec![])]);
    let text = |names: RedisResult<Vec<Vec<u8>>>| -> BTreeSet<String> {
        let names = names.unwrap_or_default().into_iter();
        names.filter_map(|name| String::from_utf8(name).ok()).collect()
    };
    let (known, paused) = (text(known), text(paused));
    let all: Vec<&String> = known.union(&paused).collect();
    let mut depths = Vec::with_capacity(all.len());
    for names in all.chunks(AT_ONCE) {
        let mut looks = pipe();
        for key in names.iter().map(|name| keys::queue(name)) {
            looks.cmd("LLEN").arg(&key).cmd("LINDEX").arg(&key).arg(-1);
        }
        let replies: Vec<RedisResult<redis::Value>> = lenient(redis, &mut looks).await?;
        let now = redis.now();
        for (name, reply) in names.iter().zip(replies.chunks(2)) {
            let number = |reply: &RedisResult<redis::Value>| match reply {
                Ok(redis::Value::Int(jobs)) => *jobs as u64,
                _ => 0,
            };
            let since = match reply.get(1) {
                Some(Ok(redis::Value::BulkString(job))) => enqueued_at(job),
                _ => None,
            };
            depths.push(Depth {
                queue: (*name).clone(),
                jobs: reply.first().map_or(0, number),
                oldest: since.map_or(0.0, |since| (now - since).max(0.0)),
                paused: paused.contains(*name),
            });
        }
    }
    Ok(depths)
}

/// Since when a job waits, as its payload says; not every client does.
fn enqueued_at(job: &[u8]) -> Option<f64> {
    let job = Payload::parse(job).ok()?;
    ["enqueued_at", "created_at"].into_iter().find_map(|name| moment(job.raw(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_since_when_it_waits() {
        for (job, since) in [
            (r#"{"enqueued_at":1700000000.5,"created_at":1}"#, Some(1_700_000_000.5)),
            (r#"{"enqueued_at":1700000000500}"#, Some(1_700_000_000.5)),
            (r#"{"args":[{"enqueued_at":5}],"created_at":1700000000}"#, Some(1_700_000_000.0)),
            (r#"{"enqueued_at":"soon"}"#, None),
            ("{}", None),
            ("no job", None),
        ] {
            assert_eq!(enqueued_at(job.as_bytes()), since, "{job}");
        }
    }
}
