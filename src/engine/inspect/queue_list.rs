//! The queues as they look from outside: what waits in them, whether they are paused or at a
//! limit, who serves them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use redis::{RedisResult, Value, cmd, pipe};

use super::super::keys;
use super::super::limits::{Limit, QueueLimits};
use super::super::redis::Redis;
use super::fleet::{Processes, lenient, processes, read};
use super::oldest::oldest;
use super::sets::{FIRST_PAGE, next_page, there};

/// What an asker knows from its settings, and Redis does not tell.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// `QUEUE_LIMITS`.
    pub limits: QueueLimits,
    /// Queues of registered jobs: a client may push to one without naming it.
    pub queues: Vec<String>,
}

/// All queues that somebody has pushed to, paused, or serves, and those that the asker knows of.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// When this was so: the server's time, in epoch seconds.
    pub now: f64,
    /// By name.
    pub all: Vec<Queue>,
    /// The live processes.
    pub processes: Processes,
    /// Keys of another type than they should be.
    pub strange: usize,
}

impl Queues {
    /// How many jobs wait in all of them.
    pub fn waiting(&self) -> usize {
        self.all.iter().map(|queue| queue.size).sum()
    }
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    /// Its bare name.
    pub name: String,
    /// How many jobs wait in it.
    pub size: usize,
    /// How long the next one has waited, in seconds; `None` where it does not say since when.
    pub latency: Option<f64>,
    /// Nobody takes a job of it.
    pub paused: bool,
    /// How many of its jobs run, as of the last heartbeats.
    pub running: usize,
    /// How many live processes take jobs of it.
    pub served_by: usize,
    /// How many of its jobs hold a place of those that a limit allows at once, …
    pub held: usize,
    /// … and that limit, if the asker knows of one.
    pub at_once: Option<u32>,
    /// How many may start in a time, in seconds, and how many have: if the asker knows of a limit.
    pub starts: Option<(u32, f64, u32)>,
}

/// Queues asked about in one write.
const AT_ONCE: usize = 50;

/// The queues.
pub async fn queues(redis: &Redis, known: &Known) -> RedisResult<Queues> {
    let processes = processes(redis).await?;
    let mut strange = 0;
    let paused = names(redis, keys::PAUSED, &mut strange).await?;
    let mut named = all_names(redis, known, &processes, &mut strange).await?;
    named.extend(paused.iter().cloned());
    let named: Vec<String> = named.into_iter().collect();
    let mut found = Queues { now: processes.now, all: Vec::new(), processes, strange };
    for names in named.chunks(AT_ONCE) {
        look(redis, names, &known.limits, &mut found).await?;
    }
    let Queues { all, processes, .. } = &mut found;
    let (served_by, running) = (served(processes), running(processes));
    for queue in all {
        queue.paused = paused.contains(&queue.name);
        queue.served_by = served_by.get(&*queue.name).copied().unwrap_or(0);
        queue.running = running.get(&*queue.name).copied().unwrap_or(0);
    }
    Ok(found)
}

/// How many processes take jobs of each queue. In one pass: with many of both, to look through all
/// processes for each queue holds up the whole of a web process.
fn served(processes: &Processes) -> HashMap<&str, usize> {
    let mut served = HashMap::new();
    for process in &processes.all {
        // one that names it twice is one
        let names: HashSet<&str> = process.queues.iter().map(String::as_str).collect();
        names.into_iter().for_each(|name| *served.entry(name).or_default() += 1);
    }
    served
}

/// How many jobs of each queue run.
fn running(processes: &Processes) -> HashMap<&str, usize> {
    let mut running = HashMap::new();
    for job in processes.all.iter().flat_map(|it| &it.running) {
        *running.entry(&*job.queue).or_default() += 1;
    }
    running
}

/// The queues that anybody knows of.
pub(crate) async fn all_names(
    redis: &Redis,
    known: &Known,
    processes: &Processes,
    strange: &mut usize,
) -> RedisResult<BTreeSet<String>> {
    let mut named = names(redis, keys::QUEUES, strange).await?;
    named.extend(processes.all.iter().flat_map(|process| process.queues.iter().cloned()));
    named.extend(known.queues.iter().cloned());
    Ok(named)
}

