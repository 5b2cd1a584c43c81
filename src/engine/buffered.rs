//! A client for callers that cannot wait for Redis to come back: while it takes no jobs they are
//! kept in memory, in order, and delivered when it does, each once however often it is sent.
//!
//! One task sends for all clones, one call at a time; so a promised job never stands behind a
//! later one, and a caller that goes away half-way changes nothing. What makes a second sending
//! harmless is a marker per push in Redis (`lua/push.lua`). It is deleted with the next call, but
//! for pushes whose reply was lost: such a request may still arrive, hours late, and must find it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::backlog::{Backlog, BufferLimits, Call, Pushed};
use super::client::Client;
use super::enqueue_error::EnqueueError;
use super::job::Job;
use super::payload::{Payload, Seconds};
use super::placed::Placed;
use super::pushing::{self, Increments, Noted, Place};
use super::redis::Redis;

/// Pushes like a [`Client`], but never leaves a job to its caller because Redis is away: it is
/// kept in memory, up to the limits, and delivered later. What is in memory dies with the
/// process, so this is for jobs that nobody could enqueue again; call [`flush`](Self::flush) at
/// the end. Clones share one memory and one connection.
#[derive(Clone)]
pub struct Buffered {
    handle: Arc<Handle>,
}

/// What the clones hold: with the last of them the sending ends.
struct Handle {
    client: Client,
    shared: Arc<Shared>,
    sending: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sending.abort();
        self.shared.backlog().give_up();
    }
}

struct Shared {
    backlog: Mutex<Backlog>,
    /// There is something to send.
    news: Notify,
    /// A call has ended.
    progress: Notify,
}

impl Buffered {
    /// A buffered client over a client, middleware included. Needs a tokio runtime.
    pub fn new(client: Client, limits: BufferLimits) -> Buffered {
        let backlog = Mutex::new(Backlog::new(limits));
        let shared = Arc::new(Shared { backlog, news: Notify::new(), progress: Notify::new() });
        let task = tokio::spawn(shared.clone().send_all(client.redis().clone()));
        let sending = task.abort_handle();
        Buffered { handle: Arc::new(Handle { client, shared, sending }) }
    }

    /// Enqueues a job to run as soon as possible. `Ok` tells whether Redis has it; an error means
    /// that it is not kept either.
    pub async fn enqueue<J: Job>(&self, job: J) -> Result<Pushed, EnqueueError> {
        self.push(Payload::of(&job)?).await
    }

    /// Enqueues a job to run after a delay, counted from now; by this machine's clock until Redis
    /// has been there once.
    pub async fn enqueue_in<J: Job>(
        &self,
        delay: Duration,
        job: J,
    ) -> Result<Pushed, EnqueueError> {
        let at = self.handle.client.redis().clock().now() + delay.as_secs_f64();
        self.push(Payload::of(&job)?.with("at", Seconds(at))).await
    }

    /// Enqueues any payload, as [`Client::push`] does. Middleware runs now, and only now.
    /// From then on the job is on its way, even if this future is dropped.
    pub async fn push(&self, payload: Payload) -> Result<Pushed, EnqueueError> {
        let mut payload = self.handle.client.ready(payload).await?;
        if payload.raw("created_at").is_none() {
            payload.set("created_at", Seconds(self.handle.client.redis().clock().now()));
        }
        let answer = self.handle.shared.backlog().admit(payload);
        self.handle.shared.news.notify_one();
        answer.await.unwrap_or_else(|_| Err(EnqueueError::Unavailable("it has ended".to_owned())))
    }

    /// Jobs in memory that were promised to a caller.
    pub fn waiting(&self) -> usize {
        self.handle.shared.backlog().kept()
    }

    /// For the end of the process: delivers what Redis takes until the deadline. What is left
    /// then is lost and logged, classes and jids; returns how many jobs that are.
    pub async fn flush(&self, deadline: Duration) -> usize {
        let shared = &self.handle.shared;
        shared.backlog().tidy();
        shared.news.notify_one();
        let done = async {
            loop {
                let progress = shared.progress.notified();
                if shared.backlog().done() {
                    return;
                }
                progress.await;
            }
        };
        let _ = timeout(deadline, done).await;
        shared.backlog().give_up()
    }
}

impl Shared {
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_all(self: Arc<Self>, redis: Redis) {
        let mut failures = 0;
        loop {
            let next = self.backlog().next();
            let Some(call) = next else {
                self.news.notified().await;
                continue;
            };
            let sent = send(&redis, &call).await;
            let failed = sent.is_err();
            match sent {
                Ok(replies) => self.backlog().settle(&call, replies),
                Err(error) => self.backlog().fail(&call, error),
            }
            self.progress.notify_waiters();
            failures = if failed { failures + 1 } else { 0 };
            if failed {
                sleep(pause(failures)).await;
                let _ = redis.up().await; // an error: never; so the next one says it again
            }
        }
    }
}

/// Without a connection for no longer than this is no outage.
const BLIP: Duration = Duration::from_millis(250);

/// Up to a second: a full Redis is there, and only now and then worth a question.
fn pause(failures: u32) -> Duration {
    let base = Duration::from_millis(25) * 2u32.pow(failures.min(6));
    base.min(Duration::from_secs(1)).mul_f64(0.5 + fastrand::f64() / 2.0)
}

async fn send(redis: &Redis, call: &Call) -> Result<Vec<Place>, EnqueueError> {
    let Ok(Ok(connection)) = timeout(BLIP, redis.newer_than(0)).await else {
        return Err(EnqueueError::Unavailable(redis.status().err().unwrap_or_default()));
    };
    let now = redis.clock().now();
    let mut script = pushing::call(now, &call.obsolete, increments(call));
    let mut places = Vec::new();
    for (id, payload) in &call.jobs {
        let placed = Placed::of(payload.clone(), now);
        pushing::add(&mut script, Some(id), &placed);
        places.push((placed.queue, placed.at));
    }
    let wakes = redis.wakes();
    let _noted = Noted(|| places.iter().for_each(|(queue, at)| wakes.placed(queue, *at)));
    Ok(connection.run::<Vec<Value>>(&script).await?.into_iter().map(pushing::place).collect())
}

fn increments(call: &Call) -> Increments<'_> {
    let Some(counts) = &call.counts else { return Increments::default() };
    let pairs = [("push_refused", counts.refused), ("push_dropped", counts.dropped)];
    Increments { id: &counts.id, pairs: pairs.into_iter().filter(|(_, by)| *by > 0).collect() }
}
