//! Brings back the jobs of processes that died. It walks the owners of deliveries, not
//! Sidekiq's `processes`, which every reader prunes. That a process is dead each step checks in
//! Redis itself (`lua/dead.lua`), so an outage makes nobody an orphan.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, cmd, pipe};
use tokio::time::sleep;

use super::failed::{Failed, Listeners};
use super::fate::{beside, bury, free};
use super::field::{Field, split_name};
use super::head::Head;
use super::jid::known_as;
use super::keys;
use super::payload::Payload;
use super::placed::Placed;
use super::records;
use super::rescues::{Rescues, Verdict};
use super::retry::{Failure, Fate, POISON, buried};
use super::scripts::{self, Words};
use super::session::Session;
use super::status::{Draft, Report};
use super::ties::Ties;

/// What the reaper has to know of the jobs that it buries.
pub(crate) struct Rites {
    pub(crate) handlers: Arc<dyn Registered>,
    /// Who hears of it.
    pub(crate) listeners: Listeners,
}

/// What the types of jobs say about an end.
pub(crate) trait Registered: Send + Sync {
    /// What is left to be done.
    fn will(&self, raw: &[u8], death: &Failed, now: f64) -> Option<Box<Placed>>;
    /// What is to be settled beside.
    fn ties(&self, head: &Head) -> Ties;
}

/// A delivery that outlived its process.
struct Orphan {
    /// Of its field in the in-flight hash.
    name: String,
    field: Field,
    queue: String,
    raw: Vec<u8>,
    id: String,
}

/// Looks for the dead now and then, for the life of the process.
pub(crate) async fn run(session: Arc<Session>, rites: Rites, every: Duration) {
    let mut refusals = session.redis.complaints().about("take jobs back from dead processes");
    loop {
        sleep(every.mul_f64(0.5 + fastrand::f64())).await;
        match sweep(&session, &rites).await {
            Ok(()) => refusals.passed(),
            Err(error) => sleep(refusals.note(&error)).await,
        }
    }
}

async fn sweep(session: &Session, rites: &Rites) -> RedisResult<()> {
    let mut read = cmd("SMEMBERS");
    read.arg(keys::OWNERS);
    let owners: Vec<String> = session.redis.query(&read).await?;
    if all_alive(session, &owners).await? {
        return Ok(());
    }
    let mut alive = pipe();
    for owner in &owners {
        alive.cmd("EXISTS").arg(owner);
    }
    let alive: Vec<bool> = session.redis.pipe(&alive).await?;
    let dead = owners.iter().zip(alive).filter(|(_, alive)| !alive);
    let mut outcome = Ok(());
    for (owner, _) in dead {
        // what cannot be taken back from one stands in nobody else's way
        outcome = outcome.and(reap(session, rites, owner).await);
    }
    outcome
}

/// The usual case, for one command however many they are.
async fn all_alive(session: &Session, owners: &[String]) -> RedisResult<bool> {
    let others = owners.iter().filter(|owner| *owner != session.identity());
    let others: Vec<&String> = others.collect();
    if others.is_empty() {
        return Ok(true);
    }
    let mut exist = cmd("EXISTS");
    exist.arg(&others);
    Ok(session.redis.query::<usize>(&exist).await? == others.len())
}

/// Takes everything back from one dead process; the call that finds nothing left forgets it.
async fn reap(session: &Session, rites: &Rites, owner: &str) -> RedisResult<()> {
    loop {
        let orphans = page(session, owner).await?;
        if orphans.is_empty() {
            return forget(session, owner).await;
        }
        if rescue(session, rites, owner, orphans).await? == 0 {
            return Ok(()); // it lives, or what is left cannot be moved now
        }
    }
}

/// The next ones to take back: newest first, because each goes to the very head of its queue.
async fn page(session: &Session, owner: &str) -> RedisResult<Vec<Orphan>> {
    let (connection, key) = (session.redis.connection().await?, keys::inflight(owner));
    let mut names = cmd("HKEYS");
    names.arg(&key);
    let mut names: Vec<String> = connection.query(&names).await?;
    names.sort_unstable_by_key(|name| Reverse(split_name(name).map(|(field, _)| field)));
    let mut at = 0;
    while at < names.len() {
        let values = records::read(&connection, &key, &names[at..]).await?;
        let read = values.len();
        let found = names[at..].iter().zip(values);
        let found = found.filter_map(|(name, raw)| orphan(name, raw?));
        let orphans: Vec<Orphan> = found.collect();
        if !orphans.is_empty() {
            return Ok(orphans);
        }
        at += read;
    }
    Ok(Vec::new())
}

fn orphan(name: &str, raw: Vec<u8>) -> Option<Orphan> {
    let (field, queue) = split_name(name)?;
    let jid = Head::parse(&raw).ok().and_then(|head| head.jid);
    let id = known_as(&raw, jid.as_deref());
    Some(Orphan { name: name.to_owned(), field, queue: queue.to_owned(), raw, id })
}