/// The members of a set of names, as far as they are texts.
pub(crate) async fn names(
    redis: &Redis,
    key: &str,
    strange: &mut usize,
) -> RedisResult<BTreeSet<String>> {
    let mut members = cmd("SMEMBERS");
    let members = redis.query::<Vec<Vec<u8>>>(members.arg(key)).await;
    let members = there(members, strange)?;
    Ok(members.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect())
}

async fn look(
    redis: &Redis,
    names: &[String],
    limits: &QueueLimits,
    found: &mut Queues,
) -> RedisResult<()> {
    let mut reads = pipe();
    for name in names {
        reads.cmd("LLEN").arg(keys::queue(name));
        let starts = limits.of(name).and_then(|limit| Some(limit.starts?.key(name)));
        let starts = starts.unwrap_or_else(|| keys::PROBE.to_owned()); // never there
        reads.cmd("SCARD").arg(keys::running(name)).cmd("HGETALL").arg(starts);
    }
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    let since = oldest(redis, names).await?;
    for ((name, since), replies) in names.iter().zip(since).zip(replies.chunks(3)) {
        let mut queue = Queue { name: name.clone(), ..Queue::default() };
        found.strange += usize::from(replies[0].is_err());
        queue.size = read(&replies[0]);
        queue.latency = since.map(|since| (found.now - since).max(0.0));
        queue.held = read(&replies[1]);
        if let Some(Limit { running, starts }) = limits.of(name) {
            queue.at_once = running;
            queue.starts = starts.map(|rate| {
                let counts: BTreeMap<String, u32> = read(&replies[2]);
                (rate.most, rate.span(), rate.used(&counts, found.now))
            });
        }
        found.all.push(queue);
    }
    Ok(())
}

/// A way through all of a queue, newest first, page by page. Taking jobs from the other end moves
/// nothing, and pushes move what was not met yet towards us: so what waits there all the time is
/// met, perhaps twice.
pub(crate) struct Pages {
    key: String,
    from: usize,
    page: usize,
}

impl Pages {
    pub(crate) fn of(queue: &str) -> Pages {
        Pages { key: keys::queue(queue), from: 0, page: FIRST_PAGE }
    }

    /// The next page, each job with the number of those before it at that moment; empty at the end.
    pub(crate) async fn next(
        &mut self,
        redis: &Redis,
        strange: &mut usize,
    ) -> RedisResult<Vec<(usize, Vec<u8>)>> {
        let mut range = pipe();
        // not in MULTI, which a full server refuses
        range.cmd("LLEN").arg(&self.key);
        range.cmd("LRANGE").arg(&self.key).arg(self.from).arg(self.from + self.page - 1);
        let (length, jobs): (usize, Vec<Vec<u8>>) = there(redis.pipe(&range).await, strange)?;
        let from = self.from;
        self.from += jobs.len();
        self.page = next_page(self.page, jobs.iter().map(Vec::len));
        let place = |at: usize| length.saturating_sub(from + at + 1);
        Ok(jobs.into_iter().enumerate().map(|(at, raw)| (place(at), raw)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fleet::{Process, Running};
    use super::*;

    #[test]
    fn who_names_a_queue_twice_serves_it_once() {
        let process = |queues: &[&str], runs: &[&str]| Process {
            queues: queues.iter().map(|name| name.to_string()).collect(),
            running: runs
                .iter()
                .map(|queue| Running {
                    class: "A".into(),
                    jid: "1".into(),
                    queue: queue.to_string(),
                    run_at: 1.0,
                })
                .collect(),
            ..Process::default()
        };
        let all = vec![process(&["a", "b", "a"], &["a", "a"]), process(&["a"], &["c"])];
        let processes = Processes { all, ..Processes::default() };
        let (served, running) = (served(&processes), running(&processes));
        assert_eq!((served["a"], served["b"], served.get("c")), (2, 1, None));
        assert_eq!((running["a"], running["c"], running.get("b")), (2, 1, None));
    }
}
