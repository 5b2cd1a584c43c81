//! What happened in this process, from its beginning; heartbeats take what is new to Redis.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::keys;
use super::metrics::{Runs, Tally};

/// Runs and failures, which Sidekiq counts too, and rarer events under names of our own.
#[derive(Default)]
pub(crate) struct Counters {
    processed: AtomicU64,
    failed: AtomicU64,
    events: Mutex<BTreeMap<&'static str, u64>>,
    /// Of the classes that are registered; a stranger's may be any number, …
    tallies: Vec<(&'static str, Arc<Tally>)>,
    /// … so they share one.
    pub(crate) strangers: Tally,
    /// What Redis has been told of.
    told: Mutex<Increments>,
}

/// Increments to bring to Redis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Increments {
    pub(crate) processed: u64,
    pub(crate) failed: u64,
    pub(crate) events: BTreeMap<&'static str, u64>,
    pub(crate) classes: BTreeMap<&'static str, Runs>,
}

impl Counters {
    /// For jobs of these classes.
    pub(crate) fn new(tallies: Vec<(&'static str, Arc<Tally>)>) -> Counters {
        Counters { tallies, ..Counters::default() }
    }

    /// A job ran to an end; a failed run counts as processed too, as in Sidekiq.
    pub(crate) fn ran(&self, failed: bool) {
        self.processed.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    /// Something else worth counting.
    pub(crate) fn event(&self, name: &'static str, by: u64) {
        if by > 0 {
            *lock(&self.events).entry(name).or_default() += by;
        }
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Increments {
        Increments {
            processed: self.processed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            events: lock(&self.events).clone(),
            classes: self.tallies.iter().map(|(class, tally)| (*class, tally.runs())).collect(),
        }
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Increments {
        let (now, mut told) = (self.all(), lock(&self.told));
        let new = now.since(&told);
        let Increments { processed, failed, events, classes } = now;
        // one that has nothing new may have counted half of a run by now
        let changed = classes.into_iter().filter(|(class, _)| new.classes.contains_key(class));
        told.classes.extend(changed);
        (told.processed, told.failed, told.events) = (processed, failed, events);
        new
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Increments {
    fn since(&self, told: &Increments) -> Increments {
        let event = |(name, by): (&&'static str, &u64)| {
            (*name, by - told.events.get(name).copied().unwrap_or_default())
        };
        let runs = |(class, runs): (&&'static str, &Runs)| {
            let new = match told.classes.get(class) {
                Some(told) => runs.since(told),
                None => runs.since(&Runs::default()),
            };
            Some((*class, new?))
        };
        Increments {
            processed: self.processed - told.processed,
            failed: self.failed - told.failed,
            events: self.events.iter().map(event).filter(|(_, by)| *by > 0).collect(),
            classes: self.classes.iter().filter_map(runs).collect(),
        }
    }

    /// What adds them to the numbers in Redis.
    pub(crate) fn commands(&self, time: &DateTime<Utc>) -> Vec<Vec<String>> {
        let mut commands: Vec<Vec<String>> = Vec::new();
        let mut add =
            |words: &[&str]| commands.push(words.iter().map(ToString::to_string).collect());
        let (day, ttl) = (time.format("%Y-%m-%d").to_string(), keys::STAT_TTL.as_secs());
        for (kind, by) in [("processed", self.processed), ("failed", self.failed)] {
            if by > 0 {
                let of_day = keys::stat(kind, Some(&day));
                add(&["INCRBY", &keys::stat(kind, None), &by.to_string()]);
                add(&["INCRBY", &of_day, &by.to_string()]);
                add(&["EXPIRE", &of_day, &ttl.to_string()]);
            }
        }
        for (name, by) in &self.events {
            add(&["HINCRBY", keys::COUNTERS, name, &by.to_string()]);
        }
        commands.extend(self.classes.iter().flat_map(|(class, runs)| runs.commands(class, time)));
        commands
    }
}
