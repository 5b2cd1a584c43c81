//! Enqueueing: from the web process, from jobs, from anywhere with an `App`.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::{RedisResult, cmd};

use super::clock;
use super::enqueue_error::EnqueueError;
use super::enqueued::Enqueued;
use super::invalid::{Invalid, check};
use super::jid::{known_as, new_jid};
use super::job::{Job, encode};
use super::keys;
use super::middleware::{Chain, Rest};
use super::payload::{Payload, Seconds};
use super::pushes::{Pushes, SLICE};
use super::recorded::Recorded;
use super::redis::Redis;
use super::status::Status;
use super::ties;

/// Pushes jobs to Redis; clones share one connection.
#[derive(Clone)]
pub struct Client {
    pushes: Arc<Pushes>,
    chain: Chain<Payload, Pushing>,
}

type Pushing = Result<Payload, EnqueueError>;

/// The rest of the client's chain; at its end stands the payload that will be pushed.
pub type PushNext = Rest<Payload, Pushing>;

impl Payload {
    /// The payload of a job, with a fresh jid.
    pub fn of<J: Job>(job: &J) -> Result<Payload, EnqueueError> {
        let invalid = |error: serde_json::Error| Invalid::Encoding(error.to_string());
        let args = encode(job).map_err(invalid)?;
        let mut payload = Payload::ordered(J::CLASS, J::QUEUE, J::RETRY.field(), args);
        if !J::TAGS.is_empty() {
            payload.set("tags", J::TAGS);
        }
        if let Some(queue) = J::RETRY_QUEUE {
            payload.set("retry_queue", queue);
        }
        if let Some(span) = J::EXPIRES_IN {
            payload.set(ties::EXPIRES_IN, span.as_secs_f64());
        }
        if let Some(span) = J::STATUS_FOR {
            payload.set(ties::STATUS_FOR, span.as_secs().max(1));
        }
        if let Some(span) = J::UNIQUE_FOR {
            let name = ties::lock_name(J::CLASS, job.unique_by()).map_err(invalid)?;
            payload.set(ties::LOCK, name);
            payload.set(ties::LOCK_FOR, span.as_secs().max(1));
        }
        Ok(payload)
    }
}

impl Client {
    /// A client on this connection.
    pub fn new(redis: Redis) -> Client {
        Client { pushes: Pushes::new(redis), chain: Chain::default() }
    }

    /// A client that pushes nowhere, and what it was asked to push: for tests. Middleware runs all
    /// the same. Needs a tokio runtime, but no Redis. (A [`Buffered`](super::Buffered) over it has
    /// no Redis to wait for either, and keeps what it takes.)
    pub fn recording() -> (Client, Recorded) {
        let recorded = Recorded::default();
        let pushes = Pushes::recording(recorded.clone());
        (Client { pushes, chain: Chain::default() }, recorded)
    }

    /// Adds middleware: `async fn(payload, next) -> Result<Payload, EnqueueError>`. It may add
    /// fields, replace the payload, or refuse it with an error (one refusal among many enqueues
    /// none of them); what it returns is what is checked and pushed. The last one added is the
    /// innermost.
    ///
    /// Every push of this client passes it once, also those of jobs and of [`Buffered`]. A job
    /// that comes due, is tried again or goes back to its queue is not pushed anew; cron lines
    /// have no client.
    ///
    /// [`Buffered`]: super::Buffered
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Client
    where
        F: Fn(Payload, PushNext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Pushing> + Send + 'static,
    {
        self.chain.add(middleware);
        self
    }

    /// Enqueues a job to run as soon as possible; returns its jid, or, of a job of which one at a
    /// time is enough, that of the one that is there already ([`Enqueued::existed`] tells). One
    /// round trip, shared with those who push at the same moment.
    pub async fn enqueue<J: Job>(&self, job: J) -> Result<Enqueued, EnqueueError> {
        self.push(Payload::of(&job)?).await
    }

    /// Enqueues a job to run after a delay.
    pub async fn enqueue_in<J: Job>(
        &self,
        delay: Duration,
        job: J,
    ) -> Result<Enqueued, EnqueueError> {
        let at = self.pushes.now().await? + delay.as_secs_f64();
        self.push(Payload::of(&job)?.with("at", Seconds(at))).await
    }

    /// Enqueues a job to run at a point in time; at once if that has passed.
    pub async fn enqueue_at<J: Job>(
        &self,
        at: SystemTime,
        job: J,
    ) -> Result<Enqueued, EnqueueError> {
        let at = clock::seconds(at);
        self.push(Payload::of(&job)?.with("at", Seconds(at))).await
    }

    /// Enqueues many jobs, 1,000 to a round trip; returns their jids. Where an error says that
    /// nothing was enqueued, none was; else some of them, in their order, may be.
    pub async fn enqueue_all<J: Job>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let payloads: Result<Vec<_>, _> = jobs.into_iter().map(|job| Payload::of(&job)).collect();
        self.push_all(payloads?).await
    }

    /// The same for payloads of any class.
    pub async fn push_all(&self, payloads: Vec<Payload>) -> Result<Vec<Enqueued>, EnqueueError> {
        let ready = self.prepare(payloads).await?;
        let mut enqueued = Vec::with_capacity(ready.len());
        let mut rest = ready.into_iter();
        while rest.len() > 0 {
            let slice: Vec<Payload> = rest.by_ref().take(SLICE).collect();
            let jids: Vec<String> = slice.iter().map(Payload::jid).collect();
            let holders = self.pushes.all(slice).await.map_err(|error| match enqueued.len() {
                0 => error,
                done => EnqueueError::Unknown(format!("after {done} jobs: {error}")),
            })?;
            enqueued.extend(jids.into_iter().zip(holders).map(|(jid, at)| Enqueued::new(jid, at)));
        }
        Ok(enqueued)
    }

    /// Enqueues any payload, for instance of a class that another language handles. A field
    /// `at` (epoch seconds) in the future schedules it. Without `queue` it goes to `default`.
    pub async fn push(&self, payload: Payload) -> Result<Enqueued, EnqueueError> {
        let ready = self.ready(payload).await?;
        let jid = ready.jid();
        Ok(Enqueued::new(jid, self.pushes.one(ready).await?))
    }

    /// How far a job is, if it asked for that to be kept ([`Job::STATUS_FOR`]) and it is not too
    /// long ago. A job whose process was killed shows as running until it runs again. One round
    /// trip.
    pub async fn status(&self, jid: &str) -> RedisResult<Option<Status>> {
        if self.pushes.records() {
            return Ok(None);
        }
        let mut read = cmd("HGETALL");
        read.arg(keys::status(&known_as(&[], Some(jid))));
        Ok(Status::read(self.redis().query(&read).await?))
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.pushes.redis
    }

    /// Through the middleware, and checked.
    pub(crate) async fn ready(&self, mut payload: Payload) -> Result<Payload, EnqueueError> {
        if !self.chain.is_empty() {
            let end = Box::new(|payload| Box::pin(async { Ok(payload) }) as _);
            payload = self.chain.run(payload, end).await?;
        }
        if payload.jid().is_empty() {
            payload.set("jid", new_jid());
        }
        if payload.raw("queue").is_none() {
            payload.set("queue", "default");
        }
        check(&payload)?;
        Ok(payload)
    }

    async fn prepare(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, EnqueueError> {
        let mut ready = Vec::with_capacity(payloads.len());
        for payload in payloads {
            ready.push(self.ready(payload).await?);
        }
        Ok(ready)
    }
}
