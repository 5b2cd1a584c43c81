//! `QUEUE_LIMITS`: how many jobs of a queue may be in progress at once, and how many may start in
//! a second, a minute or an hour, over all processes. Pure: what is asked for, and when it is
//! worth while to ask again. `lua/limits.lua` decides.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use tokio::time::Instant;

use super::keys;
use super::patterns::{check, glob};

/// A parsed `QUEUE_LIMITS` value: `imports:2,webhooks:50/s`.
///
/// Names, or globs (`*` any text, `?` one character), of which each queue that matches has a
/// limit of its own. A number is how many jobs may be in progress at once; with `/s`, `/m` or `/h`
/// how many may start in any second, minute or hour. One queue may have both: list it twice. Of
/// each kind the first entry that matches counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueLimits {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    pattern: String,
    most: u32,
    /// In which time so many may start; `None` = so many may be in progress.
    per: Option<Unit>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// The limits of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Limit {
    /// Jobs in progress at most.
    pub(crate) running: Option<u32>,
    pub(crate) starts: Option<Rate>,
}

/// So many starts at most within this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) most: u32,
    unit: Unit,
}

const MOST: u32 = 1_000_000;

impl FromStr for QueueLimits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = QueueLimits::default();
        for (at, part) in text.split(',').map(str::trim).enumerate() {
            // by its place: what is there may be a secret that was pasted into the wrong variable
            limits.add(part).map_err(|what| format!("entry {}: {what}", at + 1))?;
        }
        Ok(limits)
    }
}

impl QueueLimits {
    fn add(&mut self, part: &str) -> Result<(), &'static str> {
        if part.is_empty() {
            return Err("a queue name is missing (two commas, or one at an end?)");
        }
        let form = "a limit is QUEUE:2 (at once) or QUEUE:50/s (starts; /m and /h too)";
        let (pattern, limit) = part.rsplit_once(':').ok_or(form)?;
        check(pattern)?;
        if pattern.starts_with('!') {
            return Err("a limit cannot leave queues out: the first entry that matches counts");
        }
        let (most, per) = match limit.split_once('/') {
            None => (limit, None),
            Some((most, "s")) => (most, Some(Unit::Second)),
            Some((most, "m")) => (most, Some(Unit::Minute)),
            Some((most, "h")) => (most, Some(Unit::Hour)),
            Some(_) => return Err("starts are counted by /s, /m or /h"),
        };
        let most = most.parse().ok().filter(|most| (1..=MOST).contains(most));
        let most =
            most.ok_or("a limit is a number from 1 to 1000000 (to stop a queue, pause it)")?;
        let entry = Entry { pattern: pattern.to_owned(), most, per };
        let same = |other: &Entry| {
            other.pattern == entry.pattern && other.per.is_some() == entry.per.is_some()
        };
        if self.entries.iter().any(same) {
            return Err("this queue has such a limit before");
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Those of a queue, if it has any.
    pub(crate) fn of(&self, queue: &str) -> Option<Limit> {
        let mut limit = Limit::default();
        for Entry { pattern, most, per } in &self.entries {
            if !glob(pattern, queue) {
                continue;
            }
            match per {
                None => limit.running = limit.running.or(Some(*most)),
                Some(unit) => {
                    let rate = Rate { most: *most, unit: *unit };
                    limit.starts = limit.starts.or(Some(rate));
                }
            }
        }
        Some(limit).filter(|limit| *limit != Limit::default())
    }
}

impl Rate {
    /// The time in seconds within which so many may start.
    pub(crate) fn span(&self) -> f64 {
        f64::from(self.unit.hundredth()) / 10.0
    }

    /// Where they are counted. Each unit has counts of its own: in a deploy that changes it, both
    /// are kept to.
    pub(crate) fn key(&self, queue: &str) -> String {
        keys::starts(self.unit.letter(), queue)
    }

    /// How many of these starts count at this moment, as the script reckons.
    pub(crate) fn used(&self, starts: &BTreeMap<String, u32>, now: f64) -> u32 {
        let bucket = (now * 1e3 / f64::from(self.unit.hundredth())).floor();
        let counts = |(at, count): (&String, &u32)| {
            let at: f64 = at.parse().ok()?;
            ((bucket - at).abs() <= 100.0).then_some(*count)
        };
        starts.iter().filter_map(counts).fold(0, u32::saturating_add)
    }
}

impl Limit {
    /// As the script wants to be told of them; '' is no limit.
    pub(crate) fn words(&self, queue: &str) -> [String; 5] {
        let number = |number: Option<u32>| number.map_or(String::new(), |n| n.to_string());
        let starts = self.starts.map(|rate| rate.key(queue));
        let (most, width) = self.starts.map(|rate| (rate.most, rate.unit.hundredth())).unzip();
        let (running, starts) = (keys::running(queue), starts.unwrap_or_default());
        [number(self.running), running, number(most), starts, number(width)]
    }
}

impl Unit {
    fn letter(self) -> char {
        match self {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
        }
    }

    /// In ms.
    fn hundredth(self) -> u32 {
        match self {
            Unit::Second => 10,
            Unit::Minute => 600,
            Unit::Hour => 36_000,
        }
    }
}

impl fmt::Display for QueueLimits {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let entries = self.entries.iter().map(|Entry { pattern, most, per }| {
            let per = per.map_or(String::new(), |unit| format!("/{}", unit.letter()));
            format!("{pattern}:{most}{per}")
        });
        f.write_str(&entries.collect::<Vec<_>>().join(","))
    }
}

