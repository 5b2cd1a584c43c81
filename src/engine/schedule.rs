//! What an author says of the times of a cron line, and which slots are to be enqueued at a
//! moment. Pure.

use super::slots::Slots;

/// The times of a cron line: five fields (minute, hour, day of month, month, day of week; names
/// such as `MON` and `JAN` are understood) and perhaps a time zone of the IANA's; without one it is
/// UTC. Where nothing else is to be said, the text alone will do.
///
/// ```
/// use roustabout::engine::{Missed, Schedule};
///
/// let every_morning: Schedule = "0 7 * * MON-FRI Europe/Berlin".into();
/// let each_hour_counts = Schedule::new("0 * * * *").missed(Missed::All);
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    pub(crate) text: String,
    pub(crate) missed: Missed,
}

/// What becomes of slots that passed while no worker ran, or Redis took no jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// The latest of them is enqueued, late.
    #[default]
    Latest,
    /// Each is enqueued, the oldest first; of more than 1,000 the latest 1,000.
    All,
    /// None is; a slot is missed after a minute.
    None,
}

impl Schedule {
    /// The times, as text. What is wrong with it is said where the line is registered.
    pub fn new(times: &str) -> Schedule {
        // as words: this is compared with what stands in Redis
        let text = times.split_whitespace().collect::<Vec<_>>().join(" ");
        Schedule { text, missed: Missed::default() }
    }

    /// What becomes of missed slots; without this, [`Missed::Latest`].
    pub fn missed(mut self, missed: Missed) -> Schedule {
        self.missed = missed;
        self
    }
}

impl From<&str> for Schedule {
    fn from(times: &str) -> Schedule {
        Schedule::new(times)
    }
}

/// So late a slot is missed: as the sidekiq-cron gem has it.
const GRACE: f64 = 60.0;
/// So many missed slots of a line are caught up at most.
const MOST: usize = 1_000;

/// What is to be done at a moment.
#[derive(Debug, PartialEq)]
pub(crate) enum Due {
    /// To be enqueued in this order; `true` if there were more, too old ones.
    Enqueue(Vec<i64>, bool),
    /// To be remembered, but not enqueued.
    PassOver(i64),
}

impl Missed {
    /// Whether the last slot that was dealt with matters.
    pub(crate) fn looks_back(self) -> bool {
        self == Missed::All
    }

    /// What to do about the latest slot. `last` is the one that was dealt with last.
    pub(crate) fn due(self, slots: &Slots, latest: i64, last: Option<i64>, now: f64) -> Due {
        match self {
            Missed::None if now - latest as f64 > GRACE => Due::PassOver(latest),
            Missed::None | Missed::Latest => Due::Enqueue(vec![latest], false),
            Missed::All => {
                let last = last.unwrap_or(latest);
                let before = |slot: &i64| slots.latest(*slot as f64 - 1.0);
                let missed = std::iter::successors(before(&latest), before);
                let mut missed: Vec<i64> =
                    missed.take_while(|slot| *slot > last).take(MOST).collect();
                let more = missed.len() == MOST;
                missed.truncate(MOST - 1);
                missed.reverse();
                missed.push(latest);
                Due::Enqueue(missed, more)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_slots_are_due() {
        let slots = Slots::parse("*/15 * * * *").unwrap();
        let (latest, quarter) = (1_700_017_200, 900);
        let due = |missed: Missed, last: Option<i64>, late: f64| {
            missed.due(&slots, latest, last, latest as f64 + late)
        };
        let (long_ago, before) = (Some(latest - 3 * quarter), Some(latest - quarter));
        for last in [None, long_ago, before] {
            assert_eq!(due(Missed::Latest, last, 800.0), Due::Enqueue(vec![latest], false));
            assert_eq!(due(Missed::None, last, 60.0), Due::Enqueue(vec![latest], false));
            assert_eq!(due(Missed::None, last, 60.1), Due::PassOver(latest));
        }
        let all = vec![latest - 2 * quarter, latest - quarter, latest];
        assert_eq!(due(Missed::All, long_ago, 5.0), Due::Enqueue(all, false));
        for last in [before, None, Some(latest), Some(latest + 9 * quarter)] {
            assert_eq!(due(Missed::All, last, 5.0), Due::Enqueue(vec![latest], false));
        }
        let Due::Enqueue(many, true) = due(Missed::All, Some(0), 5.0) else { panic!() };
        assert_eq!((many.len(), many[999]), (1_000, latest));
        assert!(many.windows(2).all(|two| two[1] - two[0] == quarter));
        let exactly = Some(latest - 1_000 * quarter);
        let Due::Enqueue(many, false) = due(Missed::All, exactly, 5.0) else { panic!() };
        assert_eq!(many.len(), 1_000);
    }
}
