//! The write of pushes. Those who push at the same moment share one: a command for many costs
//! Redis and the connection hardly more than one for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{RedisResult, Value};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::batch::Batch;
use super::enqueue_error::EnqueueError;
use super::errors;
use super::payload::Payload;
use super::placed::Placed;
use super::pushing::{self, Increments, Noted, Place};
use super::recorded::Recorded;
use super::redis::Redis;

/// Jobs to a write, at most; and bytes, about: whoever shares it waits for all of it.
pub(crate) const SLICE: usize = 1_000;
const SLICE_BYTES: usize = 1 << 20;

/// Brings payloads to Redis.
pub(crate) struct Pushes {
    pub(crate) redis: Redis,
    waiting: Mutex<Waiting>,
    /// In a test of those who enqueue: what would go to Redis goes here.
    recorded: Option<Recorded>,
}

/// Pushes that have not left yet.
#[derive(Default)]
struct Waiting {
    pushes: Vec<Push>,
    /// Somebody is about to take them.
    departure: bool,
    /// How many left the last time.
    last: usize,
    /// Writes under way.
    writes: usize,
}

struct Push {
    placed: Placed,
    answer: oneshot::Sender<Result<(), EnqueueError>>,
}

impl Pushes {
    pub(crate) fn new(redis: Redis) -> Arc<Pushes> {
        Arc::new(Pushes { redis, waiting: Mutex::default(), recorded: None })
    }

    pub(crate) fn recording(recorded: Recorded) -> Arc<Pushes> {
        let (redis, waiting) = (Redis::absent(), Mutex::default());
        Arc::new(Pushes { redis, waiting, recorded: Some(recorded) })
    }

    /// The time that jobs are enqueued for, as the server has it: before the first connection it
    /// would be only this machine's.
    pub(crate) async fn now(&self) -> Result<f64, EnqueueError> {
        if self.recorded.is_none() {
            self.redis.connection().await?;
        }
        Ok(self.redis.clock().now())
    }

    /// Whether nothing gets anywhere.
    pub(crate) fn records(&self) -> bool {
        self.recorded.is_some()
    }

    /// Pushes one payload. Dropped before it has left, it stays here.
    pub(crate) async fn one(self: &Arc<Self>, payload: Payload) -> Place {
        let now = self.now().await?;
        if let Some(recorded) = &self.recorded {
            recorded.take([payload]);
            return Ok(None);
        }
        let placed = Placed::of(payload, now);
        if placed.tied.is_some() {
            let places = self.by_script(&[placed]).await?;
            return places.into_iter().next().unwrap_or(Ok(None));
        }
        let ended =
            || Err(EnqueueError::Unknown("the runtime of the connection has ended".to_owned()));
        self.join(placed).await.unwrap_or_else(|_| ended()).map(|()| None)
    }

    /// Adds it to the next write.
    fn join(self: &Arc<Self>, placed: Placed) -> oneshot::Receiver<Result<(), EnqueueError>> {
        let (answer, answered) = oneshot::channel();
        let first = self.waiting().join(Push { placed, answer });
        if let Some(alone) = first {
            // a task of its own: nobody may end the write for the others, or hold it up. Not under
            // the lock: where the runtime has ended, the task does so here, and takes that
            let departure = Departure { from: self.clone(), over: false };
            self.redis.spawn(departure.leave(alone));
        }
        answered
    }

    /// Pushes many, in a write of their own: in two, if some of them have a lock or a status and
    /// others do not. An error after the first of them is one in doubt.
    pub(crate) async fn all(
        &self,
        payloads: Vec<Payload>,
    ) -> Result<Vec<Option<String>>, EnqueueError> {
        let now = self.now().await?;
        if let Some(recorded) = &self.recorded {
            let places = vec![None; payloads.len()];
            recorded.take(payloads);
            return Ok(places);
        }
        let placed = payloads.into_iter().map(|payload| Placed::of(payload, now));
        let mut holders = vec![None; placed.len()];
        let (mut tied, mut plain) = (Vec::new(), Vec::new());
        for (at, placed) in placed.enumerate() {
            match placed.tied {
                Some(_) => tied.push((at, placed)),
                None => plain.push(placed),
            }
        }
        let mut done = !plain.is_empty();
        if done {
            let batch = Batch::sort(plain);
            self.send(&batch).await.or_else(|error| batch.whole(&error))?;
        }
        if !tied.is_empty() {
            let (places, placed): (Vec<usize>, Vec<Placed>) = tied.into_iter().unzip();
            let answers = self.by_script(&placed).await.map_err(|error| in_doubt(error, done))?;
            done |= answers.iter().any(Result::is_ok);
            for (at, answer) in places.into_iter().zip(answers) {
                holders[at] = answer.map_err(|error| in_doubt(error, done))?;
            }
        }
        Ok(holders)
    }

