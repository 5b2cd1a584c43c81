//! What the runs of one class came to: how many, how many of them failed, how long the others
//! took. Sidekiq 7 and 8 show these per minute on their Metrics page.

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

/// Counts as jobs end: a few additions, nothing that could make one wait.
#[derive(Default)]
pub(crate) struct Tally {
    failures: AtomicU64,
    /// Of the successful runs, whose number is the sum of the buckets.
    micros: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// What a tally counted between two heartbeats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Runs {
    pub(crate) failures: u64,
    pub(crate) millis: u64,
    pub(crate) buckets: [u64; BUCKETS],
}

impl Tally {
    pub(crate) fn succeeded(&self, took: Duration) {
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.buckets[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything since the last call, if it is anything. What is less than a millisecond
    /// waits for more.
    pub(crate) fn take(&self) -> Option<Runs> {
        let failures = self.failures.swap(0, Ordering::Relaxed);
        let buckets = self.buckets.each_ref().map(|bucket| bucket.swap(0, Ordering::Relaxed));
        let runs = failures + buckets.iter().sum::<u64>();
        if runs == 0 {
            return None;
        }
        let micros = self.micros.swap(0, Ordering::Relaxed);
        self.micros.fetch_add(micros % 1_000, Ordering::Relaxed);
        Some(Runs { failures, millis: micros / 1_000, buckets })
    }
}

impl Runs {
    /// What adds them to the figures of their class.
    pub(crate) fn commands(&self, class: &str, time: &DateTime<Utc>) -> Vec<Vec<String>> {
        let runs = self.failures + self.buckets.iter().sum::<u64>();
        let sums = [("p", runs), ("f", self.failures), ("ms", self.millis)];
        let mut commands = Vec::new();
        for (key, ttl) in keys::sums(time) {
            for (what, by) in sums.iter().filter(|(_, by)| *by > 0) {
                commands.push(words([
                    "HINCRBY",
                    &key,
                    &format!("{class}|{what}"),
                    &by.to_string(),
                ]));
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
    fn a_taken_tally_starts_anew() {
        let tally = Tally::default();
        assert_eq!(tally.take(), None);
        tally.succeeded(Duration::from_micros(600));
        let runs = tally.take().unwrap();
        assert_eq!((runs.millis, runs.buckets[0]), (0, 1));
        assert_eq!(tally.take(), None);
        tally.failed();
        tally.succeeded(Duration::from_micros(50_500));
        let runs = tally.take().unwrap();
        // with the rest of the first run
        assert_eq!((runs.failures, runs.millis, runs.buckets[0], runs.buckets[3]), (1, 51, 0, 1));
    }

    #[test]
    fn commands_as_sidekiq_would_send_them() {
        let tally = Tally::default();
        tally.succeeded(millis(25));
        tally.succeeded(millis(26));
        tally.succeeded(millis(400_000));
        tally.failed();
        let time = DateTime::from_timestamp(1_741_424_589, 0).unwrap(); // 2025-03-08 09:03:09
        let commands = tally.take().unwrap().commands("Mail", &time);
        let lines: Vec<String> = commands.iter().map(|command| command.join(" ")).collect();
        let sums = |key: &str, ttl: u32| {
            let add = |what: &str| format!("HINCRBY {key} Mail|{what}");
            [add("p 4"), add("f 1"), add("ms 400051"), format!("EXPIRE {key} {ttl}")]
        };
        let histogram = |key: &str| {
            let add = "INCRBY u16 #1 2 INCRBY u16 #25 1";
            [format!("BITFIELD {key} OVERFLOW SAT {add}"), format!("EXPIRE {key} 28800")]
        };
        let mut expected = sums("j|250308|9:03", 28_800).to_vec();
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
        let commands = tally.take().unwrap().commands("Mail", &DateTime::default());
        assert!(commands.iter().all(|command| command[0] != "BITFIELD"), "{commands:?}");
    }
}
