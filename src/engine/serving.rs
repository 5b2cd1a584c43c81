//! Which queues this process serves at the moment, under which limits, and which of them are worth
//! a look. Decisions only; `fetch` reads the names and takes the jobs.

use std::collections::{HashMap, HashSet};

use super::delivery::Delivery;
use super::keys;
use super::limits::{Limit, QueueLimits};
use super::queues::{QueueList, Resolved, shuffle};
use super::wakes::Dirty;

/// Queues per call at most: Lua can hand over some thousand words only.
const MAX_QUEUES: usize = 1_000;
/// Of these so many with limits: each costs reads, and on Redis 7.0 a read inside a script goes
/// over all keys of the call.
const MAX_LIMITED: usize = 50;

pub(crate) struct Serving {
    list: QueueList,
    limits: QueueLimits,
    /// To be reckoned with even if nobody has pushed to them in Sidekiq's way.
    own: HashSet<String>,
    known: HashSet<String>,
    queues: Vec<Resolved>,
    limited: HashMap<String, Limit>,
}

impl Serving {
    pub(crate) fn new(
        list: QueueList,
        limits: QueueLimits,
        own: impl IntoIterator<Item = String>,
    ) -> Serving {
        let own: HashSet<String> = own.into_iter().collect();
        let (known, queues, limited) = (own.clone(), Vec::new(), HashMap::new());
        let mut serving = Serving { list, limits, own, known, queues, limited };
        serving.resolve();
        serving
    }

    /// All of them, in their order.
    pub(crate) fn queues(&self) -> &[Resolved] {
        &self.queues
    }

    /// The limits of a queue, if it has any.
    pub(crate) fn limit(&self, name: &str) -> Option<&Limit> {
        self.limited.get(name)
    }

    /// Notes whether the end of this one makes room for another.
    pub(crate) fn mark(&self, delivery: &Delivery) {
        if self.limit(&delivery.queue).is_some_and(|limit| limit.running.is_some()) {
            delivery.limit();
        }
    }

    /// Whether the set of names has to be read: on a change, and when we have pushed to a queue
    /// that is not in it as we know it, since that write ended its tracking without a word.
    pub(crate) fn outdated(&self, dirty: &Dirty) -> bool {
        let unknown = |key: &String| !self.known.contains(name(key));
        dirty.all || dirty.names || dirty.queues.iter().any(unknown)
    }

    /// The set of names is this: whatever has left it, and no handler is for, is let go. Returns
    /// those that are new; `None` if all is as it was.
    pub(crate) fn names(&mut self, set: HashSet<String>) -> Option<HashSet<String>> {
        let known: HashSet<String> = self.own.iter().cloned().chain(set).collect();
        let fresh: HashSet<String> = known.difference(&self.known).cloned().collect();
        if fresh.is_empty() && known.len() == self.known.len() {
            return None;
        }
        self.known = known;
        self.resolve();
        Some(fresh)
    }

    /// The queues to look at now, in the order in which to take from them, and the keys of those
    /// for which there is no room in one call.
    pub(crate) fn choose(
        &self,
        dirty: &Dirty,
        fresh: &HashSet<String>,
    ) -> (Vec<String>, Vec<String>) {
        let wanted = |queue: &&Resolved| {
            dirty.all || fresh.contains(&queue.name) || dirty.queues.contains(&queue.key)
        };
        let mut queues: Vec<&Resolved> = self.queues.iter().filter(wanted).collect();
        if self.list.weighted() {
            shuffle(&mut queues, |queue| queue.weight);
        }
        let rest = queues.split_off(queues.len().min(self.fitting(&queues)));
        let rest = rest.into_iter().map(|queue| queue.key.clone()).collect();
        (queues.into_iter().map(|queue| queue.name.clone()).collect(), rest)
    }

    fn fitting(&self, queues: &[&Resolved]) -> usize {
        if self.limited.len() <= MAX_LIMITED {
            return MAX_QUEUES;
        }
        let limited = queues.iter().enumerate().filter(|(_, q)| self.limit(&q.name).is_some());
        limited.map(|(at, _)| at).nth(MAX_LIMITED).unwrap_or(MAX_QUEUES).min(MAX_QUEUES)
    }

    fn resolve(&mut self) {
        let known: Vec<String> = self.known.iter().cloned().collect();
        self.queues = self.list.resolve(&known);
        if !self.limits.is_empty() {
            let names = self.queues.iter().map(|queue| &queue.name);
            let limited = names.filter_map(|name| Some((name.clone(), self.limits.of(name)?)));
            self.limited = limited.collect();
        }
    }
}

/// The name of the queue with this key.
fn name(key: &str) -> &str {
    key.strip_prefix(keys::QUEUE_PREFIX).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(list: &str, limits: &str) -> Serving {
        let limits = if limits.is_empty() { Ok(QueueLimits::default()) } else { limits.parse() };
        Serving::new(list.parse().unwrap(), limits.unwrap(), ["own".to_owned()])
    }

    fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> HashSet<String> {
        names.into_iter().map(str::to_owned).collect()
    }

    fn chosen(serving: &Serving, dirty: Dirty) -> Vec<String> {
        serving.choose(&dirty, &HashSet::new()).0
    }

    fn everything() -> Dirty {
        Dirty { all: true, ..Dirty::default() }
    }

    #[test]
    fn queues_come_and_go() {
        let mut serving = serving("first,*", "");
        assert_eq!(chosen(&serving, everything()), ["first", "own"]);
        assert_eq!(serving.names(set(["b", "a"])), Some(set(["a", "b"])));
        assert_eq!(serving.names(set(["b", "a", "own"])), None);
        assert_eq!(chosen(&serving, everything()), ["first", "a", "b", "own"]);
        assert_eq!(serving.names(set(["c", "a"])), Some(set(["c"])), "one for the other");
        assert_eq!(chosen(&serving, everything()), ["first", "a", "c", "own"]);
        assert_eq!(serving.names(set([])), Some(set([])));
        assert_eq!(chosen(&serving, everything()), ["first", "own"], "listed, and a handler's");
    }

    #[test]
    fn what_changed_is_looked_at() {
        let mut serving = serving("*", "");
        let dirty = |key: &str| Dirty { queues: set([key]), ..Dirty::default() };
        assert!(!serving.outdated(&Dirty::default()) && serving.outdated(&everything()));
        assert!(serving.outdated(&dirty("queue:a")) && !serving.outdated(&dirty("queue:own")));
        serving.names(set(["a", "b"]));
        assert!(!serving.outdated(&dirty("queue:a")));
        assert_eq!(chosen(&serving, dirty("queue:a")), ["a"]);
        assert_eq!(serving.choose(&Dirty::default(), &set(["b"])).0, ["b"]);
    }

    #[test]
    fn what_does_not_fit_into_a_call_comes_next() {
        let names: Vec<String> = (0..2_000).map(|n| format!("q{n:04}")).collect();
        for (limits, fitting) in [("", MAX_QUEUES), ("q000*:1", MAX_QUEUES), ("*5:1", 505)] {
            let mut serving = serving("*,!own", limits);
            serving.names(names.iter().cloned().collect());
            let (first, rest) = serving.choose(&everything(), &HashSet::new());
            assert_eq!((first.len(), rest.len()), (fitting, 2_000 - fitting), "{limits}");
            assert_eq!(rest[0], keys::queue(&names[fitting]), "{limits}");
        }
    }
}
