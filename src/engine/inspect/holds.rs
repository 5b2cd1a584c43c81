//! Why a job does not run at this moment. A decision only: no Redis, no clock.

use super::fleet::Process;
use super::found::{Found, Place};
use super::queue_list::{Queue, Queues};
use super::sets::Set;

/// One reason why a job does not run.
#[derive(Clone, Debug, PartialEq)]
pub enum Hold {
    /// No worker process is alive.
    NoProcess,
    /// None of those that are takes jobs of its queue.
    NotServed,
    /// Those that do take no new jobs.
    AllQuiet,
    /// Those that do run as many jobs as they may.
    AllBusy,
    /// Its queue is paused.
    Paused,
    /// As many jobs of its queue are in progress as a limit allows.
    AtLimit(u32),
    /// As many have started as may in so many seconds.
    StartsUsedUp(u32, f64),
    /// So many jobs come before it.
    Before(usize),
    /// It waits for its time, in so many seconds.
    NotYet(f64),
    /// Its time came so many seconds ago: it is about to go to its queue.
    Due(f64),
    /// It is given up.
    Dead,
    /// The process that has it is gone: another one will take it back.
    Orphan,
}

/// What keeps a job from running, the most telling first; nothing for one that runs or is next.
pub(crate) fn holds(found: &Found, queues: &Queues) -> Vec<Hold> {
    let (now, processes) = (queues.now, &queues.processes.all);
    match &found.place {
        Place::Set { set: Set::Dead, .. } => vec![Hold::Dead],
        Place::Set { at, .. } if *at > now => vec![Hold::NotYet(at - now)],
        Place::Set { at, .. } => {
            // our quiet processes still move what is due; Ruby's do not
            let nobody = processes.is_empty().then_some(Hold::NoProcess);
            let quiet = processes.iter().all(|it| it.quiet && !it.ours).then_some(Hold::AllQuiet);
            nobody.or(quiet).into_iter().chain([Hold::Due(now - at)]).collect()
        }
        Place::Process { alive: true, .. } => Vec::new(),
        Place::Process { alive: false, .. } => {
            let nobody = processes.iter().all(|it| !it.ours).then_some(Hold::NoProcess);
            [Hold::Orphan].into_iter().chain(nobody).collect()
        }
        Place::Queue { name, ahead } => {
            let queue = queues.all.iter().find(|queue| queue.name == *name);
            let mut all = queue.map(of_queue).unwrap_or_default();
            all.extend(of_processes(name, processes));
            all.extend((*ahead > 0).then_some(Hold::Before(*ahead)));
            all
        }
    }
}

fn of_queue(queue: &Queue) -> Vec<Hold> {
    let paused = queue.paused.then_some(Hold::Paused);
    let full = queue.at_once.filter(|most| queue.held >= *most as usize).map(Hold::AtLimit);
    let started = queue.starts.filter(|(most, _, used)| used >= most);
    let started = started.map(|(most, seconds, _)| Hold::StartsUsedUp(most, seconds));
    [paused, full, started].into_iter().flatten().collect()
}

/// Names told by one process, at most: it may serve more.
const TOLD: usize = 100;