    async fn by_script(&self, placed: &[Placed]) -> Result<Vec<Place>, EnqueueError> {
        let connection = self.redis.connection().await?;
        let wakes = self.redis.wakes();
        let _noted = Noted(|| placed.iter().for_each(|it| wakes.placed(&it.queue, it.at)));
        let now = self.redis.clock().now();
        let mut script = pushing::call(now, &[], Increments::default());
        placed.iter().for_each(|placed| pushing::add(&mut script, None, placed));
        let mut sent = connection.run::<Vec<Value>>(&script).await;
        if sent.as_ref().is_err_and(errors::is_unsent) {
            let next = self.redis.connection_after(connection.number).await?;
            sent = next.run(&script).await;
        }
        Ok(sent?.into_iter().map(pushing::place).collect())
    }

    /// One write: SADD of the queue names, then the pushes.
    async fn send(&self, batch: &Batch) -> RedisResult<()> {
        let connection = self.redis.connection().await?;
        let wakes = self.redis.wakes();
        let _noted = Noted(|| {
            batch.queues.keys().for_each(|queue| wakes.pushed(queue));
            if !batch.scheduled.is_empty() {
                wakes.scheduled();
            }
        });
        let mut sent = connection.pipe::<()>(&batch.commands()).await;
        if sent.as_ref().is_err_and(errors::is_unsent) {
            // the server has closed what was idle: certainly not enqueued, so once more
            let next = self.redis.connection_after(connection.number).await?;
            sent = next.pipe::<()>(&batch.commands()).await;
        }
        sent
    }

    async fn send_shared(&self, pushes: Vec<Push>) {
        if pushes.is_empty() {
            return;
        }
        let asked = |push: Push| {
            let queue = push.placed.at.is_none().then(|| push.placed.queue.clone());
            (push.placed, (queue, push.answer))
        };
        let (placed, askers): (Vec<_>, Vec<_>) = pushes.into_iter().map(asked).unzip();
        let batch = Batch::sort(placed);
        let sent = self.send(&batch).await;
        for (queue, answer) in askers {
            let fate = match &sent {
                Ok(()) => Ok(()),
                Err(error) => batch.fate(queue.as_deref(), error),
            };
            let _ = answer.send(fate); // whoever has gone does not want to know
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error after which a part may be there.
fn in_doubt(error: EnqueueError, part: bool) -> EnqueueError {
    match part {
        true => EnqueueError::Unknown(format!("a part is enqueued: {error}")),
        false => error,
    }
}

impl Waiting {
    /// Returns, if nobody is about to take it, whether it seems to be the only one.
    fn join(&mut self, push: Push) -> Option<bool> {
        self.pushes.push(push);
        let first = !std::mem::replace(&mut self.departure, true);
        first.then_some(self.last < 2 && self.writes == 0)
    }

    /// As many as fit into a write.
    fn take(&mut self) -> Vec<Push> {
        self.pushes.retain(|push| !push.answer.is_closed());
        let mut bytes = 0;
        let mut fits = |push: &Push| {
            let fits = bytes < SLICE_BYTES;
            bytes += push.placed.bytes.len();
            fits
        };
        let fitting = self.pushes.iter().take(SLICE).take_while(|push| fits(push)).count();
        let rest = self.pushes.split_off(fitting);
        std::mem::replace(&mut self.pushes, rest)
    }
}

/// The next write. If the runtime ends before it, those who wait for it learn that.
struct Departure {
    from: Arc<Pushes>,
    over: bool,
}

impl Departure {
    async fn leave(mut self, alone: bool) {
        if !alone {
            yield_now().await; // whoever is about to push comes along
        }
        while !self.over {
            let pushes = self.take();
            self.from.send_shared(pushes).await;
            self.from.waiting().writes -= 1;
        }
    }

    fn take(&mut self) -> Vec<Push> {
        let mut waiting = self.from.waiting();
        let pushes = waiting.take();
        waiting.last = pushes.len();
        waiting.writes += 1;
        waiting.departure = !waiting.pushes.is_empty();
        self.over = !waiting.departure;
        pushes
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if !self.over {
            let mut waiting = self.from.waiting();
            waiting.pushes.clear();
            waiting.departure = false;
        }
    }
}
