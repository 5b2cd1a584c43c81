//! A run of one job without Redis and without a worker: for the tests of its author.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::JobContext;
use super::delivery::{Delivery, Who};
use super::field::Field;
use super::head::Head;
use super::iteration::{Keeper, Memory, Saved};
use super::jid::new_jid;
use super::job::{Job, decode};
use super::lifecycle::Lifecycle;
use super::payload::Payload;
use super::retry::{Stop, last_chance};
use super::run::{Run, Standing};
use super::status::Draft;

/// Performs a job here and now; what it returned.
pub async fn perform<J: Job>(app: J::App, job: J) -> anyhow::Result<()> {
    Trial::new(app).perform(job).await.result
}

/// A run of a job, and the circumstances in which it takes place. Its arguments travel as they
/// would through Redis. A panic is the test's; there are no timeouts and no worker middleware.
pub struct Trial<A> {
    app: A,
    jid: String,
    attempt: u32,
    saved: Saved,
    interrupt_at: Option<u32>,
    cancel_at: Option<u32>,
}

/// How a trial ended.
pub struct Tried {
    /// What the job returned.
    pub result: anyhow::Result<()>,
    /// How many checkpoints it came to.
    pub checkpoints: u32,
    jid: String,
    saved: Saved,
    draft: Draft,
}

impl<A: Clone + Send + Sync + 'static> Trial<A> {
    /// A first attempt of a job that nobody has heard of before.
    pub fn new(app: A) -> Trial<A> {
        let (jid, saved) = (new_jid(), Saved::default());
        Trial { app, jid, attempt: 1, saved, interrupt_at: None, cancel_at: None }
    }

    /// Under this id.
    pub fn jid(mut self, jid: &str) -> Trial<A> {
        self.jid = jid.to_owned();
        self
    }

    /// After so many failures less one: 1 is the first attempt. Whether it is the last one follows
    /// from the job's `RETRY`.
    pub fn attempt(mut self, attempt: u32) -> Trial<A> {
        self.attempt = attempt;
        self
    }

    /// With a cursor that an earlier run has saved.
    ///
    /// # Panics
    ///
    /// If JSON cannot hold it.
    pub fn cursor<C: Serialize>(mut self, cursor: C) -> Trial<A> {
        let cursor = serde_json::to_vec(&cursor);
        let cursor = cursor.unwrap_or_else(|error| panic!("the cursor cannot be saved: {error}"));
        self.saved = Saved { cursor: Some(cursor), executions: 1, ..Saved::default() };
        self
    }

    /// The job of an earlier trial again: its id and the cursor that it saved last.
    pub fn after(mut self, earlier: &Tried) -> Trial<A> {
        self.jid = earlier.jid.clone();
        self.saved = Saved { cancelled: false, ..earlier.saved.clone() };
        self
    }

    /// The process begins to stop when the job comes to this checkpoint (1 is the first one).
    pub fn interrupt_at(mut self, checkpoint: u32) -> Trial<A> {
        self.interrupt_at = Some(checkpoint);
        self
    }

    /// Somebody has cancelled the job when it comes to this checkpoint; 0: before it began.
    pub fn cancel_at(mut self, checkpoint: u32) -> Trial<A> {
        self.cancel_at = Some(checkpoint);
        self.saved.cancelled = checkpoint == 0;
        self
    }

    /// Runs it. Every checkpoint is saved; a worker saves one a second at most, so after a crash a
    /// job may find an older cursor than here: try it with [`cursor`](Self::cursor).
    pub async fn perform<J: Job<App = A>>(self, job: J) -> Tried {
        let memory = Memory::new(self.saved.clone(), self.interrupt_at, self.cancel_at);
        let mut draft = Draft::default();
        let result = self.result(job, memory.clone(), &mut draft).await;
        let (checkpoints, saved) = (memory.checkpoints(), memory.saved().clone());
        Tried { result, checkpoints, jid: self.jid, saved, draft }
    }

    async fn result<J: Job<App = A>>(
        &self,
        job: J,
        memory: Arc<Memory>,
        draft: &mut Draft,
    ) -> anyhow::Result<()> {
        let mut payload = Payload::of(&job)?.with("jid", &self.jid);
        if let Some(retries) = self.attempt.checked_sub(2) {
            payload.set("retry_count", retries);
        }
        let raw = payload.to_bytes();
        let head = Head::parse(&raw)?;
        let job: J = decode(head.args.unwrap_or_default())?;
        let lifecycle = Lifecycle::new();
        let standing = Standing {
            attempt: head.failures() + 1,
            last: last_chance(&head, J::RETRY, 0.0),
            anonymous: false,
        };
        let delivery = Delivery::new(Field { batch: 0, index: 0 }, J::QUEUE.into(), raw.clone());
        let (class, jid) = (J::CLASS.into(), self.jid.as_str().into());
        let _ = delivery.who.set(Who { class, jid, ties: None });
        let run = Run::new(delivery.clone(), standing, lifecycle, Keeper::Memory(memory));
        let result = job.perform(JobContext::new(self.app.clone(), run)).await;
        *draft = delivery.draft();
        result
    }
}

impl Tried {
    /// The cursor that was saved last.
    ///
    /// # Panics
    ///
    /// If it is of another type.
    pub fn cursor<C: DeserializeOwned>(&self) -> Option<C> {
        let cursor = self.saved.cursor.as_deref()?;
        let cursor = serde_json::from_slice(cursor);
        Some(cursor.unwrap_or_else(|error| panic!("the cursor is of another type: {error}")))
    }

    /// How much of how much was done, as the job last said.
    pub fn progress(&self) -> Option<(u64, u64)> {
        self.draft.progress
    }

    /// What the job last said about it in words.
    pub fn message(&self) -> Option<&str> {
        self.draft.message.as_deref()
    }

    /// What it came to, as those read it who ask by the jid; `None` if it said nothing.
    ///
    /// # Panics
    ///
    /// If it is of another type.
    pub fn output<T: DeserializeOwned>(&self) -> Option<T> {
        let output = serde_json::from_str(self.draft.result.as_deref()?);
        Some(output.unwrap_or_else(|error| panic!("the result is of another type: {error}")))
    }

    /// By which [`Stop`] it ended, if by one.
    pub fn stop(&self) -> Option<Stop> {
        self.result.as_ref().err()?.downcast_ref().copied()
    }
}
