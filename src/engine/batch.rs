//! One write for many pushes: where each payload goes, and the commands that bring it there.

use std::collections::BTreeMap;

use redis::{Pipeline, RedisError};

use super::enqueue_error::EnqueueError;
use super::errors;
use super::keys;
use super::placed::Placed;

/// Payloads of one write, sorted by where they go.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) queues: BTreeMap<String, Vec<Vec<u8>>>,
    pub(crate) scheduled: Vec<(f64, Vec<u8>)>,
}

impl Batch {
    pub(crate) fn sort(pushes: impl IntoIterator<Item = Placed>) -> Batch {
        let mut batch = Batch::default();
        for placed in pushes {
            match placed {
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

    /// What became of the pushes to a queue, or with `None` to the schedule, when the write ended
    /// with this error: commands fail one by one.
    pub(crate) fn fate(&self, queue: Option<&str>, error: &RedisError) -> Result<(), EnqueueError> {
        let refused = errors::refused(error);
        let names = usize::from(!self.queues.is_empty());
        let place = match queue {
            Some(queue) => names + self.queues.keys().position(|name| name == queue).unwrap_or(0),
            None => names + self.queues.len(),
        };
        match refused.iter().find(|(index, _)| *index == place) {
            Some((_, own)) => Err(RedisError::from(own.clone()).into()),
            None if refused.is_empty() => Err(error.clone().into()),
            // it is there, but perhaps nobody looks for it: the name of its queue was refused
            None if queue.is_some() && refused[0].0 < names => {
                Err(EnqueueError::Unknown(errors::reason(error)))
            }
            None => Ok(()),
        }
    }

    /// What became of all of it: an error that says so if nothing of it is there.
    pub(crate) fn whole(&self, error: &RedisError) -> Result<(), EnqueueError> {
        let timed = (!self.scheduled.is_empty()).then_some(None);
        let places = self.queues.keys().map(|name| Some(name.as_str())).chain(timed);
        let fates: Vec<_> = places.map(|place| self.fate(place, error)).collect();
        let there = |fate: &Result<(), _>| matches!(fate, Ok(()) | Err(EnqueueError::Unknown(_)));
        match fates.iter().any(there) && fates.iter().any(Result::is_err) {
            true => Err(EnqueueError::Unknown(errors::reason(error))),
            false => fates.into_iter().collect(),
        }
    }
}
