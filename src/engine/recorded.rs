//! What a client that pushes nowhere was asked to push: for the tests of those who enqueue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::job::{Job, decode};
use super::payload::Payload;

/// The jobs that a recording client took, in their order; see
/// [`Client::recording`](super::Client::recording). Clones share them.
#[derive(Clone, Default)]
pub struct Recorded {
    taken: Arc<Mutex<Vec<Payload>>>,
}

impl Recorded {
    pub(crate) fn take(&self, payloads: impl IntoIterator<Item = Payload>) {
        self.taken().extend(payloads);
    }

    /// All of them as they came out of the middleware. One that was enqueued for a time has it in
    /// the field `at` (epoch seconds).
    pub fn payloads(&self) -> Vec<Payload> {
        self.taken().clone()
    }

    /// Those of one class, as a worker would decode them.
    ///
    /// # Panics
    ///
    /// If the arguments of one do not decode: it would fail in a worker, too.
    pub fn jobs<J: Job>(&self) -> Vec<J> {
        let taken = self.taken();
        let ours = taken.iter().filter(|payload| payload.class() == J::CLASS);
        let job = |payload: &Payload| {
            let args = payload.raw("args").unwrap_or_default();
            decode(args).unwrap_or_else(|error| panic!("arguments of {}: {error}", J::CLASS))
        };
        ours.map(job).collect()
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Payload>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
