//! `QUEUES`: which queues, in which order. Pure: text in, names out.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::keys;
use super::patterns::{check, glob, is_glob};

/// A parsed `QUEUES` value: `critical:5,default:2,*,!low*`.
///
/// Names, globs (`*` any text, `?` one character) and exclusions (`!`, wherever they stand). With
/// weights, a queue of weight 5 comes first five times as often as one of weight 1; what has
/// none, the rest that a `*` stands for too, has 1, the lowest there is (not the lowest of the
/// list: `critical:5,*` would be no preference then). Without any weight the order is strict: as
/// listed, and what a glob matches in alphabetical order.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueList {
    entries: Vec<Entry>,
    excluded: Vec<String>,
    weighted: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    pattern: String,
    weight: u32,
}

/// A queue of the list as found among the known ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolved {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) weight: u32,
}

impl Default for QueueList {
    fn default() -> Self {
        let everything = Entry { pattern: "*".to_owned(), weight: 1 };
        QueueList { entries: vec![everything], excluded: Vec::new(), weighted: false }
    }
}

impl FromStr for QueueList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut list = QueueList { entries: Vec::new(), excluded: Vec::new(), weighted: false };
        for (at, part) in text.split(',').map(str::trim).enumerate() {
            let added = match part.strip_prefix('!') {
                Some("") => Err("\"!\" names no queue"),
                Some(pattern) if pattern.contains(':') => Err("an exclusion has no weight"),
                Some(pattern) => {
                    list.excluded.push(pattern.to_owned());
                    check(pattern)
                }
                None => list.add(part),
            };
            // by its place: what is there may be a secret that was pasted into the wrong variable
            added.map_err(|what| format!("entry {}: {what}", at + 1))?;
        }
        if list.entries.is_empty() {
            list.entries = QueueList::default().entries; // only exclusions: all but these
        }
        Ok(list)
    }
}

impl QueueList {
    fn add(&mut self, part: &str) -> Result<(), &'static str> {
        let (pattern, weight) = match part.rsplit_once(':') {
            None => (part, 1),
            Some((pattern, weight)) => {
                self.weighted = true;
                let weight = weight.parse().ok().filter(|w| (1..=1_000).contains(w));
                (pattern, weight.ok_or("a weight is a number from 1 to 1000")?)
            }
        };
        check(pattern)?;
        if pattern.bytes().all(|byte| byte.is_ascii_digit()) && !self.entries.is_empty() {
            // `critical,5`, as Sidekiq's -q has it, would serve a queue named 5
            return Err("a number alone; a weight stands behind its queue and a colon, critical:5");
        }
        if self.entries.iter().any(|entry| entry.pattern == pattern) {
            return Err("this queue is listed before");
        }
        self.entries.push(Entry { pattern: pattern.to_owned(), weight });
        Ok(())
    }

    /// The queues to serve, given those that are known. A plain name is served even if nobody
    /// has pushed to it yet; a queue belongs to the first entry that matches it.
    pub(crate) fn resolve(&self, known: &[String]) -> Vec<Resolved> {
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        known.sort_unstable();
        let patterns = self.entries.iter().map(|entry| &*entry.pattern);
        let named: HashSet<&str> = patterns.filter(|pattern| !is_glob(pattern)).collect();
        let mut taken: HashSet<&str> = HashSet::with_capacity(known.len());
        let mut resolved: Vec<Resolved> = Vec::with_capacity(known.len());
        for Entry { pattern, weight } in &self.entries {
            let names: Vec<&str> = if is_glob(pattern) {
                let matching = known.iter().filter(|name| glob(pattern, name));
                matching.copied().filter(|name| !named.contains(name)).collect()
            } else {
                vec![pattern]
            };
            for name in names {
                let excluded = self.excluded.iter().any(|pattern| glob(pattern, name));
                if !excluded && taken.insert(name) {
                    let (name, key) = (name.to_owned(), keys::queue(name));
                    resolved.push(Resolved { name, key, weight: *weight });
                }
            }
        }
        resolved
    }

    /// Whether jobs of this queue are taken.
    pub fn takes(&self, queue: &str) -> bool {
        self.resolve(&[queue.to_owned()]).iter().any(|resolved| resolved.name == queue)
    }

    /// Whether the order is drawn anew at each fetch.
    pub(crate) fn weighted(&self) -> bool {
        self.weighted
    }
}

impl fmt::Display for QueueList {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let entries = self.entries.iter().map(|Entry { pattern, weight }| match self.weighted {
            true => format!("{pattern}:{weight}"),
            false => pattern.clone(),
        });
        let excluded = self.excluded.iter().map(|pattern| format!("!{pattern}"));
        f.write_str(&entries.chain(excluded).collect::<Vec<_>>().join(","))
    }
}

