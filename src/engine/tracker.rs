//! The running jobs that have something to tell. `track` brings it to Redis.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::delivery::Delivery;

/// Jobs told of in one request, at most.
const AT_ONCE: usize = 500;

/// The jobs of which there is news.
#[derive(Default)]
pub(crate) struct Tracker {
    changed: Mutex<Vec<Arc<Delivery>>>,
    news: Notify,
}

impl Tracker {
    /// There is news of a job, if somebody may ask for it.
    pub(crate) fn note(&self, delivery: &Arc<Delivery>) {
        if delivery.status_for().is_some() && !delivery.is_noted() {
            self.lock(|changed| changed.push(delivery.clone()));
            self.news.notify_one();
        }
    }

    /// Resolves when there may be news.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Those of which there is news.
    pub(crate) fn take(&self) -> Vec<Arc<Delivery>> {
        let taken = self.lock(|changed| {
            let rest = changed.split_off(changed.len().min(AT_ONCE));
            std::mem::replace(changed, rest)
        });
        taken.iter().for_each(|delivery| delivery.taken_note());
        taken
    }

    fn lock<T>(&self, use_it: impl FnOnce(&mut Vec<Arc<Delivery>>) -> T) -> T {
        use_it(&mut self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
