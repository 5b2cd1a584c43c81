//! What people want with jobs that wait, and what that makes of a job. No I/O.

use super::super::payload::Payload;
use super::super::placed::Placed;
use super::super::status::State;
use super::super::ties::Ties;
use super::sets::Set;

/// What is to be done with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It goes to its queue at once. One that has failed has one failure less, as when Sidekiq's
    /// API retries it.
    Retry,
    /// It goes to the dead set, as it is.
    Kill,
    /// It is gone for good.
    Delete,
}

/// What became of that.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is not where it was any more.
    Gone,
    /// It is there already: in its queue, in the dead set.
    Already,
    /// It runs, and is not touched.
    Runs,
    /// Another job of the same kind, of which one at a time is enough, waits or runs: its jid.
    Locked(String),
    /// What is there is no job, which could be run.
    NoJob,
    /// Redis refuses it; with its words.
    Refused(String),
}

/// What the script is told of a job.
#[derive(Debug, PartialEq)]
pub(crate) struct Move {
    pub(crate) member: Vec<u8>,
    /// What it becomes; empty: it is deleted.
    pub(crate) payload: Vec<u8>,
    /// Where that goes; empty: to the dead set.
    pub(crate) queue: String,
    pub(crate) jid: String,
    pub(crate) ties: Ties,
    /// It takes its lock, for so many seconds; otherwise it gives that back.
    pub(crate) take: Option<u64>,
    /// Those who ask for its status hear of it.
    pub(crate) state: Option<State>,
}

pub(crate) fn plan(edit: Edit, set: Option<Set>, raw: &[u8], now: f64) -> Result<Move, Outcome> {
    match (edit, set) {
        (Edit::Retry, None) | (Edit::Kill, Some(Set::Dead)) => Err(Outcome::Already),
        (Edit::Retry, Some(set)) => again(set, raw, now).ok_or(Outcome::NoJob),
        (Edit::Kill | Edit::Delete, _) => {
            let payload = Payload::parse(raw).ok();
            Ok(Move {
                member: raw.to_vec(),
                payload: if edit == Edit::Kill { raw.to_vec() } else { Vec::new() },
                queue: String::new(),
                jid: payload.as_ref().map(Payload::jid).unwrap_or_default(),
                ties: payload.as_ref().map(Ties::of_payload).unwrap_or_default(),
                take: None,
                state: (set != Some(Set::Dead)).then_some(State::Dead),
            })
        }
    }
}

/// As Sidekiq's API pushes it again.
fn again(set: Set, raw: &[u8], now: f64) -> Option<Move> {
    let mut payload = Payload::parse(raw).ok()?;
    let failures = payload.get::<i64>("retry_count").filter(|_| set != Set::Scheduled);
    if let Some(failures) = failures {
        payload.set("retry_count", failures.saturating_sub(1));
    }
    if payload.get::<String>("queue").is_none_or(|queue| queue.is_empty()) {
        payload.set("queue", "default");
    }
    payload.remove("at");
    let (jid, ties) = (payload.jid(), Ties::of_payload(&payload));
    let placed = Placed::of(payload, now);
    // a dead one has given its lock back, the others have it
    let take = placed.tied.filter(|_| set == Set::Dead && ties.lock.is_some());
    Some(Move {
        member: raw.to_vec(),
        payload: placed.bytes,
        queue: placed.queue,
        jid,
        // … and keep it
        ties: Ties { lock: ties.lock.filter(|_| set == Set::Dead), ..ties },
        take: take.map(|tied| tied.lock_for),
        state: Some(State::Queued),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retried(set: Set, raw: &str) -> Option<(String, Move)> {
        let planned = plan(Edit::Retry, Some(set), raw.as_bytes(), 1_000.0).ok()?;
        Some((String::from_utf8(planned.payload.clone()).unwrap(), planned))
    }

    #[test]
    fn one_failure_less_and_all_else_as_it_was() {
        let raw = r#"{"class":"A","args":[1.50,1180591620717411303424],"jid":"1","queue":"q","created_at":1,"x":{"b":1,"a":2},"retry_count":3}"#;
        let (payload, planned) = retried(Set::Retries, raw).unwrap();
        let expected =
            raw.replace(r#""retry_count":3}"#, r#""retry_count":2,"enqueued_at":1000.0}"#);
        assert_eq!((payload, &*planned.queue), (expected, "q"));
        let (payload, _) = retried(Set::Dead, &raw.replace(":3}", ":0}")).unwrap();
        assert!(payload.contains(r#""retry_count":-1"#), "as Ruby's API leaves it");
        let (payload, _) = retried(Set::Scheduled, raw).unwrap();
        assert!(payload.contains(r#""retry_count":3"#));
        let (payload, planned) =
            retried(Set::Dead, r#"{"at":9e9,"queue":7,"retry_count":"x"}"#).unwrap();
        assert_eq!(&*planned.queue, "default");
        assert!(
            payload.contains(r#""retry_count":"x""#) && !payload.contains("\"at\""),
            "{payload}"
        );
        assert!(retried(Set::Dead, "no job").is_none());
    }

    #[test]
    fn only_a_dead_job_needs_its_lock_again() {
        let raw = r#"{"jid":"1","unique_key":"k","unique_ttl":60,"status_for":9,"queue":"q"}"#;
        let locks = |edit, set| {
            let planned = plan(edit, set, raw.as_bytes(), 1_000.0).unwrap();
            (planned.ties.lock.is_some(), planned.take, planned.state)
        };
        let (queued, dead) = (Some(State::Queued), Some(State::Dead));
        assert_eq!(locks(Edit::Retry, Some(Set::Dead)), (true, Some(60), queued));
        assert_eq!(locks(Edit::Retry, Some(Set::Retries)), (false, None, queued));
        assert_eq!(locks(Edit::Kill, Some(Set::Retries)), (true, None, dead));
        assert_eq!(locks(Edit::Delete, None), (true, None, dead));
        assert_eq!(locks(Edit::Delete, Some(Set::Dead)), (true, None, None));
    }

    #[test]
    fn what_is_there_already_stays() {
        let refused = |edit, set| plan(edit, set, b"{}", 0.0).unwrap_err();
        assert_eq!(refused(Edit::Retry, None), Outcome::Already);
        assert_eq!(refused(Edit::Kill, Some(Set::Dead)), Outcome::Already);
        let planned = plan(Edit::Kill, Some(Set::Retries), b"no job", 0.0).unwrap();
        assert_eq!((&*planned.payload, &*planned.queue), (&b"no job"[..], ""));
    }
}
