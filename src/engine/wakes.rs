//! What has changed in Redis since we last looked: the worker's alarm clock.
//!
//! The worker never blocks on a queue. The server's client-side caching tells it which watched
//! key changed (one message, for every queue at once), and what this process pushes itself is
//! noted here too, because the server does not report our own writes.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::keys;

/// Keys that changed, and whom it concerns.
#[derive(Default)]
pub(crate) struct Wakes {
    dirty: Mutex<Dirty>,
    fetcher: Notify,
    poller: Notify,
    commands: Notify,
}

/// What the fetcher has to look at.
#[derive(Default)]
pub(crate) struct Dirty {
    /// Everything, the set of queues included: after a reconnect or a FLUSHALL.
    pub(crate) all: bool,
    /// The set of queue names.
    pub(crate) names: bool,
    /// These queues (full keys).
    pub(crate) queues: HashSet<String>,
}

impl Dirty {
    pub(crate) fn any(&self) -> bool {
        self.all || self.names || !self.queues.is_empty()
    }
}

impl Wakes {
    /// A push message of the server.
    pub(crate) fn heard(&self, push: PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        match push.data.into_iter().next() {
            Some(Value::Array(keys)) => keys.into_iter().for_each(|key| self.changed(key)),
            _ => self.everything(),
        }
    }

    fn changed(&self, key: Value) {
        let Value::BulkString(key) = key else { return };
        let key = String::from_utf8_lossy(&key).into_owned();
        match key.as_str() {
            keys::RETRY | keys::SCHEDULE => self.poller.notify_one(),
            keys::QUEUES => self.mark(|dirty| dirty.names = true),
            keys::PAUSED => self.mark(|dirty| dirty.all = true),
            queue if queue.starts_with(keys::QUEUE_PREFIX) => self.queue_key(key),
            list if list.ends_with(keys::SIGNALS_SUFFIX) => self.commands.notify_one(),
            set => {
                if let Some(queue) = set.strip_prefix(keys::RUNNING_PREFIX) {
                    self.freed(queue); // or taken: then the look finds that out
                }
            }
        }
    }

    fn queue_key(&self, key: String) {
        self.mark(|dirty| {
            dirty.queues.insert(key);
        });
    }

    /// A queue that may be at its limit has room again.
    pub(crate) fn freed(&self, queue: &str) {
        self.queue_key(keys::queue(queue));
    }

    /// This process pushed to a queue itself.
    pub(crate) fn pushed(&self, queue: &str) {
        if !queue.is_empty() {
            self.queue_key(keys::queue(queue));
        }
    }

    /// This process pushed to a queue, or to the set of those that wait for a time.
    pub(crate) fn placed(&self, queue: &str, at: Option<f64>) {
        match at {
            Some(_) => self.scheduled(),
            None => self.pushed(queue),
        }
    }

    /// This process added to a timed set itself.
    pub(crate) fn scheduled(&self) {
        self.poller.notify_one();
    }

    /// Look at everything again.
    pub(crate) fn everything(&self) {
        self.mark(|dirty| dirty.all = true);
        self.poller.notify_one();
        self.commands.notify_one();
    }

    /// Puts back what was taken but not dealt with.
    pub(crate) fn put_back(&self, keys: impl IntoIterator<Item = String>) {
        self.mark(|dirty| dirty.queues.extend(keys));
    }

    /// What changed since the last call.
    pub(crate) fn take(&self) -> Dirty {
        std::mem::take(&mut *self.lock())
    }

    /// Whether there is anything to look at now.
    pub(crate) fn any(&self) -> bool {
        self.lock().any()
    }

    /// Resolves when there is something for the fetcher.
    pub(crate) async fn fetcher(&self) {
        self.fetcher.notified().await;
    }

    /// Resolves when a timed set may have changed.
    pub(crate) async fn poller(&self) {
        self.poller.notified().await;
    }

    /// Resolves when there may be remote commands.
    pub(crate) async fn commands(&self) {
        self.commands.notified().await;
    }

    fn mark(&self, change: impl FnOnce(&mut Dirty)) {
        change(&mut self.lock());
        self.fetcher.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
