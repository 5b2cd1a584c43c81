//! The time that goes into Redis: the server's, so that a process with a wrong clock neither
//! runs jobs early nor sees ages that never were.
//!
//! Between two looks at the server it runs on the monotonic clock: when somebody sets this
//! machine's clock, nothing happens here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::DateTime;

/// The server's time, as last heard and counted on from there.
#[derive(Clone)]
pub(crate) struct Clock {
    origin: Instant,
    /// What the server's clock showed at `origin`; until it is heard of, this machine's.
    at_origin: Arc<AtomicI64>,
}

impl Default for Clock {
    fn default() -> Self {
        let here = epoch(SystemTime::now()).as_micros() as i64;
        Clock { origin: Instant::now(), at_origin: Arc::new(AtomicI64::new(here)) }
    }
}

impl Clock {
    /// Epoch seconds, as the server would say.
    pub(crate) fn now(&self) -> f64 {
        (self.at_origin.load(Ordering::Relaxed) + self.elapsed_micros()) as f64 / 1e6
    }

    /// Takes over what `TIME` answered just now, asked `round_trip` ago: about half-way between.
    /// A slow answer says too little about the time to be worth it.
    pub(crate) fn set(&self, (seconds, micros): (i64, i64), round_trip: Duration) {
        if round_trip < Duration::from_secs(1) {
            let server = seconds * 1_000_000 + micros + round_trip.as_micros() as i64 / 2;
            self.at_origin.store(server - self.elapsed_micros(), Ordering::Relaxed);
        }
    }

    fn elapsed_micros(&self) -> i64 {
        self.origin.elapsed().as_micros() as i64
    }
}

fn epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Epoch seconds of a point in time; 0 for one before 1970.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    epoch(time).as_secs_f64()
}

/// Epoch seconds of a time in a payload. Sidekiq up to 7 writes float seconds and 8 integer
/// milliseconds; clients of other languages whole seconds, and texts of either kind or of ISO 8601.
pub(crate) fn moment(raw: &str) -> Option<f64> {
    let text = raw.trim_matches('"');
    match text.parse::<f64>() {
        Ok(number) => {
            let integer = !text.contains(['.', 'e', 'E']);
            Some(if integer && number >= 1e11 { number / 1e3 } else { number })
        }
        Err(_) => {
            let time = DateTime::parse_from_rfc3339(text).ok()?;
            Some(time.timestamp_micros() as f64 / 1e6)
        }
    }
    .filter(|seconds| seconds.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_client() {
        let table = [
            ("1700000000.5", Some(1_700_000_000.5)),
            ("1.7000000005e9", Some(1_700_000_000.5)),
            ("1700000000500", Some(1_700_000_000.5)),
            ("1700000000", Some(1_700_000_000.0)),
            ("\"1700000000.5\"", Some(1_700_000_000.5)),
            ("\"1700000000500\"", Some(1_700_000_000.5)),
            ("\"2023-11-14T22:13:20.5Z\"", Some(1_700_000_000.5)),
            ("\"2023-11-14T23:13:20.500+01:00\"", Some(1_700_000_000.5)),
            ("\"yesterday\"", None),
            ("\"inf\"", None),
            ("\"\"", None),
            ("null", None),
            ("[]", None),
        ];
        for (raw, expected) in table {
            assert_eq!(moment(raw), expected, "{raw}");
        }
    }

    #[test]
    fn follows_the_server() {
        let clock = Clock::default();
        let here = clock.now();
        clock.set((here as i64 + 3_600, 0), Duration::ZERO);
        assert!((clock.now() - here - 3_600.0).abs() < 5.0);
    }
}