/// Draws an order in which each queue is first with the probability weight / sum of weights:
/// sorting by u^(1/weight), u uniform, does that for every place at once (Efraimidis, Spirakis).
pub(crate) fn shuffle<T>(queues: &mut [T], weight: impl Fn(&T) -> u32) {
    queues.sort_by_cached_key(|queue| {
        let draw = -fastrand::f64().max(f64::MIN_POSITIVE).ln() / f64::from(weight(queue));
        (draw * 1e12) as u64
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(list: &str, known: &[&str]) -> String {
        let known: Vec<String> = known.iter().map(|name| name.to_string()).collect();
        let list: QueueList = list.parse().unwrap();
        let names: Vec<String> = list.resolve(&known).into_iter().map(|q| q.name).collect();
        names.join(" ")
    }

    #[test]
    fn grammar() {
        assert_eq!(served("*", &["b", "a"]), "a b");
        assert_eq!(served("b,a", &["c"]), "b a");
        assert_eq!(served("critical,*", &["a", "critical", "z"]), "critical a z");
        assert_eq!(served("*,critical", &["a", "critical", "z"]), "a z critical");
        assert_eq!(served("!low*, *", &["a", "low", "low_2"]), "a");
        assert_eq!(served("!low", &["a", "low"]), "a");
        assert_eq!(served("mail?,x*", &["mail", "mail1", "xy", "yx"]), "mail1 xy");
        assert_eq!(served("a,!a", &[]), "");
        assert_eq!(served("critical:5,*", &["a"]), "critical a");
        assert_eq!(served("a*,*", &["a*", "*", "b"]), "a* * b");
    }

    #[test]
    fn weights_are_given_or_1() {
        for (list, shown) in [
            ("critical:5,default:2,*,!low*", "critical=5 default=2 bulk=1 mail=1"),
            ("*:3,critical:5", "bulk=3 default=3 low=3 mail=3 critical=5"),
            ("*,critical:50,mail:20", "bulk=1 default=1 low=1 critical=50 mail=20"),
            ("c*:7,*l:2,default", "critical=7 mail=2 default=1"),
            ("critical,default", "critical=1 default=1"),
        ] {
            let known = ["mail", "default", "critical", "low", "bulk"].map(str::to_owned);
            let list: QueueList = list.parse().unwrap();
            let found = list.resolve(&known);
            let found = found.iter().map(|q| format!("{}={}", q.name, q.weight));
            assert_eq!(found.collect::<Vec<_>>().join(" "), shown, "{list}");
        }
    }

    #[test]
    fn as_resque_reads_them() {
        let known = ["low", "critical", "mail", "low_2"];
        assert_eq!(served("*", &known), "critical low low_2 mail"); // alphabetical
        assert_eq!(served("low,*", &known), "low critical low_2 mail");
        assert_eq!(served("critical,*,!low", &known), "critical low_2 mail");
        assert_eq!(served("!low,*", &known), "critical low_2 mail"); // wherever it stands
        assert_eq!(served("*,!low*", &known), "critical mail");
        assert_eq!(served("mail,critical", &known), "mail critical"); // strict, as listed
    }

    #[test]
    fn nonsense_is_named() {
        for bad in [
            "",
            "a,",
            "a:x",
            "a:0",
            ":3",
            "!",
            "a,a",
            "a:1001",
            "a b",
            "mail_[ab]",
            "*,!{a,b}",
            "!a b",
            "!low:3",
            "critical,5",
        ] {
            assert!(bad.parse::<QueueList>().is_err(), "{bad}");
        }
    }

    #[test]
    fn weights_show_in_who_comes_first() {
        let (mut first, rounds) = ([0; 2], 20_000);
        for _ in 0..rounds {
            let mut queues = [(0, 3), (1, 1)];
            shuffle(&mut queues, |queue| queue.1);
            first[queues[0].0] += 1;
        }
        let share = f64::from(first[0]) / f64::from(rounds);
        assert!((share - 0.75).abs() < 0.03, "{share}"); // ten standard deviations
    }

    #[test]
    fn what_is_accepted_is_shown_as_it_was_meant() {
        let words = ["critical", "low_2", "*", "?", ":", ":5", ",", ",", "!", " ", "a:b", ":0"];
        super::super::arbitrary::rounds(2_000, |rng| {
            let text = super::super::arbitrary::words(rng, &words);
            let Ok(list) = text.parse::<QueueList>() else { return };
            assert_eq!(list.to_string().parse(), Ok(list.clone()), "{text:?}");
            let known: Vec<String> = words.iter().map(|word| word.to_string()).collect();
            let mut names: Vec<String> = list.resolve(&known).into_iter().map(|q| q.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{text:?}");
        });
    }
}
