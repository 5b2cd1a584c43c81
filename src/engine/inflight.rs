//! The deliveries that this process holds, as it remembers them. Redis has the same in the
//! in-flight hash; a registration compares the two.
//!
//! A delivery enters exactly once: by the reply of its fetch, or, when that reply was lost, by
//! the first registration after it. Its bytes never change.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::delivery::Delivery;
use super::field::Field;

/// All deliveries of this process.
#[derive(Default)]
pub(crate) struct Inflight {
    table: Mutex<Table>,
}

/// So many successes are remembered, in case Redis forgets them.
const REMEMBERED: usize = 50_000;

#[derive(Default)]
struct Table {
    held: HashMap<Field, Held>,
    /// The last ones of which nothing was to be left, as Redis has confirmed.
    succeeded: VecDeque<Field>,
    /// The batch whose fetch is under way, or whose reply was lost.
    pending: Option<(u64, Pending)>,
}

struct Held {
    delivery: Arc<Delivery>,
    running: Option<AbortHandle>,
}

#[derive(Clone, Copy, PartialEq)]
enum Pending {
    /// The reply may still come: its fields are none of anybody else's business.
    Awaited,
    /// No reply will come: the next registration tells whether it took anything.
    Doubtful,
}

/// What a registration found.
#[derive(Default, Debug, PartialEq)]
pub(crate) struct Findings {
    /// Deliveries of the doubtful batch: they are ours and nobody runs them yet.
    pub(crate) adopt: Vec<Field>,
    /// Jobs done with, as Redis has confirmed and forgotten: to be deleted, never to be run again.
    pub(crate) succeeded: Vec<Field>,
    /// Whatever else has ended, but Redis has gone back to before: the retry, the death that
    /// it confirmed may be gone, so this is all that is left of the job.
    pub(crate) forgotten: Vec<Field>,
    /// How many running jobs turned out to be no longer ours.
    pub(crate) lost: usize,
    /// Whether a doubtful batch is decided by this (by `adopt`, which may be empty).
    pub(crate) decides: bool,
}

impl Inflight {
    /// A fetch for this batch is about to be sent.
    pub(crate) fn awaits(&self, batch: u64) {
        self.lock().pending = Some((batch, Pending::Awaited));
    }

    /// The fetch for this batch ended without a reply.
    pub(crate) fn doubts(&self, batch: u64) {
        self.lock().pending = Some((batch, Pending::Doubtful));
    }

    /// The batch is decided: these deliveries are ours, and there will be no others.
    pub(crate) fn enter(&self, deliveries: &[Arc<Delivery>]) {
        let mut table = self.lock();
        table.pending = None;
        for delivery in deliveries {
            let held = Held { delivery: delivery.clone(), running: None };
            table.held.insert(delivery.field, held);
        }
    }

    /// Remembers how to end the run of a delivery.
    pub(crate) fn running(&self, field: Field, handle: AbortHandle) {
        if let Some(held) = self.lock().held.get_mut(&field) {
            held.running = Some(handle);
        }
    }

    /// Redis has confirmed the end of these.
    pub(crate) fn remove(&self, fields: impl IntoIterator<Item = Field>) {
        let mut table = self.lock();
        for field in fields {
            table.held.remove(&field);
        }
    }

    /// Redis has confirmed the end of these, and that nothing is left of them.
    pub(crate) fn succeeded(&self, fields: impl IntoIterator<Item = Field>) {
        let mut table = self.lock();
        for field in fields {
            table.held.remove(&field);
            if table.succeeded.len() == REMEMBERED {
                table.succeeded.pop_front();
            }
            table.succeeded.push_back(field);
        }
    }

    /// Compares with the fields that Redis holds for us.
    pub(crate) fn compare(&self, fields: &[Field]) -> Findings {
        let table = self.lock();
        let succeeded: HashSet<&Field> = match fields.is_empty() {
            true => HashSet::new(),
            false => table.succeeded.iter().collect(),
        };
        let decides = matches!(table.pending, Some((_, Pending::Doubtful)));
        let mut findings = Findings { decides, ..Findings::default() };
        for field in fields {
            match table.pending {
                Some((batch, Pending::Awaited)) if batch == field.batch => {}
                Some((batch, Pending::Doubtful)) if batch == field.batch => {
                    findings.adopt.push(*field)
                }
                _ if table.held.contains_key(field) => {}
                _ if succeeded.contains(field) => findings.succeeded.push(*field),
                _ => findings.forgotten.push(*field),
            }
        }
        let present: HashSet<&Field> = fields.iter().collect();
        for (field, held) in &table.held {
            let ours = present.contains(field) || held.delivery.finished();
            if !ours && held.delivery.lose() {
                findings.lost += 1;
            }
        }
        findings
    }

    /// Everything held, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Delivery>> {
        let table = self.lock();
        let mut all: Vec<_> = table.held.values().map(|held| held.delivery.clone()).collect();
        all.sort_unstable_by_key(|delivery| delivery.field);
        all
    }

    /// Jobs that run (their outcome is not known yet).
    pub(crate) fn busy(&self) -> Vec<Arc<Delivery>> {
        self.all().into_iter().filter(|delivery| !delivery.finished()).collect()
    }

    /// How many these are, for those who ask often.
    pub(crate) fn load(&self) -> usize {
        self.lock().held.values().filter(|held| !held.delivery.finished()).count()
    }

    /// Jobs that have a thread at this moment, and which of their polls that is.
    pub(crate) fn polling(&self) -> Vec<(Arc<Delivery>, u32)> {
        let table = self.lock();
        let polling = table.held.values().filter_map(|held| {
            let poll = held.delivery.polling()?;
            Some((held.delivery.clone(), poll))
        });
        polling.collect()
    }

    /// Those that ended well, but Redis does not know of it yet.
    pub(crate) fn done(&self) -> Vec<Arc<Delivery>> {
        self.all().into_iter().filter(|delivery| delivery.done()).collect()
    }

    /// Whether this delivery is still ours, be it only that Redis does not know its end yet.
    pub(crate) fn holds(&self, field: Field) -> bool {
        self.lock().held.contains_key(&field)
    }

    /// Ends every run at its next await.
    pub(crate) fn abort_all(&self) {
        for held in self.lock().held.values() {
            if let Some(running) = &held.running {
                running.abort();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(batch: u64, index: u32) -> Arc<Delivery> {
        Delivery::new(Field { batch, index }, "q".into(), Vec::new())
    }

    #[test]
    fn a_registration_decides() {
        let inflight = Inflight::default();
        let (kept, gone, done) = (delivery(1, 1), delivery(1, 2), delivery(1, 3));
        inflight.enter(&[kept.clone(), gone.clone(), done.clone()]);
        done.finish();
        inflight.doubts(2);
        let field = |batch, index| Field { batch, index };
        inflight.succeeded([field(1, 8)]);
        let found = inflight.compare(&[field(1, 1), field(2, 1), field(1, 8), field(1, 9)]);
        assert_eq!((found.adopt, found.succeeded), (vec![field(2, 1)], vec![field(1, 8)]));
        assert_eq!(found.forgotten, [field(1, 9)]);
        assert_eq!((found.lost, found.decides), (1, true));
        assert!(gone.lost() && !kept.lost() && !done.lost());
    }

    #[test]
    fn an_awaited_batch_is_left_alone() {
        let inflight = Inflight::default();
        inflight.awaits(5);
        assert_eq!(inflight.compare(&[Field { batch: 5, index: 1 }]), Findings::default());
    }
}
