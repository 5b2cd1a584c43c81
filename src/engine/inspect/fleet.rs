//! The worker processes as they look from outside, ours and Sidekiq's, and what they run.
//!
//! The keys are shared with Sidekiq and whoever else writes its format, so nothing is taken for
//! granted: what cannot be read is left out and counted.

use std::collections::{BTreeMap, HashSet};

use redis::{FromRedisValue, Pipeline, RedisResult, Value, from_redis_value, pipe};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::clock::moment;
use super::super::keys;
use super::super::payload::Payload;
use super::super::readable::cut;
use super::super::redis::Redis;
use super::entry::Entry;

/// Processes asked about in one write: thousands would make replies that are late.
const AT_ONCE: usize = 200;

/// The worker processes that are alive, ours and Sidekiq's, and what they run.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    /// When this was so: the server's time, in epoch seconds.
    pub now: f64,
    /// By identity.
    pub all: Vec<Process>,
    /// Entries that could not be read.
    pub unreadable: usize,
}

impl Processes {
    /// How many jobs they run, as of their last heartbeats.
    pub fn busy(&self) -> usize {
        self.all.iter().map(|process| process.busy).sum()
    }

    /// How many they could run at once.
    pub fn places(&self) -> usize {
        self.all.iter().map(|process| process.concurrency).sum()
    }

    /// Their memory together, in bytes.
    pub fn resident(&self) -> u64 {
        self.all.iter().map(|process| process.rss_kib * 1_024).sum()
    }
}

/// A live worker process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// `HOST:PID:NONCE`.
    pub identity: String,
    /// Whether it is of this engine; else it is a Ruby process.
    pub ours: bool,
    /// Runs inside another program, which takes no commands for it.
    pub embedded: bool,
    /// Of what it is, by its own word.
    pub version: Option<String>,
    /// Takes no new job.
    pub quiet: bool,
    /// The queues that it takes jobs from, by its own word: of ours the first hundred.
    pub queues: Vec<String>,
    /// How many jobs it may run at once.
    pub concurrency: usize,
    /// How many it runs, as of its last heartbeat.
    pub busy: usize,
    /// Its memory in KiB; 0 where it does not say.
    pub rss_kib: u64,
    /// Since when it runs, in epoch seconds.
    pub started_at: Option<f64>,
    /// When it was last heard of, in epoch seconds.
    pub beat: Option<f64>,
    /// What it runs, oldest first, as of its last heartbeat.
    pub running: Vec<Running>,
}

/// A job that runs. The texts are those of whoever pushed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// What it is; for one of Active Job the class inside the wrapper.
    pub class: String,
    /// Which one.
    pub jid: String,
    /// Where it came from.
    pub queue: String,
    /// Since when, in epoch seconds of the server.
    pub run_at: f64,
}

/// The live processes and their jobs, in two round trips (a third for jobs under the name that
/// Sidekiq used through 6.4.1). Jobs of processes that are gone do not run.
pub async fn processes(redis: &Redis) -> RedisResult<Processes> {
    let mut first = pipe();
    first.cmd("TIME").cmd("SMEMBERS").arg(keys::PROCESSES).cmd("SMEMBERS").arg(keys::OWNERS);
    let mut replies = lenient::<Value>(redis, &mut first).await?.into_iter();
    let mut next = || replies.next().and_then(Result::ok).unwrap_or(Value::Nil);
    let [time, members, owners] = [next(), next(), next()];
    let (seconds, micros): (f64, f64) = from_redis_value(time)?;
    let strange = usize::from(members == Value::Nil) + usize::from(owners == Value::Nil);
    let members: Vec<Vec<u8>> = from_redis_value(members).unwrap_or_default();
    let owners: HashSet<Vec<u8>> = from_redis_value(owners).unwrap_or_default();
    let names = members.iter().filter_map(|name| String::from_utf8(name.clone()).ok());
    let mut identities: Vec<String> = names.collect();
    identities.sort();
    let unreadable = members.len() - identities.len() + strange;
    let mut found = Processes { now: seconds + micros / 1e6, all: Vec::new(), unreadable };
    for identities in identities.chunks(AT_ONCE) {
        look(redis, identities, &owners, &mut found).await?;
    }
    Ok(found)
}

/// The fields of a heartbeat record, and what stands in them.
const FIELDS: [&str; 6] = ["info", "quiet", "busy", "concurrency", "beat", "rss"];
type Record = [Option<Vec<u8>>; FIELDS.len()];

/// Adds what is known of these processes.
async fn look(
    redis: &Redis,
    identities: &[String],
    owners: &HashSet<Vec<u8>>,
    found: &mut Processes,
) -> RedisResult<()> {
    let mut records = pipe();
    for identity in identities {
        records.cmd("HMGET").arg(identity).arg(&FIELDS);
    }
    let records: Vec<RedisResult<Record>> = lenient(redis, &mut records).await?;
    let mut alive = Vec::new();
    for (identity, record) in identities.iter().zip(records) {
        match record {
            Ok(record) if record[0].is_none() => {} // gone
            Ok(record) => {
                let ours = owners.contains(identity.as_bytes());
                let idle = record[2].as_deref() == Some(b"0");
                alive.push((process(identity, ours, &record), !idle));
            }
            Err(_) => found.unreadable += 1,
        }
    }
    work(redis, &mut alive, found, keys::work).await?;
    let mut older: Vec<_> =
        alive.extract_if(.., |(process, busy)| *busy && process.running.is_empty()).collect();
    work(redis, &mut older, found, keys::workers).await?;
    alive.append(&mut older);
    alive.sort_by(|(one, _), (other, _)| one.identity.cmp(&other.identity));
    found.all.extend(alive.into_iter().map(|(process, _)| process));
    Ok(())
}

