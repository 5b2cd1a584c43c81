//! How often a job outlived its process: what the reaper writes down and goes by.
//!
//! All jobs of a process that dies are suspects alike. So a job is buried only if it alone was
//! accused: one that has outlived so many processes that the next would be one too many is
//! written down before it starts, and of those a process runs one at a time.

use std::fmt;

use super::field::Field;
use super::keys;

/// How often a job outlived its process, since when we count, and the delivery under which it
/// was last accused: `COUNT SINCE [OWNER/FIELD]`.
#[derive(Debug, PartialEq)]
pub(crate) struct Rescues {
    pub(crate) count: u32,
    since: i64,
    accused: Option<String>,
}

/// What becomes of a job whose process has died.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It runs again, with this record.
    Again(Rescues),
    /// It is buried, after so many deaths.
    Bury(u32),
}

impl Rescues {
    /// A record, if it is one and not too old to count.
    fn parse(record: &str, now: f64) -> Option<Rescues> {
        let mut words = record.splitn(3, ' ');
        let (count, since) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let fresh = now - (since as f64) < keys::RESCUE_WINDOW.as_secs_f64();
        fresh.then(|| Rescues { count, since, accused: words.next().map(str::to_owned) })
    }

    /// How many a record tells of.
    pub(crate) fn count_of(record: &str, now: f64) -> u32 {
        Rescues::parse(record, now).map_or(0, |rescues| rescues.count)
    }

    /// The record with an accusation, for a job whose next rescue would be the one too many.
    pub(crate) fn accusing(record: &str, now: f64, owner: &str, field: Field) -> Option<Rescues> {
        let known = Rescues::parse(record, now).filter(Rescues::last_chance)?;
        Some(Rescues { accused: Some(place(owner, field)), ..known })
    }

    /// What to do with a delivery of a dead process.
    pub(crate) fn judge(record: Option<&str>, now: f64, owner: &str, field: Field) -> Verdict {
        let known = record.and_then(|record| Rescues::parse(record, now));
        match known {
            None => Verdict::Again(Rescues { count: 1, since: now as i64, accused: None }),
            Some(known) if !known.last_chance() => {
                Verdict::Again(Rescues { count: known.count + 1, ..known })
            }
            Some(known) if known.accused == Some(place(owner, field)) => {
                Verdict::Bury(known.count.saturating_add(1))
            }
            Some(innocent) => Verdict::Again(innocent), // it was there, but it never ran
        }
    }

    fn last_chance(&self) -> bool {
        self.count.saturating_add(1) >= keys::POISON_LIMIT
    }
}

fn place(owner: &str, field: Field) -> String {
    format!("{owner}/{field}")
}

impl fmt::Display for Rescues {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.count, self.since)?;
        match &self.accused {
            Some(place) => write!(f, " {place}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(record: Option<&str>, now: f64) -> String {
        match Rescues::judge(record, now, "host:1:a", Field { batch: 7, index: 3 }) {
            Verdict::Again(rescues) => rescues.to_string(),
            Verdict::Bury(count) => format!("buried after {count}"),
        }
    }

    #[test]
    fn only_the_accused_is_buried() {
        assert_eq!(verdict(None, 1_000.0), "1 1000");
        assert_eq!(verdict(Some("1 1000"), 2_000.0), "2 1000");
        assert_eq!(verdict(Some("2 1000"), 2_000.0), "2 1000");
        assert_eq!(verdict(Some("2 1000 host:1:b/7:3"), 2_000.0), "2 1000 host:1:b/7:3");
        assert_eq!(verdict(Some("2 1000 host:1:a/7:3"), 2_000.0), "buried after 3");
        let later = 1_001.0 + keys::RESCUE_WINDOW.as_secs_f64();
        assert!(verdict(Some("2 1000 host:1:a/7:3"), later).starts_with("1 "));
        assert_eq!(verdict(Some("nonsense"), 5.0), "1 5");
    }

    #[test]
    fn only_the_last_chance_is_an_accusation() {
        let accusing = |record| {
            let field = Field { batch: 7, index: 3 };
            Rescues::accusing(record, 2_000.0, "host:1:a", field).map(|r| r.to_string())
        };
        assert_eq!(accusing("1 1000"), None);
        assert_eq!(accusing("2 1000").unwrap(), "2 1000 host:1:a/7:3");
        assert_eq!(accusing("2 1000 host:9:z/1:1").unwrap(), "2 1000 host:1:a/7:3");
    }

    #[test]
    fn no_record_does_harm() {
        super::super::arbitrary::rounds(1_000, |rng| {
            let words = ["1", "2", " ", " ", "4294967295", "-9223372036854775808", "host:1:a/7:3"];
            let record = super::super::arbitrary::words(rng, &words);
            let judged = verdict(Some(&record), 2_000.0);
            assert!(!judged.starts_with("0 "), "{record:?}: {judged}");
            let field = Field { batch: 7, index: 3 };
            let _ = Rescues::accusing(&record, f64::MAX, "host:1:a", field);
        });
    }
}
