//! The time that goes into Redis: the server's, so that a process with a wrong clock neither
//! runs jobs early nor sees ages that never were.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The local clock corrected by the skew last measured against the Redis server.
#[derive(Clone, Default)]
pub(crate) struct Clock {
    skew_micros: Arc<AtomicI64>,
}

impl Clock {
    /// Epoch seconds, as the server would say.
    pub(crate) fn now(&self) -> f64 {
        (local_micros() + self.skew_micros.load(Ordering::Relaxed)) as f64 / 1e6
    }

    /// Takes over what `TIME` answered just now, asked `round_trip` ago: about half-way between.
    /// A slow answer says too little about the time to be worth it.
    pub(crate) fn set(&self, (seconds, micros): (i64, i64), round_trip: Duration) {
        if round_trip < Duration::from_secs(1) {
            let server = seconds * 1_000_000 + micros + round_trip.as_micros() as i64 / 2;
            self.skew_micros.store(server - local_micros(), Ordering::Relaxed);
        }
    }
}

fn local_micros() -> i64 {
    epoch(SystemTime::now()).as_micros() as i64
}

fn epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Epoch seconds of a point in time; 0 for one before 1970.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    epoch(time).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_server() {
        let clock = Clock::default();
        let here = clock.now();
        clock.set((here as i64 + 3_600, 0), Duration::ZERO);
        assert!((clock.now() - here - 3_600.0).abs() < 5.0);
    }
}
