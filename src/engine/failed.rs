//! A run that failed, for those who have to hear of it: the job's own last word, and whoever
//! reports errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::active_job;
use super::head::Head;
use super::jid::known_as;
use super::payload::Payload;
use super::retry::Failure;

/// A run that failed. Strangers may have chosen the texts.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The job's class; empty if there was none to read.
    pub class: String,
    /// The job's id.
    pub jid: String,
    /// The queue it came from this time.
    pub queue: String,
    /// How often it has failed, this time included.
    pub failures: u32,
    /// `Error`, `Panic`, `Timeout`, `Poison` (its process died again and again), `NameError` (no
    /// handler for its class), `BadArguments` or `BadJson`.
    pub error_class: &'static str,
    /// The error in words.
    pub error: String,
    /// Whether it is not tried again.
    pub for_good: bool,
    /// The job as it was before this failure, with whatever fields travel with it; `None` if it is
    /// no job at all.
    pub payload: Option<Payload>,
}

impl Failed {
    pub(crate) fn of(raw: &[u8], queue: &str, failure: &Failure, for_good: bool) -> Failed {
        let head = Head::parse(raw).unwrap_or_default();
        Failed {
            class: active_job::opened(&head).0.into_owned(),
            jid: known_as(raw, head.jid.as_deref()),
            queue: queue.to_owned(),
            failures: head.failures().saturating_add(1),
            error_class: failure.class,
            error: failure.message.clone(),
            for_good,
            payload: Payload::parse(raw).ok(),
        }
    }
}

type Hear = dyn Fn(&Failed) + Send + Sync;

/// Who hears of failures; by default nobody.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Arc<[Arc<Hear>]>);

impl Listeners {
    pub(crate) fn add(&mut self, hear: impl Fn(&Failed) + Send + Sync + 'static) {
        let hear: Arc<Hear> = Arc::new(hear);
        self.0 = self.0.iter().cloned().chain([hear]).collect();
    }

    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// What goes wrong in there is theirs.
    pub(crate) fn tell(&self, failed: &Failed) {
        for hear in self.0.iter() {
            if catch_unwind(AssertUnwindSafe(|| hear(failed))).is_err() {
                tracing::error!("whoever listens for failures panicked");
            }
        }
    }
}
