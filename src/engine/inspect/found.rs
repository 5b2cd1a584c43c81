//! A job that was found somewhere: where, and all that its bytes say to whoever may see them.

use std::borrow::Cow;

use super::super::active_job::opened;
use super::super::backtrace::unpacked;
use super::super::head::Head;
use super::super::payload::Payload;
use super::super::readable::cut;
use super::super::retry::limit;
use super::entry::Entry;
use super::sets::Set;

/// Where a job is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// It waits for its turn.
    Queue {
        /// In this queue.
        name: String,
        /// So many come before it.
        ahead: usize,
    },
    /// In one of the sorted sets.
    Set {
        /// Which.
        set: Set,
        /// The time that it waits for, or at which it died, in epoch seconds.
        at: f64,
    },
    /// A process has it.
    Process {
        /// Which.
        identity: String,
        /// Its heartbeat is there; without one another process will take the job back.
        alive: bool,
        /// The queue that it came from.
        queue: String,
        /// Since when it runs, in epoch seconds, as of the last heartbeat.
        since: Option<f64>,
    },
}

/// A job, and where it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// What it says.
    pub entry: Entry,
    pub(crate) raw: Vec<u8>,
}

/// So many tags are told.
const TAGS: usize = 50;
/// Bytes of the jobs that are shown together, about.
const SHOWN: usize = 32 << 20;

/// Whether these are enough for one page, by their bytes: all are in memory at once.
pub(crate) fn enough(jobs: &[Found]) -> bool {
    jobs.iter().map(|found| found.raw.len()).sum::<usize>() >= SHOWN
}

impl Found {
    pub(crate) fn at(place: Place, raw: Vec<u8>) -> Found {
        Found { entry: Entry::of(&raw), place, raw }
    }

    /// Whether it is the job with this jid.
    pub fn is(&self, jid: &str) -> bool {
        match Head::parse(&self.raw).ok().and_then(|head| head.jid) {
            Some(own) => own == jid,
            None => self.raw.is_empty() && self.entry.jid == jid, // of Ruby's, only that is known
        }
    }

    /// Its bytes as they stand in Redis, whatever they are. Of a job that a Ruby process runs they
    /// are not known, and empty.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Its arguments as JSON, which may be secret; of one of Active Job those inside the wrapper.
    /// `None` where there are none to be read.
    pub fn args(&self) -> Option<Cow<'_, str>> {
        args(&self.raw)
    }

    /// Where its last failure came from, as far as it asked for that to be kept (`backtrace`): of a
    /// long one the beginning.
    pub fn backtrace(&self) -> Vec<String> {
        let payload = Payload::parse(&self.raw).ok();
        let packed = payload.as_ref().and_then(|payload| payload.raw("error_backtrace"));
        packed.map(unpacked).unwrap_or_default()
    }

    /// What its author marked it with.
    pub fn tags(&self) -> Vec<String> {
        let tags = Payload::parse(&self.raw).ok().and_then(|it| it.get::<Vec<String>>("tags"));
        tags.unwrap_or_default().iter().take(TAGS).map(|tag| cut(tag).to_owned()).collect()
    }

    /// How often it may be tried again in all, by its own word: the next of its retries, if it is
    /// to have one, is number `entry.failures` of these. A limit in time replaces this
    /// ([`Found::retried_until`]).
    pub fn retries(&self) -> u64 {
        let retry = Head::parse(&self.raw).ok().and_then(|head| head.retry());
        limit(retry, None).unwrap_or(0)
    }

    /// Until when it is tried again, in epoch seconds, if it has a limit in time (`retry_for`).
    pub fn retried_until(&self) -> Option<f64> {
        let (span, since) = Head::parse(&self.raw).ok()?.retry_for();
        Some(since? + span?)
    }
}

/// The arguments that a payload has for its handler; as they stand if nothing can be made of their
/// wrapper.
pub(crate) fn args(raw: &[u8]) -> Option<Cow<'_, str>> {
    let head = Head::parse(raw).ok()?;
    let as_they_are = Cow::from(head.args?);
    Some(opened(&head).1.unwrap_or(as_they_are))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(raw: &str) -> Found {
        Found::at(Place::Queue { name: "q".into(), ahead: 0 }, raw.into())
    }

    #[test]
    fn what_a_payload_says_of_itself() {
        let wrapped = r#"{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"Real","args":[{"arguments":[1.50,{"a":2,"_aj_symbol_keys":["a"]}]}]}"#;
        assert_eq!(found(wrapped).args().as_deref(), Some(r#"[1.50,{"a":2}]"#));
        let broken = r#"{"class":"Sidekiq::ActiveJob::Wrapper","args":[7]}"#;
        assert_eq!(found(broken).args().as_deref(), Some("[7]"));
        let plain = found(r#"{"class":"A","args":[1, 2],"tags":["a","b"],"retry":3}"#);
        assert_eq!((plain.args().as_deref(), plain.retries()), (Some("[1, 2]"), 3));
        assert_eq!((plain.tags(), plain.backtrace()), (vec!["a".into(), "b".into()], vec![]));
        for (retry, expected) in [("true", 25), ("false", 0), ("null", 25), ("0", 0)] {
            assert_eq!(found(&format!(r#"{{"retry":{retry}}}"#)).retries(), expected, "{retry}");
        }
        let timed = found(r#"{"retry_for":60,"failed_at":1700000000.5}"#);
        assert_eq!(timed.retried_until(), Some(1_700_000_060.5));
        for odd in ["", "[]", "{", r#"{"tags":7,"error_backtrace":{},"retry_for":[]}"#] {
            let odd = found(odd);
            assert_eq!((odd.args(), odd.tags(), odd.backtrace()), (None, vec![], vec![]));
            assert_eq!((odd.retries(), odd.retried_until()), (25, None));
        }
    }
}
