//! What a worker measures of itself, for whoever wants to show it. Reading costs no request and
//! waits for nothing, so it works from any thread, whatever the runtime and Redis do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counters::Counters;
use super::inflight::Inflight;
use super::metrics::{Runs, Spread};
use super::sign::Sign;
use super::waits::Waits;

/// The instruments of one worker.
pub struct Meter {
    pub(crate) counters: Arc<Counters>,
    pub(crate) inflight: Arc<Inflight>,
    /// If they are measured.
    pub(crate) waits: Option<Waits>,
    /// A heartbeat has come through.
    pub(crate) beat: Sign,
    /// Due jobs were looked for.
    pub(crate) poller: Sign,
    /// Of the last heartbeat.
    pub(crate) rtt_micros: AtomicU64,
    pub(crate) concurrency: usize,
}

/// What they show.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Jobs at once, at most.
    pub concurrency: usize,
    /// Jobs in progress.
    pub busy: usize,
    /// By class.
    pub classes: Vec<Class>,
    /// How long jobs waited in their queues, by queue; `None` is all queues beyond the first 200.
    /// Empty unless [`measure_waits`](super::WorkerOptions::measure_waits) is set.
    pub waits: Vec<(Option<String>, Spread)>,
    /// What else was counted, by name.
    pub events: Vec<(String, u64)>,
    /// How long ago a heartbeat came through.
    pub last_beat: Option<Duration>,
    /// How long that took.
    pub round_trip: Duration,
}

/// What the runs of one class came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Which; `None` is all that are not registered.
    pub name: Option<String>,
    /// Runs that ended well.
    pub succeeded: u64,
    /// Runs that failed.
    pub failed: u64,
    /// How long those took that ended well.
    pub took: Spread,
}

impl Class {
    pub(crate) fn of(name: Option<&str>, runs: &Runs) -> Class {
        let name = name.map(str::to_owned);
        let (succeeded, failed) = (runs.succeeded(), runs.failures);
        Class { name, succeeded, failed, took: runs.spread() }
    }
}

impl Meter {
    pub(crate) fn new(counters: Counters, concurrency: usize, waits: bool) -> Meter {
        Meter {
            counters: Arc::new(counters),
            inflight: Arc::default(),
            waits: waits.then(Waits::default),
            beat: Sign::default(),
            poller: Sign::default(),
            rtt_micros: AtomicU64::new(0),
            concurrency,
        }
    }

    /// What they show at this moment.
    pub fn read(&self) -> Readings {
        let all = self.counters.all();
        let classes = all.classes.iter().map(|(class, runs)| Class::of(Some(class), runs));
        let strangers = Class::of(None, &self.counters.strangers.runs());
        Readings {
            concurrency: self.concurrency,
            busy: self.inflight.load(),
            classes: classes.chain([strangers]).collect(),
            waits: self.waits.as_ref().map(Waits::all).unwrap_or_default(),
            events: all.events.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
            last_beat: self.beat.age(),
            round_trip: Duration::from_micros(self.rtt_micros.load(Ordering::Relaxed)),
        }
    }
}
