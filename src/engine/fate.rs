//! What Redis has to do for each fate of a delivery. Decisions only; `finish` does the sending.

use super::delivery::Delivery;
use super::field::Field;
use super::keys;
use super::placed::Placed;
use super::retry::Fate;
use super::scripts::Words;
use super::status::{self, Report};
use super::ties::Ties;

/// What Redis has to do beside the removal. The one that adds the job elsewhere comes last, or
/// is followed only by what may be done twice, because a failure puts the delivery back.
pub(crate) fn commands(delivery: &Delivery, fate: &Fate, now: f64) -> Vec<Words> {
    match fate {
        Fate::Done { traces: Some(jid) } | Fate::Discard { traces: Some(jid), .. } => vec![
            words(&[b"DEL", keys::iteration(jid).as_bytes()]),
            words(&[b"HDEL", keys::RESCUES.as_bytes(), jid.as_bytes()]),
        ],
        Fate::Done { traces: None } | Fate::Discard { .. } => Vec::new(),
        Fate::Retry { at, payload } => vec![add(keys::RETRY, *at, payload)],
        Fate::Snooze { at, payload } => vec![add(keys::SCHEDULE, *at, payload)],
        Fate::Dead { payload, will } => bury(payload.as_deref(), will.as_deref(), now),
        Fate::Return => push(&delivery.queue, &delivery.raw, b"RPUSH"),
    }
}

/// What is settled beside, as far as Redis takes it: a job's end does not wait for that.
pub(crate) fn beside(ties: &Ties, jid: &str, fate: &Fate, report: Report, now: f64) -> Vec<Words> {
    let mut all = Vec::new();
    if let (Some(lock), true) = (&ties.lock, fate.is_final()) {
        all.push(unlock(lock, jid));
    }
    if let Some(status_for) = ties.status_for {
        all.extend(status::write(jid, status_for, report, now));
    }
    all
}

/// The commands that put a payload into the dead set, keep that in bounds, and push the job that
/// it leaves behind. If that cannot be pushed, the one that asks comes first: for as long as this
/// fails, it is tried again, and each time with a payload that says otherwise when it died.
pub(crate) fn bury(payload: Option<&[u8]>, will: Option<&Placed>, now: f64) -> Vec<Words> {
    let mut all = Vec::new();
    if let Some(will) = will {
        all.push(asked(will));
    }
    if let Some(payload) = payload {
        let trim = |command: &str, from: &str, to: String| {
            words(&[command.as_bytes(), keys::DEAD.as_bytes(), from.as_bytes(), to.as_bytes()])
        };
        let oldest = now - keys::DEAD_TTL.as_secs_f64();
        all.push(add(keys::DEAD, now, payload));
        all.push(trim("ZREMRANGEBYSCORE", "-inf", oldest.to_string()));
        all.push(trim("ZREMRANGEBYRANK", "0", (-keys::DEAD_MAX).to_string()));
    }
    match will {
        Some(Placed { at: Some(at), bytes, .. }) => all.push(add(keys::SCHEDULE, *at, bytes)),
        Some(Placed { queue, bytes, .. }) => all.extend(push(queue, bytes, b"LPUSH")),
        None => {}
    }
    all
}

/// Fails where the place of a job is somebody else's.
fn asked(Placed { queue, at, .. }: &Placed) -> Words {
    match at {
        Some(_) => words(&[b"ZCARD", keys::SCHEDULE.as_bytes()]),
        None => words(&[b"LLEN", keys::queue(queue).as_bytes()]),
    }
}

/// Gives back the share of a queue that a delivery of this process takes.
pub(crate) fn free(queue: &str, field: Field, identity: &str) -> Words {
    let (set, member) = (keys::running(queue), field.member(identity));
    words(&[b"SREM", set.as_bytes(), member.as_bytes()])
}

/// Not a command of Redis: the script of the ends deletes the lock only if it is this job's.
fn unlock(lock: &str, jid: &str) -> Words {
    words(&[b"UNLOCK", keys::lock(lock).as_bytes(), jid.as_bytes()])
}

fn push(queue: &str, payload: &[u8], command: &[u8]) -> Vec<Words> {
    vec![
        words(&[b"SADD", keys::QUEUES.as_bytes(), queue.as_bytes()]),
        words(&[command, keys::queue(queue).as_bytes(), payload]),
    ]
}

fn add(key: &str, score: f64, member: &[u8]) -> Words {
    words(&[b"ZADD", key.as_bytes(), score.to_string().as_bytes(), member])
}

fn words(words: &[&[u8]]) -> Words {
    words.iter().map(|word| word.to_vec()).collect()
}