fn process(
    identity: &str,
    ours: bool,
    [info, quiet, busy, concurrency, beat, rss]: &Record,
) -> Process {
    let text = |value: &Option<Vec<u8>>| String::from_utf8(value.clone()?).ok();
    let number = |value| text(value).and_then(|text| text.parse::<f64>().ok());
    // of 32 bits, whatever stands there: the sum over all processes has more
    let count = |number: Option<f64>| number.unwrap_or(0.0) as u32;
    let info = Payload::parse(info.as_deref().unwrap_or_default());
    let info = info.unwrap_or_else(|_| Payload { fields: Vec::new() });
    // newer Sidekiqs write it beside the others, older ones among them
    let concurrency = number(concurrency).or_else(|| info.get("concurrency"));
    Process {
        identity: identity.to_owned(),
        ours,
        embedded: info.get("embedded").unwrap_or(false),
        version: info.get::<String>("version").map(|version| cut(&version).to_owned()),
        quiet: text(quiet).as_deref() == Some("true"),
        queues: queues(&info),
        concurrency: count(concurrency) as usize,
        busy: count(number(busy)) as usize,
        rss_kib: count(number(rss)).into(),
        started_at: info.raw("started_at").and_then(moment),
        beat: number(beat).filter(|beat| beat.is_finite()),
        running: Vec::new(),
    }
}

/// Which queues a process names; Sidekiq is to drop the plain list in favour of its capsules.
fn queues(info: &Payload) -> Vec<String> {
    #[derive(Deserialize)]
    struct Capsule {
        weights: BTreeMap<String, IgnoredAny>,
    }
    let named = info.get::<Vec<String>>("queues").map(|mut names| {
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone())); // an old Sidekiq repeats them by weight
        names
    });
    let capsules = || info.get::<BTreeMap<String, Capsule>>("capsules");
    let weighed =
        || Some(capsules()?.into_values().flat_map(|it| it.weights.into_keys()).collect());
    named.or_else(weighed).unwrap_or_default()
}

/// Reads what these processes run from the hashes under this name.
async fn work(
    redis: &Redis,
    processes: &mut [(Process, bool)],
    found: &mut Processes,
    key: fn(&str) -> String,
) -> RedisResult<()> {
    if processes.is_empty() {
        return Ok(());
    }
    let mut reads = pipe();
    for (process, _) in processes.iter() {
        reads.cmd("HVALS").arg(key(&process.identity));
    }
    let work: Vec<RedisResult<Vec<Vec<u8>>>> = lenient(redis, &mut reads).await?;
    for ((process, _), entries) in processes.iter_mut().zip(work) {
        let Ok(entries) = entries else {
            found.unreadable += 1;
            continue;
        };
        let read: Vec<Running> = entries.iter().filter_map(|entry| running(entry)).collect();
        found.unreadable += entries.len() - read.len();
        process.running = read;
        process.running.sort_by(|one, other| one.run_at.total_cmp(&other.run_at));
    }
    Ok(())
}

fn running(entry: &[u8]) -> Option<Running> {
    work_entry(entry).map(|(running, _)| running)
}

/// One entry of a work hash, and the payload in it: that is a text, or, from some writers, an object.
pub(crate) fn work_entry(entry: &[u8]) -> Option<(Running, String)> {
    let entry = Payload::parse(entry).ok()?;
    let run_at = moment(entry.raw("run_at")?)?;
    let text = entry.get::<String>("payload");
    let text = text.or_else(|| entry.raw("payload").map(str::to_owned)).unwrap_or_default();
    let Entry { class, jid, .. } = Entry::of(text.as_bytes());
    let queue = entry.get::<String>("queue");
    let queue = cut(queue.as_deref().unwrap_or("?")).to_owned();
    Some((Running { class, jid, queue, run_at }, text))
}

/// Sends them all in one write. What stands under a key may be of another type: each reply is an
/// error of its own.
pub(crate) async fn lenient<T: FromRedisValue>(
    redis: &Redis,
    reads: &mut Pipeline,
) -> RedisResult<Vec<RedisResult<T>>> {
    redis.pipe(reads.ignore_errors()).await
}

/// One of those replies; what is something else is as good as nothing.
pub(crate) fn read<T: FromRedisValue + Default>(reply: &RedisResult<Value>) -> T {
    let value = reply.as_ref().ok().cloned();
    value.and_then(|value| from_redis_value(value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_whoever_writes_as_running_is_read() {
        let job = r#"{\"class\":\"W\",\"wrapped\":\"Real\",\"jid\":\"1\"}"#;
        let ruby = format!(r#"{{"queue":"q","payload":"{job}","run_at":1700000000}}"#);
        let found = running(ruby.as_bytes()).unwrap();
        assert_eq!((&*found.class, &*found.jid, &*found.queue), ("Real", "1", "q"));
        assert_eq!(found.run_at, 1_700_000_000.0);
        let object = running(br#"{"payload":{"class":"A"},"run_at":"17.5"}"#).unwrap();
        assert_eq!((&*object.class, &*object.jid, object.run_at), ("A", "?", 17.5));
        assert_eq!(running(br#"{"payload":"{","run_at":1}"#).unwrap().class, "?");
        for same in ["1700000000500", "\"2023-11-14T22:13:20.5Z\""] {
            let entry = format!(r#"{{"run_at":{same}}}"#);
            assert_eq!(running(entry.as_bytes()).unwrap().run_at, 1_700_000_000.5, "{same}");
        }
        for bad in [&b""[..], b"[]", b"{}", b"\xff", br#"{"run_at":null}"#, br#"{"run_at":"inf"}"#]
        {
            assert_eq!(running(bad), None);
        }
    }
}
