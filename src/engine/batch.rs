//! One write for many pushes: where each payload goes, and the commands that bring it there.

use std::collections::BTreeMap;

use redis::{Pipeline, RedisError};

use super::errors;
use super::keys;
use super::payload::{Payload, Seconds};

/// Where a payload goes, and as what.
pub(crate) struct Placed {
    pub(crate) queue: String,
    /// The time it waits for, in `schedule`; `None`: it goes to its queue at once.
    pub(crate) at: Option<f64>,
    pub(crate) bytes: Vec<u8>,
}

impl Placed {
    pub(crate) fn of(mut payload: Payload, now: f64) -> Placed {
        let at = payload.get::<f64>("at").filter(|at| *at > now);
        payload.remove("at");
        if payload.raw("created_at").is_none() {
            payload.set("created_at", Seconds(now));
        }
        match at {
            Some(_) => payload.remove("enqueued_at"),
            None => payload.set("enqueued_at", Seconds(now)),
        }
        let queue = payload.get("queue").unwrap_or_default();
        Placed { queue, at, bytes: payload.to_bytes() }
    }
}

/// Payloads of one write, sorted by where they go.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) queues: BTreeMap<String, Vec<Vec<u8>>>,
    pub(crate) scheduled: Vec<(f64, Vec<u8>)>,
}

impl Batch {
    pub(crate) fn sort(payloads: Vec<Payload>, now: f64) -> Batch {
        let mut batch = Batch::default();
        for payload in payloads {
            match Placed::of(payload, now) {
                Placed { at: Some(at), bytes, .. } => batch.scheduled.push((at, bytes)),
                Placed { queue, bytes, .. } => batch.queues.entry(queue).or_default().push(bytes),
            }
        }
        batch
    }

    pub(crate) fn commands(&self) -> Pipeline {
        let mut pipe = redis::pipe();
        if !self.queues.is_empty() {
            // always both: deleting a queue in the UI takes its name out at any moment
            let names: Vec<&String> = self.queues.keys().collect();
            pipe.cmd("SADD").arg(keys::QUEUES).arg(names).ignore();
        }
        for (queue, payloads) in &self.queues {
            pipe.cmd("LPUSH").arg(keys::queue(queue)).arg(payloads).ignore();
        }
        if !self.scheduled.is_empty() {
            pipe.cmd("ZADD").arg(keys::SCHEDULE);
            for (at, payload) in &self.scheduled {
                pipe.arg(*at).arg(payload);
            }
            pipe.ignore();
        }
        pipe
    }

    /// Whether nothing of it is there: commands fail one by one, and only if every push was refused
    /// (or none was answered) it failed as a whole.
    pub(crate) fn failed_whole(&self, error: &RedisError) -> bool {
        let first = usize::from(!self.queues.is_empty()); // the one before it is the SADD
        let pushes = self.queues.len() + usize::from(!self.scheduled.is_empty());
        let refused = errors::refused(error);
        let failed = refused.iter().filter(|index| **index >= first).count();
        refused.is_empty() || failed == pushes
    }
}
