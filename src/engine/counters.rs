//! What happened in this process since the last heartbeat took it to Redis.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Runs and failures, which Sidekiq counts too, and rarer events under names of our own.
#[derive(Default)]
pub(crate) struct Counters {
    processed: AtomicU64,
    failed: AtomicU64,
    events: Mutex<BTreeMap<&'static str, u64>>,
}

/// Increments to bring to Redis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Increments {
    pub(crate) processed: u64,
    pub(crate) failed: u64,
    pub(crate) events: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// A job ran to an end; a failed run counts as processed too, as in Sidekiq.
    pub(crate) fn ran(&self, failed: bool) {
        self.processed.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    /// Something else worth counting.
    pub(crate) fn event(&self, name: &'static str, by: u64) {
        if by > 0 {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            *events.entry(name).or_default() += by;
        }
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Increments {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        Increments {
            processed: self.processed.swap(0, Ordering::Relaxed),
            failed: self.failed.swap(0, Ordering::Relaxed),
            events: std::mem::take(&mut events),
        }
    }
}
