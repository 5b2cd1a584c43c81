//! A sign of life of one part of the process: when it was last given.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Given on one thread, looked for on any.
pub(crate) struct Sign {
    origin: Instant,
    /// Milliseconds after the origin, and one: 0 is never.
    at: AtomicU64,
}

impl Default for Sign {
    fn default() -> Self {
        Sign { origin: Instant::now(), at: AtomicU64::new(0) }
    }
}

impl Sign {
    pub(crate) fn give(&self) {
        self.at.store(self.origin.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
    }

    /// How long ago it was given last, if ever.
    pub(crate) fn age(&self) -> Option<Duration> {
        let at = self.at.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.origin.elapsed().saturating_sub(Duration::from_millis(at)))
    }

    /// Whether it was given within this time.
    pub(crate) fn within(&self, limit: Duration) -> bool {
        self.age().is_some_and(|age| age < limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_given_has_no_age() {
        let sign = Sign::default();
        assert!(sign.age().is_none() && !sign.within(Duration::MAX));
        sign.give();
        assert!(sign.within(Duration::from_secs(60)) && !sign.within(Duration::ZERO));
    }
}