fn of_processes(queue: &str, processes: &[Process]) -> Option<Hold> {
    if processes.is_empty() {
        return Some(Hold::NoProcess);
    }
    let serves =
        |it: &&Process| it.queues.len() >= TOLD || it.queues.iter().any(|name| name == queue);
    let serving: Vec<&Process> = processes.iter().filter(serves).collect();
    let awake: Vec<&Process> = serving.iter().copied().filter(|it| !it.quiet).collect();
    match (serving.is_empty(), awake.is_empty()) {
        (true, _) => Some(Hold::NotServed),
        (_, true) => Some(Hold::AllQuiet),
        _ => {
            let full = |it: &Process| it.concurrency > 0 && it.busy >= it.concurrency;
            awake.into_iter().all(full).then_some(Hold::AllBusy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Entry;
    use super::super::fleet::Processes;
    use super::*;

    fn found(place: Place) -> Found {
        Found { place, entry: Entry::default(), raw: Vec::new() }
    }

    fn process(queues: &[&str], quiet: bool, busy: usize) -> Process {
        Process {
            identity: "a:1:x".into(),
            ours: true,
            quiet,
            queues: queues.iter().map(|name| name.to_string()).collect(),
            concurrency: 2,
            busy,
            ..Process::default()
        }
    }

    fn seen(queue: Queue, all: Vec<Process>) -> Queues {
        let processes = Processes { now: 1_000.0, all, unreadable: 0 };
        Queues { now: 1_000.0, all: vec![queue], processes, strange: 0 }
    }

    #[test]
    fn in_a_queue() {
        let waits = |ahead, queue: Queue, all: Vec<Process>| {
            let queue = Queue { name: "q".into(), ..queue };
            holds(&found(Place::Queue { name: "q".into(), ahead }), &seen(queue, all))
        };
        let serving = || vec![process(&["q"], false, 1)];
        assert_eq!(waits(0, Queue::default(), serving()), []);
        assert_eq!(waits(3, Queue::default(), serving()), [Hold::Before(3)]);
        let paused = Queue { paused: true, ..Queue::default() };
        assert_eq!(waits(0, paused.clone(), serving()), [Hold::Paused]);
        assert_eq!(waits(1, paused, vec![]), [Hold::Paused, Hold::NoProcess, Hold::Before(1)]);
        let limit = |held| Queue { held, at_once: Some(2), ..Queue::default() };
        assert_eq!(waits(0, limit(1), serving()), []);
        assert_eq!(waits(0, limit(2), serving()), [Hold::AtLimit(2)]);
        let starts = |used| Queue { starts: Some((5, 60.0, used)), ..Queue::default() };
        assert_eq!(waits(0, starts(4), serving()), []);
        assert_eq!(waits(0, starts(5), serving()), [Hold::StartsUsedUp(5, 60.0)]);
        assert_eq!(waits(0, Queue::default(), vec![process(&["r"], false, 0)]), [Hold::NotServed]);
        let quiet = vec![process(&["q"], true, 0), process(&["r"], false, 0)];
        assert_eq!(waits(0, Queue::default(), quiet), [Hold::AllQuiet]);
        let busy = |busy| vec![process(&["q"], false, 2), process(&["q"], false, busy)];
        assert_eq!(waits(0, Queue::default(), busy(2)), [Hold::AllBusy]);
        assert_eq!(waits(0, Queue::default(), busy(1)), []);
        let many = vec!["other"; TOLD];
        assert_eq!(waits(0, Queue::default(), vec![process(&many, false, 0)]), []);
    }

    #[test]
    fn elsewhere() {
        let of = |place, all| holds(&found(place), &seen(Queue::default(), all));
        let set = |set, at| Place::Set { set, at };
        let ours = || vec![process(&[], true, 0)];
        assert_eq!(of(set(Set::Dead, 1.0), ours()), [Hold::Dead]);
        assert_eq!(of(set(Set::Retries, 1_060.0), vec![]), [Hold::NotYet(60.0)]);
        assert_eq!(of(set(Set::Scheduled, 990.0), ours()), [Hold::Due(10.0)]);
        assert_eq!(of(set(Set::Scheduled, 990.0), vec![]), [Hold::NoProcess, Hold::Due(10.0)]);
        let ruby = vec![Process { ours: false, ..process(&[], true, 0) }];
        assert_eq!(of(set(Set::Retries, 990.0), ruby.clone()), [Hold::AllQuiet, Hold::Due(10.0)]);
        let held =
            |alive| Place::Process { identity: "x".into(), alive, queue: "q".into(), since: None };
        assert_eq!(of(held(true), ours()), []);
        assert_eq!(of(held(false), ours()), [Hold::Orphan]);
        assert_eq!(of(held(false), ruby), [Hold::Orphan, Hold::NoProcess]);
    }
}
