//! How long jobs have waited in their queues when they start.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::metrics::{Spread, Tally};
use super::readable::cut;

/// So many queues are told apart: their names are a stranger's, and each costs memory.
const APART: usize = 200;

/// The waits, by queue.
#[derive(Default)]
pub(crate) struct Waits {
    by_queue: RwLock<BTreeMap<Arc<str>, Tally>>,
    others: Tally,
}

impl Waits {
    /// A job of this queue starts after so many seconds.
    pub(crate) fn note(&self, queue: &Arc<str>, seconds: f64) {
        let waited = Duration::try_from_secs_f64(seconds).unwrap_or_default(); // a clock is off
        let known = self.by_queue.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(queue) {
            Some(tally) => tally.succeeded(waited),
            None if known.len() >= APART => self.others.succeeded(waited),
            None => {
                drop(known);
                let mut known = self.by_queue.write().unwrap_or_else(PoisonError::into_inner);
                known.entry(queue.clone()).or_default().succeeded(waited);
            }
        }
    }

    /// Everything so far; `None` is all other queues.
    pub(crate) fn all(&self) -> Vec<(Option<String>, Spread)> {
        let known = self.by_queue.read().unwrap_or_else(PoisonError::into_inner);
        let apart = known.iter().map(|(queue, tally)| {
            let name = cut(queue).to_owned();
            (Some(name), tally.runs().spread())
        });
        let others = self.others.runs().spread();
        apart.chain((others.count > 0).then_some((None, others))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_so_many_queues_they_share_one() {
        let waits = Waits::default();
        for n in 0..APART + 50 {
            waits.note(&format!("q{n:04}").into(), 0.1);
        }
        waits.note(&"q0000".into(), f64::NAN);
        waits.note(&"q0000".into(), -5.0);
        let all = waits.all();
        assert_eq!((all.len(), all[0].1.count), (APART + 1, 3));
        assert_eq!((all[APART].0.as_ref(), all[APART].1.count), (None, 50));
    }
}