/// When queues whose starts are used up may start the next.
#[derive(Default)]
pub(crate) struct Alarms {
    at: HashMap<String, Instant>,
}

impl Alarms {
    /// Not before then.
    pub(crate) fn set(&mut self, key: String, at: Instant) {
        self.at.insert(key, at);
    }

    /// When the first of them goes off.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.at.values().min().copied()
    }

    /// The queues for which it is time, each once.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<String> {
        self.at.extract_if(|_, at| *at <= now).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(limits: &str, queue: &str) -> String {
        let limits: QueueLimits = limits.parse().unwrap();
        let Some(Limit { running, starts }) = limits.of(queue) else { return "none".to_owned() };
        let running = running.map(|most| format!("{most} at once"));
        let starts =
            starts.map(|rate| format!("{} in {} ms", rate.most, 100 * rate.unit.hundredth()));
        running.into_iter().chain(starts).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn grammar() {
        for (limits, queue, expected) in [
            ("imports:2,webhooks:50/s", "imports", "2 at once"),
            ("imports:2,webhooks:50/s", "webhooks", "50 in 1000 ms"),
            ("imports:2,webhooks:50/s", "default", "none"),
            ("a:2, a:7/m", "a", "2 at once, 7 in 60000 ms"),
            ("a:7/h,a:1", "a", "1 at once, 7 in 3600000 ms"),
            ("mail_a:5,mail_*:2", "mail_a", "5 at once"),
            ("mail_a:5,mail_*:2", "mail_b", "2 at once"),
            ("mail_*:2,mail_a:5", "mail_a", "2 at once"),
            ("mail_a:5,*:1/s", "mail_a", "5 at once, 1 in 1000 ms"),
            ("a?:1000000", "ab", "1000000 at once"),
            ("a:b:3", "a:b", "3 at once"),
        ] {
            assert_eq!(of(limits, queue), expected, "{limits} for {queue}");
        }
        assert!(QueueLimits::default().is_empty());
    }

    #[test]
    fn nonsense_is_named_by_its_place() {
        for (bad, says) in [
            ("", "entry 1: a queue name is missing"),
            ("a:1,", "entry 2: a queue name is missing"),
            (":1", "entry 1: a queue name is missing"),
            ("a", "entry 1: a limit is QUEUE:2"),
            ("a:1,b", "entry 2: a limit is QUEUE:2"),
            ("a:0", "entry 1: a limit is a number"),
            ("a:-1", "entry 1: a limit is a number"),
            ("a:1000001", "entry 1: a limit is a number"),
            ("a:1.5/s", "entry 1: a limit is a number"),
            ("a:/s", "entry 1: a limit is a number"),
            ("a:5/d", "entry 1: starts are counted by"),
            ("a:5/", "entry 1: starts are counted by"),
            ("a:5/s/m", "entry 1: starts are counted by"),
            ("a b:5", "entry 1: a blank"),
            ("[ab]:5", "entry 1: the patterns are"),
            ("*:1,!a:5", "entry 2: a limit cannot leave queues out"),
            ("a:1,b:1,a:2", "entry 3: this queue has such a limit before"),
            ("a:1/s,a:2/m", "entry 2: this queue has such a limit before"),
        ] {
            let said = bad.parse::<QueueLimits>().unwrap_err();
            assert!(said.starts_with(says), "{bad}: {said}");
        }
    }

    #[test]
    fn what_is_accepted_is_shown_as_it_was_meant() {
        let words = ["a", "b*", "?", ":", ":5", ":5/s", "/m", ",", ",", " ", ":7/h", ":1/m"];
        super::super::arbitrary::rounds(2_000, |rng| {
            let text = super::super::arbitrary::words(rng, &words);
            let Ok(limits) = text.parse::<QueueLimits>() else { return };
            assert_eq!(limits.to_string().parse(), Ok(limits), "{text:?}");
        });
    }

    #[test]
    fn starts_count_for_a_hundred_hundredths() {
        let rate = Rate { most: 5, unit: Unit::Second };
        let starts: [(&str, u32); 5] = [("100", 1), ("150", 2), ("200", 4), ("99", 8), ("x", 16)];
        let starts = starts.map(|(at, count)| (at.to_owned(), count)).into();
        assert_eq!(rate.used(&starts, 2.005), 7);
        assert_eq!(rate.used(&starts, 2.505), 6);
        assert_eq!(rate.used(&starts, 9.0), 0);
    }

    #[test]
    fn alarms_go_off_once_and_the_latest_word_counts() {
        let (now, mut alarms) = (Instant::now(), Alarms::default());
        let in_seconds = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(alarms.next(), None);
        alarms.set("a".into(), in_seconds(1));
        alarms.set("b".into(), in_seconds(2));
        alarms.set("a".into(), in_seconds(3));
        assert_eq!(alarms.next(), Some(in_seconds(2)));
        assert_eq!(alarms.due(in_seconds(1)), Vec::<String>::new());
        assert_eq!(alarms.due(in_seconds(2)), ["b"]);
        assert_eq!(alarms.due(in_seconds(9)), ["a"]);
        assert_eq!(alarms.next(), None);
    }
}
