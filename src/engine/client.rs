//! Enqueueing: from the web process, from jobs, from anywhere with an `App`.

use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime};

use redis::RedisError;

use super::batch::Batch;
use super::clock;
use super::errors;
use super::invalid::{Invalid, check};
use super::jid::new_jid;
use super::job::{Job, encode};
use super::middleware::{Chain, Rest};
use super::payload::{Payload, Seconds};
use super::redis::Redis;

/// Jobs per round trip of `enqueue_all`.
const SLICE: usize = 1_000;

/// Pushes jobs to Redis; clones share one connection.
#[derive(Clone)]
pub struct Client {
    redis: Redis,
    chain: Chain<Payload, Pushing>,
}

type Pushing = Result<Payload, EnqueueError>;

/// The rest of the client's chain; at its end stands the payload that will be pushed.
pub type PushNext = Rest<Payload, Pushing>;

/// Why a job is not enqueued, or not known to be.
#[derive(Clone, Debug, PartialEq)]
pub enum EnqueueError {
    /// Redis cannot be reached or does not take writes; nothing was enqueued.
    Unavailable(String),
    /// Redis is full; nothing was enqueued.
    Full,
    /// The request was sent and its reply lost: the job may be enqueued or not. Repeating it may
    /// enqueue it twice; that decision is the caller's.
    Unknown(String),
    /// The job cannot be a payload.
    Invalid(Invalid),
    /// Middleware or the server refused it.
    Refused(String),
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            EnqueueError::Unavailable(reason) => write!(f, "nothing enqueued: {reason}"),
            EnqueueError::Full => f.write_str("nothing enqueued: Redis is full"),
            EnqueueError::Unknown(reason) => {
                write!(f, "perhaps enqueued, no answer came: {reason}")
            }
            EnqueueError::Invalid(reason) => write!(f, "no valid job: {reason}"),
            EnqueueError::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

impl std::error::Error for EnqueueError {}

impl From<Invalid> for EnqueueError {
    fn from(reason: Invalid) -> Self {
        EnqueueError::Invalid(reason)
    }
}

impl From<RedisError> for EnqueueError {
    fn from(error: RedisError) -> Self {
        if errors::is_full(&error) {
            EnqueueError::Full
        } else if errors::is_unavailable(&error) {
            EnqueueError::Unavailable(errors::reason(&error))
        } else if errors::in_doubt(&error) {
            EnqueueError::Unknown(errors::reason(&error))
        } else {
            EnqueueError::Unavailable(errors::reason(&error))
        }
    }
}

impl Payload {
    /// The payload of a job, with a fresh jid.
    pub fn of<J: Job>(job: &J) -> Result<Payload, EnqueueError> {
        let invalid = |error: serde_json::Error| Invalid::Encoding(error.to_string());
        let args = encode(job).map_err(invalid)?;
        let payload = Payload::new(J::CLASS, serde_json::Value::Null).queue(J::QUEUE);
        Ok(payload.with("args", args).with("retry", J::RETRY.field()))
    }
}

impl Client {
    /// A client on this connection.
    pub fn new(redis: Redis) -> Client {
        Client { redis, chain: Chain::default() }
    }

    /// Adds middleware: `async fn(payload, next) -> Result<Payload, EnqueueError>`. It may add
    /// fields, replace the payload, or refuse it with an error. The last one added is the
    /// innermost.
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Client
    where
        F: Fn(Payload, PushNext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Pushing> + Send + 'static,
    {
        self.chain.add(middleware);
        self
    }

    /// Enqueues a job to run as soon as possible; returns its jid. One round trip.
    pub async fn enqueue<J: Job>(&self, job: J) -> Result<String, EnqueueError> {
        self.push(Payload::of(&job)?).await
    }

    /// Enqueues a job to run after a delay.
    pub async fn enqueue_in<J: Job>(
        &self,
        delay: Duration,
        job: J,
    ) -> Result<String, EnqueueError> {
        self.redis.connection().await?; // before the first one the time is only this machine's
        let at = self.redis.clock().now() + delay.as_secs_f64();
        self.push(Payload::of(&job)?.with("at", Seconds(at))).await
    }

    /// Enqueues a job to run at a point in time; at once if that has passed.
    pub async fn enqueue_at<J: Job>(&self, at: SystemTime, job: J) -> Result<String, EnqueueError> {
        let at = clock::seconds(at);
        self.push(Payload::of(&job)?.with("at", Seconds(at))).await
    }

    /// Enqueues many jobs, 1,000 to a round trip; returns their jids. Where an error says that
    /// nothing was enqueued, none was; else some of them, in their order, may be.
    pub async fn enqueue_all<J: Job>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<String>, EnqueueError> {
        let payloads: Result<Vec<_>, _> = jobs.into_iter().map(|job| Payload::of(&job)).collect();
        self.push_all(payloads?).await
    }

    /// The same for payloads of any class.
    pub async fn push_all(&self, payloads: Vec<Payload>) -> Result<Vec<String>, EnqueueError> {
        let ready = self.prepare(payloads).await?;
        let jids: Vec<String> = ready.iter().map(Payload::jid).collect();
        let mut rest = ready.into_iter();
        for done in (0..jids.len()).step_by(SLICE) {
            let sent = self.send(rest.by_ref().take(SLICE).collect()).await;
            sent.map_err(|error| match done {
                0 => error,
                done => EnqueueError::Unknown(format!("after {done} jobs: {error}")),
            })?;
        }
        Ok(jids)
    }

    /// Enqueues any payload, for instance of a class that another language handles. A field
    /// `at` (epoch seconds) in the future schedules it. Without `queue` it goes to `default`.
    pub async fn push(&self, payload: Payload) -> Result<String, EnqueueError> {
        let ready = self.ready(payload).await?;
        let jid = ready.jid();
        self.send(vec![ready]).await?;
        Ok(jid)
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
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

    /// One write for all: SADD of the queue names, then the pushes.
    async fn send(&self, payloads: Vec<Payload>) -> Result<(), EnqueueError> {
        let connection = self.redis.connection().await?;
        let batch = Batch::sort(payloads, self.redis.clock().now());
        let mut sent = connection.pipe::<()>(&batch.commands()).await;
        if sent.as_ref().is_err_and(errors::is_unsent) {
            // the server has closed what was idle: certainly not enqueued, so once more
            let next = self.redis.connection_after(connection.number).await?;
            sent = next.pipe::<()>(&batch.commands()).await;
        }
        // also after an error: a part may be there, and our own writes are reported to nobody
        batch.queues.keys().for_each(|queue| self.redis.wakes().pushed(queue));
        if !batch.scheduled.is_empty() {
            self.redis.wakes().scheduled();
        }
        sent.map_err(|error| match batch.failed_whole(&error) {
            true => error.into(),
            false => EnqueueError::Unknown(errors::reason(&error)),
        })
    }
}
