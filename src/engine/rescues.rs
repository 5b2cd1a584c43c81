//! What tells poison from bad luck: how often a job's process died under it.
//!
//! The first deaths blame everybody who was there. Whoever one more would bury is a suspect and
//! runs apart from the other suspects, and from then on only a death during its own run counts:
//! that is noted before it starts. So poison is buried without those who stood beside it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use super::keys;

/// The record of a job: how often, and since when we count. In Redis: `COUNT SINCE`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rescues {
    pub(crate) count: u32,
    since: i64,
}

impl Rescues {
    /// The record as it stands; `None` if it is too old to count.
    pub(crate) fn parse(record: &str, now: f64) -> Option<Rescues> {
        let (count, since) = record.split_once(' ')?;
        let known = Rescues { count: count.parse().ok()?, since: since.parse().ok()? };
        let window = keys::RESCUE_WINDOW.as_secs_f64();
        (now - (known.since as f64) < window).then_some(known)
    }

    /// The record after the death of a process that held the job.
    pub(crate) fn after_a_death(record: Option<&str>, now: f64) -> Rescues {
        match record.and_then(|record| Rescues::parse(record, now)) {
            None => Rescues { count: 1, since: now as i64 },
            Some(known) if known.suspect() => known, // counted when it started, if it had
            Some(known) => known.one_more(),
        }
    }

    fn one_more(self) -> Rescues {
        Rescues { count: self.count + 1, ..self }
    }

    /// Whether one more would bury it.
    pub(crate) fn suspect(&self) -> bool {
        self.count + 1 >= keys::POISON_LIMIT
    }

    pub(crate) fn poison(&self) -> bool {
        self.count >= keys::POISON_LIMIT
    }
}

impl fmt::Display for Rescues {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.count, self.since)
    }
}

/// What is held against a delivery of ours.
#[derive(Debug)]
pub(crate) struct Suspicion {
    /// What its rescues are counted under.
    pub(crate) id: String,
    before: Rescues,
    started: AtomicBool,
    turn: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Suspicion {
    pub(crate) fn new(id: String, before: Rescues) -> Suspicion {
        Suspicion { id, before, started: AtomicBool::new(false), turn: Mutex::default() }
    }

    /// Takes the turn (`None`: gives it up). It lasts until Redis knows the outcome, or the next
    /// suspect could kill us with this one still accused.
    pub(crate) fn take_turn(&self, turn: Option<OwnedSemaphorePermit>) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    /// The record to write before the job starts, as if it had killed us already.
    pub(crate) fn start(&self) -> Rescues {
        self.started.store(true, Ordering::Relaxed);
        self.before.one_more()
    }

    /// The record to restore if the job is given back, for it did not kill us; `None` if it
    /// never started.
    pub(crate) fn acquitted(&self) -> Option<Rescues> {
        self.started.load(Ordering::Relaxed).then_some(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_count_within_the_window() {
        let after = |record| Rescues::after_a_death(record, 2_000.0).to_string();
        assert_eq!(after(None), "1 2000");
        assert_eq!(after(Some("1 1000")), "2 1000");
        assert_eq!(after(Some("nonsense")), "1 2000");
        let later = 1_001.0 + keys::RESCUE_WINDOW.as_secs_f64();
        assert_eq!(Rescues::after_a_death(Some("2 1000"), later).count, 1);
    }

    #[test]
    fn a_suspect_is_blamed_for_its_own_run_only() {
        let waiting = Rescues::after_a_death(Some("2 1000"), 2_000.0);
        assert!(waiting.suspect() && !waiting.poison());
        let suspicion = Suspicion::new("jid".into(), waiting);
        assert_eq!(suspicion.acquitted(), None);
        let started = suspicion.start().to_string();
        assert!(Rescues::after_a_death(Some(&started), 2_000.0).poison());
        assert_eq!(suspicion.acquitted(), Some(waiting));
    }
}
