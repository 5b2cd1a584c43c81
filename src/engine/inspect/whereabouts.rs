//! All that is known of a job by its jid: where it is, why it does not run, and what it left beside.

use std::collections::HashMap;

use redis::{RedisResult, Value, pipe};

use super::super::jid::known_as;
use super::super::keys;
use super::super::payload::Payload;
use super::super::redis::Redis;
use super::super::rescues::Rescues;
use super::super::status::Status;
use super::super::ties::Ties;
use super::fleet::{Processes, lenient};
use super::found::Found;
use super::holds::{Hold, holds};
use super::queue_list::{Known, Queue, queues};
use super::search::find;

/// All that is known of a job.
#[derive(Clone, Debug)]
pub struct Whereabouts {
    /// When this was so: the server's time, in epoch seconds.
    pub now: f64,
    /// Where it is: none if it is nowhere, several if its jid is.
    pub places: Vec<Whereabout>,
    /// How far it is, if that is kept.
    pub status: Option<Status>,
    /// Where it goes on, if it has saved that.
    pub cursor: Option<Cursor>,
    /// How often it outlived its process lately, …
    pub rescues: u32,
    /// … and that so many of them bury it.
    pub rescues_at_most: u32,
    /// The live processes.
    pub processes: Processes,
    /// Keys of another type than they should be.
    pub strange: usize,
}

/// One place where a job is.
#[derive(Clone, Debug)]
pub struct Whereabout {
    /// The job and its place.
    pub found: Found,
    /// Why it does not run, the most telling first.
    pub holds: Vec<Hold>,
    /// The queue that it waits in or will go to, if anybody has heard of that.
    pub queue: Option<Queue>,
    /// The lock that it is pushed under, and the jid of the job that has it.
    pub lock: Option<(String, Option<String>)>,
}

/// Where a job with a cursor goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cursor {
    /// As the job wrote it.
    pub at: Option<String>,
    /// How often it has started.
    pub executions: u32,
    /// `CURRENT/TOTAL`, if it says so.
    pub progress: Option<String>,
    /// Somebody has cancelled it.
    pub cancelled: bool,
}

/// What there is to know of the job with this jid.
pub async fn whereabouts(redis: &Redis, jid: &str, known: &Known) -> RedisResult<Whereabouts> {
    let search = find(redis, &[jid.to_owned()], known).await?;
    let queues = queues(redis, known).await?;
    let mut strange = search.strange;
    let (status, cursor, rescues) = beside(redis, jid, queues.now, &mut strange).await?;
    let mut places = Vec::new();
    for found in search.found {
        let queue = queues.all.iter().find(|queue| queue.name == found.entry.queue).cloned();
        let lock = lock(redis, &found.raw, &mut strange).await?;
        places.push(Whereabout { holds: holds(&found, &queues), found, queue, lock });
    }
    Ok(Whereabouts {
        now: queues.now,
        places,
        status,
        cursor,
        rescues,
        rescues_at_most: keys::POISON_LIMIT,
        processes: queues.processes,
        strange,
    })
}

type Beside = (Option<Status>, Option<Cursor>, u32);

async fn beside(redis: &Redis, jid: &str, now: f64, strange: &mut usize) -> RedisResult<Beside> {
    let name = known_as(&[], Some(jid));
    let mut reads = pipe();
    reads.cmd("HGETALL").arg(keys::status(&name));
    reads.cmd("HGETALL").arg(keys::iteration(&name));
    reads.cmd("HGET").arg(keys::RESCUES).arg(&name);
    let mut replies = lenient::<Value>(redis, &mut reads).await?.into_iter();
    let mut next = || match replies.next() {
        Some(Ok(value)) => value,
        _ => {
            *strange += 1;
            Value::Nil
        }
    };
    let [status, cursor, rescues] = [next(), next(), next()];
    let rescues = text(rescues).map_or(0, |record| Rescues::count_of(&record, now));
    Ok((Status::read(texts(status)), Cursor::read(texts(cursor)), rescues))
}

fn text(value: Value) -> Option<String> {
    redis::from_redis_value(value).ok()?
}

/// A hash as texts.
pub(crate) fn texts(value: Value) -> HashMap<String, String> {
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = redis::from_redis_value(value).unwrap_or_default();
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    pairs.into_iter().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

impl Cursor {
    fn read(mut fields: HashMap<String, String>) -> Option<Cursor> {
        let executions = fields.get("ex").and_then(|count| count.parse().ok()).unwrap_or(0);
        (!fields.is_empty()).then(|| Cursor {
            at: fields.remove("c").filter(|cursor| cursor != "null"),
            executions,
            progress: fields.remove("progress"),
            cancelled: fields.contains_key("cancelled"),
        })
    }
}

/// The lock of a job, if it has one, and who has it.
async fn lock(
    redis: &Redis,
    raw: &[u8],
    strange: &mut usize,
) -> RedisResult<Option<(String, Option<String>)>> {
    let ties = Payload::parse(raw).ok().map(|payload| Ties::of_payload(&payload));
    let Some(name) = ties.and_then(|ties| ties.lock) else { return Ok(None) };
    let mut get = redis::cmd("GET");
    let holder = redis.query::<Option<Vec<u8>>>(get.arg(keys::lock(&name))).await;
    let holder = super::sets::there(holder, strange)?;
    let holder = holder.map(|jid| String::from_utf8_lossy(&jid).into_owned());
    Ok(Some((name.into(), holder)))
}
