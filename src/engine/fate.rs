//! What Redis has to do for each fate of a delivery. Decisions only; `finish` does the sending.

use super::delivery::Delivery;
use super::keys;
use super::retry::Fate;

/// What Redis has to do beside the removal. The one that adds the job elsewhere comes last, or
/// is followed only by what cannot fail, because a failure puts the delivery back.
pub(crate) fn commands(delivery: &Delivery, fate: &Fate, now: f64) -> Vec<Vec<Vec<u8>>> {
    let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
    match fate {
        Fate::Done { traces: Some(jid) } => vec![
            words(&[b"DEL", keys::iteration(jid).as_bytes()]),
            words(&[b"HDEL", keys::RESCUES.as_bytes(), jid.as_bytes()]),
        ],
        Fate::Done { traces: None } | Fate::Discard => Vec::new(),
        Fate::Retry { at, payload } => vec![add(keys::RETRY, *at, payload)],
        Fate::Snooze { at, payload } => vec![add(keys::SCHEDULE, *at, payload)],
        Fate::Dead { payload } => bury(payload, now),
        Fate::Return => vec![
            words(&[b"SADD", keys::QUEUES.as_bytes(), delivery.queue.as_bytes()]),
            words(&[b"RPUSH", keys::queue(&delivery.queue).as_bytes(), &delivery.raw]),
        ],
    }
}

/// The commands that put a payload into the dead set and keep that in bounds.
pub(crate) fn bury(payload: &[u8], now: f64) -> Vec<Vec<Vec<u8>>> {
    let trim = |command: &str, from: &str, to: String| {
        [command, keys::DEAD, from, &to].map(|word| word.as_bytes().to_vec()).to_vec()
    };
    let oldest = now - keys::DEAD_TTL.as_secs_f64();
    vec![
        add(keys::DEAD, now, payload),
        trim("ZREMRANGEBYSCORE", "-inf", oldest.to_string()),
        trim("ZREMRANGEBYRANK", "0", (-keys::DEAD_MAX).to_string()),
    ]
}

fn add(key: &str, score: f64, member: &[u8]) -> Vec<Vec<u8>> {
    vec![b"ZADD".to_vec(), key.into(), score.to_string().into(), member.to_vec()]
}
