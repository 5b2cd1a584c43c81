//! What the runs of one class came to: how many, how many of them failed, how long the others
//! took. Sidekiq 7 and 8 show these per minute on their Metrics page; Prometheus wants them from
//! the beginning.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::keys;

/// Upper ends of the classes of run times in milliseconds; the last one has none.
const BOUNDS: [u64; 25] = [
    20, 30, 45, 65, 100, 150, 225, 335, 500, 750, 1_100, 1_700, 2_500, 3_800, 5_750, 8_500, 13_000,
    20_000, 30_000, 45_000, 65_000, 100_000, 150_000, 225_000, 335_000,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Counts as jobs end: a few additions, nothing that could make one wait. Never counts down.
#[derive(Default)]
pub(crate) struct Tally {
    failures: AtomicU64,
    /// Of the successful runs, whose number is the sum of the buckets.
    micros: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// What a tally has counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Runs {
    pub(crate) failures: u64,
    pub(crate) micros: u64,
    pub(crate) buckets: [u64; BUCKETS],
}

/// How long things took, from the beginning: runs that ended well, or waits of jobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// Upper ends in seconds, and how many took less.
    pub below: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// What they took together, in seconds.
    pub seconds: f64,
}

impl Tally {
    pub(crate) fn succeeded(&self, took: Duration) {
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.buckets[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything so far.
    pub(crate) fn runs(&self) -> Runs {
        Runs {
            failures: self.failures.load(Ordering::Relaxed),
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
            micros: self.micros.load(Ordering::Relaxed),
        }
    }
}

impl Runs {
    /// What these have more than those of an earlier look, if it is anything. What is less than a
    /// millisecond waits for more.
    pub(crate) fn since(&self, earlier: &Runs) -> Option<Runs> {
        let mut buckets = self.buckets;
        buckets.iter_mut().zip(earlier.buckets).for_each(|(now, before)| *now -= before);
        let failures = self.failures - earlier.failures;
        let micros = 1_000 * (self.micros / 1_000 - earlier.micros / 1_000);
        let new = Runs { failures, micros, buckets };
        (new.all() > 0).then_some(new)
    }

    pub(crate) fn succeeded(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, runs| sum.saturating_add(*runs))
    }

    fn all(&self) -> u64 {
        self.failures.saturating_add(self.succeeded())
    }

    /// As Prometheus counts: each class has those of the ones before.
    pub(crate) fn spread(&self) -> Spread {
        let mut count = 0;
        let below = BOUNDS.iter().zip(&self.buckets).map(|(bound, runs)| {
            count = runs.saturating_add(count);
            (*bound as f64 / 1e3, count)
        });
        let below = below.collect();
        Spread { below, count: self.succeeded(), seconds: self.micros as f64 / 1e6 }
    }

    /// What adds them to those from the beginning.
    fn lasting(&self, class: &str) -> Vec<Vec<String>> {
        let buckets = self.buckets.iter().enumerate().map(|(n, by)| (n.to_string(), *by));
        let sums = [("f".to_owned(), self.failures), ("us".to_owned(), self.micros)];
        let added = sums.into_iter().chain(buckets).filter(|(_, by)| *by > 0);
        added.map(|(what, by)| add_to(keys::RUNS, &format!("{class}|{what}"), by)).collect()
    }

    /// Reads them back, field by field; one that is none of theirs changes nothing.
    pub(crate) fn put(&mut self, what: &str, value: u64) {
        match what {
            "f" => self.failures = value,
            "us" => self.micros = value,
            bucket => {
                let place = bucket.parse().ok().and_then(|n: usize| self.buckets.get_mut(n));
                place.into_iter().for_each(|place| *place = value);
            }
        }
    }

    /// What adds them to the figures of their class.
    pub(crate) fn commands(&self, class: &str, time: &DateTime<Utc>) -> Vec<Vec<String>> {
        let sums = [("p", self.all()), ("f", self.failures), ("ms", self.micros / 1_000)];
        let mut commands = self.lasting(class);
        for (key, ttl) in keys::sums(time) {
            for (what, by) in sums.iter().filter(|(_, by)| *by > 0) {
                commands.push(add_to(&key, &format!("{class}|{what}"), *by));
            }
            commands.push(words(["EXPIRE", &key, &ttl.as_secs().to_string()]));
        }
        for key in keys::histograms(class, time) {
            let mut add = words(["BITFIELD", &key, "OVERFLOW", "SAT"]);
            for (n, by) in self.buckets.iter().enumerate().filter(|(_, by)| **by > 0) {
                add.extend(words(["INCRBY", "u16", &format!("#{n}"), &by.to_string()]));
            }
            if add.len() > 4 {
                commands.push(add);
                commands.push(words(["EXPIRE", &key, &keys::MINUTE_TTL.as_secs().to_string()]));
            }
        }
        commands
    }
}

fn add_to(key: &str, field: &str, by: u64) -> Vec<String> {
    words(["HINCRBY", key, field, &by.to_string()])
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// The first whose end lies above this time.
fn bucket(took: Duration) -> usize {
    BOUNDS.partition_point(|bound| Duration::from_millis(*bound) <= took)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_run_counts_in_the_first_bucket_that_ends_above_it() {
        let cases = [
            (0, 0),
            (19, 0),
            (20, 1),
            (29, 1),
            (30, 2),
            (280, 7),
            (334, 7),
            (335, 8),
            (1_099, 10),
            (1_100, 11),
            (334_999, 24),
            (335_000, 25),
            (86_400_000, 25),
        ];
        for (ms, expected) in cases {
            assert_eq!(bucket(millis(ms)), expected, "{ms} ms");
        }
        assert_eq!(bucket(Duration::from_micros(19_999)), 0);
    }

    #[test]
    fn what_is_new_is_told_once() {
        let tally = Tally::default();
        let mut earlier = tally.runs();
        let mut new = || {
            let now = tally.runs();
            now.since(&std::mem::replace(&mut earlier, now.clone()))
        };
        assert_eq!(new(), None);
        tally.succeeded(Duration::from_micros(600));
        let runs = new().unwrap();
        assert_eq!((runs.micros, runs.buckets[0]), (0, 1));
        assert_eq!(new(), None);
        tally.failed();
        tally.succeeded(Duration::from_micros(50_500));
        let runs = new().unwrap();
        // with the rest of the first run
        assert_eq!((runs.failures, runs.micros, runs.buckets[0]), (1, 51_000, 0));
        assert_eq!(runs.buckets[3], 1);
    }

    #[test]
    fn a_spread_counts_from_below() {
        let tally = Tally::default();
        for ms in [5, 25, 25, 400_000] {
            tally.succeeded(millis(ms));
        }
        tally.failed();
        let Spread { below, count, seconds } = tally.runs().spread();
        assert_eq!((&below[..3], below.len()), (&[(0.02, 1), (0.03, 3), (0.045, 3)][..], 25));
        assert_eq!((below[24], count, seconds), ((335.0, 3), 4, 400.055));
    }

    #[test]
    fn commands_as_sidekiq_would_send_them() {
        let tally = Tally::default();
        tally.succeeded(millis(25));
        tally.succeeded(millis(26));
        tally.succeeded(millis(400_000));
        tally.failed();
        let time = DateTime::from_timestamp(1_741_424_589, 0).unwrap(); // 2025-03-08 09:03:09
        let commands = tally.runs().commands("Mail", &time);
        let lines: Vec<String> = commands.iter().map(|command| command.join(" ")).collect();
        let sums = |key: &str, ttl: u32| {
            let add = |what: &str| format!("HINCRBY {key} Mail|{what}");
            [add("p 4"), add("f 1"), add("ms 400051"), format!("EXPIRE {key} {ttl}")]
        };
        let histogram = |key: &str| {
            let add = "INCRBY u16 #1 2 INCRBY u16 #25 1";
            [format!("BITFIELD {key} OVERFLOW SAT {add}"), format!("EXPIRE {key} 28800")]
        };
        let lasting = |what: &str| format!("HINCRBY roustabout:runs Mail|{what}");
        let mut expected = ["f 1", "us 400051000", "1 2", "25 1"].map(lasting).to_vec();
        expected.extend(sums("j|250308|9:03", 28_800));
        expected.extend(sums("j|250308|9:0", 259_200));
        expected.extend(sums("j|20250308|9:3", 28_800));
        expected.extend(histogram("h|Mail-8-9:3"));
        expected.extend(histogram("Mail-08-09:3"));
        assert_eq!(lines, expected);
    }

    #[test]
    fn failures_alone_have_no_histogram() {
        let tally = Tally::default();
        tally.failed();
        let commands = tally.runs().commands("Mail", &DateTime::default());
        assert!(commands.iter().all(|command| command[0] != "BITFIELD"), "{commands:?}");
    }
}