/// Puts orphans back to their queues, or buries those that killed too many processes. Returns
/// how many: none if their process turns out to live.
async fn rescue(
    session: &Session,
    rites: &Rites,
    owner: &str,
    orphans: Vec<Orphan>,
) -> RedisResult<usize> {
    let now = session.redis.clock().now();
    let mut read = cmd("HMGET");
    read.arg(keys::RESCUES);
    for orphan in &orphans {
        read.arg(&orphan.id);
    }
    let records: Vec<Option<String>> = session.redis.query(&read).await?;
    let (mut fine, mut buried) = (Vec::new(), 0);
    for (orphan, record) in orphans.into_iter().zip(records) {
        match Rescues::judge(record.as_deref(), now, owner, orphan.field) {
            Verdict::Again(rescues) => fine.push((orphan, rescues)),
            Verdict::Bury(deaths) => {
                let poisoned = bury_poison(session, rites, owner, &orphan, deaths).await?;
                buried += usize::from(poisoned);
            }
        }
    }
    let moved = requeue(session, owner, &fine).await?;
    if moved > 0 {
        tracing::warn!(jobs = moved, process = owner, "took jobs back from a process that died");
        fine.iter().for_each(|(orphan, _)| session.redis.wakes().pushed(&orphan.queue));
    }
    Ok(buried + moved.max(0) as usize)
}

async fn requeue(
    session: &Session,
    owner: &str,
    orphans: &[(Orphan, Rescues)],
) -> RedisResult<i64> {
    let mut script = scripts::REQUEUE.prepare_invoke();
    script.arg(keys::inflight(owner)).arg(&session.if_dead(owner));
    script.arg(keys::QUEUES).arg(keys::QUEUE_PREFIX);
    script.arg(keys::RESCUES).arg(keys::RESCUE_WINDOW.as_secs());
    script.arg(keys::RUNNING_PREFIX).arg(owner);
    for (orphan, rescues) in orphans {
        script.arg(&orphan.name).arg(&orphan.id).arg(rescues.to_string());
    }
    script.arg(keys::COUNTERS);
    session.redis.connection().await?.run(&script).await
}

async fn bury_poison(
    session: &Session,
    rites: &Rites,
    owner: &str,
    orphan: &Orphan,
    deaths: u32,
) -> RedisResult<bool> {
    let now = session.redis.clock().now();
    let message = format!("the process died {deaths} times while this job ran");
    let failure = Failure::new(POISON, &message);
    let payload = buried(&orphan.raw, &orphan.queue, &failure, now);
    let keep = Payload::parse(&orphan.raw).ok().and_then(|payload| payload.get::<bool>("dead"));
    let payload = Some(payload).filter(|_| keep != Some(false));
    let failed = Failed::of(&orphan.raw, &orphan.queue, &failure, true);
    let will = rites.handlers.will(&orphan.raw, &failed, now);
    let mut musts = bury(payload.as_deref(), will.as_deref(), now);
    musts.push(["HDEL", keys::RESCUES, &orphan.id].map(|word| word.as_bytes().to_vec()).into());
    let mut beside = settled(rites, orphan, &message, payload, now);
    beside.push(free(&orphan.queue, orphan.field, owner));
    let place = (&*keys::inflight(owner), &*orphan.name);
    let script = scripts::finish(place, &session.if_dead(owner), musts, beside);
    let done: Option<Vec<redis::Value>> = session.redis.connection().await?.run(&script).await?;
    if done.is_some() {
        rites.listeners.tell(&failed);
        if let Some(will) = will {
            session.redis.wakes().placed(&will.queue, will.at);
        }
        tracing::error!(
            job.jid = orphan.id,
            queue = orphan.queue,
            deaths,
            "poison: buried, since process after process died with it"
        );
        session.counters.event("poisoned", 1);
        session.redis.wakes().freed(&orphan.queue);
    }
    Ok(done.is_some())
}

/// What its end settles beside.
fn settled(
    rites: &Rites,
    orphan: &Orphan,
    why: &str,
    payload: Option<Vec<u8>>,
    now: f64,
) -> Vec<Words> {
    let Ok(head) = Head::parse(&orphan.raw) else { return Vec::new() };
    let mut draft = Draft::default();
    draft.failed(why);
    let fate = Fate::Dead { payload, will: None };
    beside(&rites.handlers.ties(&head), &orphan.id, &fate, Report::of(&fate, draft), now)
}

async fn forget(session: &Session, owner: &str) -> RedisResult<()> {
    let mut script = scripts::LEAVE.prepare_invoke();
    script.arg(owner).arg(keys::inflight(owner)).arg(keys::OWNERS).arg(keys::PROCESSES);
    script.arg(&session.if_dead(owner)).arg(keys::work(owner)).arg(keys::workers(owner));
    script.arg(keys::beats(owner));
    session.redis.connection().await?.run::<i64>(&script).await.map(drop)
}
