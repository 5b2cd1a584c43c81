//! How often a job outlived its process: what the reaper writes down and goes by.

use std::fmt;

use super::keys;

/// How often a job outlived its process, and since when we count: `COUNT SINCE`.
#[derive(Debug, PartialEq)]
pub(crate) struct Rescues {
    pub(crate) count: u32,
    since: i64,
}

impl Rescues {
    fn parse(record: &str) -> Option<Rescues> {
        let (count, since) = record.split_once(' ')?;
        Some(Rescues { count: count.parse().ok()?, since: since.parse().ok()? })
    }

    /// Whether one more rescue would be the one too many. Such jobs run one at a time in a
    /// process, so that those who merely stood beside the poison are not buried with it.
    pub(crate) fn last_chance(record: Option<&str>, now: f64) -> bool {
        Rescues::next(record, now).count >= keys::POISON_LIMIT
    }

    /// The record after one more rescue.
    pub(crate) fn next(record: Option<&str>, now: f64) -> Rescues {
        let known = record.and_then(Rescues::parse);
        let window = keys::RESCUE_WINDOW.as_secs_f64();
        match known.filter(|known| now - (known.since as f64) < window) {
            Some(known) => Rescues { count: known.count + 1, ..known },
            None => Rescues { count: 1, since: now as i64 },
        }
    }
}

impl fmt::Display for Rescues {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.count, self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescues_count_within_the_window() {
        let first = Rescues::next(None, 1_000.0);
        assert_eq!(first.to_string(), "1 1000");
        let second = Rescues::next(Some("1 1000"), 2_000.0);
        assert_eq!(second.to_string(), "2 1000");
        let later = 1_001.0 + keys::RESCUE_WINDOW.as_secs_f64();
        assert_eq!(Rescues::next(Some("2 1000"), later).count, 1);
        assert_eq!(Rescues::next(Some("nonsense"), 5.0).count, 1);
        let last = |record| Rescues::last_chance(record, 2_000.0);
        assert!(last(Some("2 1000")) && !last(Some("1 1000")) && !last(None));
    }
}
