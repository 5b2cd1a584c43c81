//! How far a job is, for those who ask by its jid: a hash that lives for some time after its last
//! change. What goes into it and how it is read; no I/O.

use std::collections::HashMap;
use std::fmt;

use serde::de::DeserializeOwned;

use super::keys;
use super::retry::Fate;
use super::scripts::Words;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits in its queue or for its time; also when it was interrupted and will go on.
    Queued,
    /// A worker has it.
    Running,
    /// It has failed and will be tried again.
    Retrying,
    /// It is done, or had nothing to do any more.
    Done,
    /// It has failed for good, expired or was cancelled.
    Dead,
}

impl State {
    const ALL: [State; 5] =
        [State::Queued, State::Running, State::Retrying, State::Done, State::Dead];

    /// The word in Redis and for readers.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Retrying => "retrying",
            State::Done => "done",
            State::Dead => "dead",
        }
    }

    /// Whether nothing more will happen, unless somebody takes it out of the dead set.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Dead)
    }

    fn parse(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a job by its jid.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// How much of how much is done, as the job last said.
    pub progress: Option<(u64, u64)>,
    /// What the job last said about it, in words.
    pub message: Option<String>,
    /// Why it failed the last time, if it did.
    pub error: Option<String>,
    /// When this was so, in epoch seconds of the server.
    pub updated_at: f64,
    result: Option<String>,
}

impl Status {
    /// What the job left as its result, if it did and this is its type.
    pub fn result<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.result.as_deref()?).ok()
    }

    /// From the fields of the hash; `None` if it is not there.
    pub(crate) fn read(mut fields: HashMap<String, String>) -> Option<Status> {
        let state = State::parse(fields.get(STATE)?)?;
        let progress = fields.get(PROGRESS).and_then(|text| {
            let (current, total) = text.split_once('/')?;
            Some((current.parse().ok()?, total.parse().ok()?))
        });
        let updated_at = fields.get(AT).and_then(|at| at.parse().ok()).unwrap_or_default();
        let mut take = |name| fields.remove(name);
        let (message, error, result) = (take(MESSAGE), take(ERROR), take(RESULT));
        Some(Status { state, progress, message, error, updated_at, result })
    }
}

const STATE: &str = "state";
const AT: &str = "at";
const PROGRESS: &str = "progress";
const MESSAGE: &str = "message";
const ERROR: &str = "error";
const RESULT: &str = "result";

/// So much of an error or a message is kept.
const LONGEST: usize = 1_000;

/// What a run has to tell, until it is brought to Redis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Draft {
    pub(crate) progress: Option<(u64, u64)>,
    pub(crate) message: Option<String>,
    pub(crate) result: Option<String>,
    error: Option<String>,
}

impl Draft {
    pub(crate) fn failed(&mut self, why: &str) {
        self.error = Some(shortened(why));
    }
}

pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// A state and what there is to tell about it.
pub(crate) struct Report {
    pub(crate) state: State,
    pub(crate) draft: Draft,
}

impl Report {
    /// How a fate looks from outside.
    pub(crate) fn of(fate: &Fate, draft: Draft) -> Report {
        let state = match fate {
            Fate::Done { .. } | Fate::Discard { dead: false, .. } => State::Done,
            Fate::Retry { .. } => State::Retrying,
            Fate::Dead { .. } | Fate::Discard { dead: true, .. } => State::Dead,
            Fate::Return | Fate::Snooze { .. } => State::Queued,
        };
        Report { state, draft }
    }
}

/// The fields to set: pairs of name and value.
pub(crate) fn fields(Report { state, draft }: Report, now: f64) -> Vec<(&'static str, String)> {
    let Draft { progress, message, result, error } = draft;
    let progress = progress.map(|(current, total)| format!("{current}/{total}"));
    let mut set = vec![(STATE, state.as_str().to_owned()), (AT, now.to_string())];
    let more = [(PROGRESS, progress), (MESSAGE, message), (RESULT, result), (ERROR, error)];
    set.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
    set
}

/// The commands that write a report. What it does not tell of stays as it was.
pub(crate) fn write(jid: &str, status_for: u64, report: Report, now: f64) -> Vec<Words> {
    let key = keys::status(jid);
    let bytes = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let mut all: Vec<Words> = Vec::new();
    if report.state == State::Done {
        all.push(bytes(&["HDEL", &key, ERROR]));
    }
    let mut set: Words = bytes(&["HSET", &key]);
    for (name, value) in fields(report, now) {
        set.extend([name.into(), value.into()]);
    }
    all.push(set);
    all.push(bytes(&["EXPIRE", &key, &status_for.to_string()]));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let draft = Draft {
            progress: Some((3, 9)),
            message: Some("third".into()),
            result: Some("[7]".into()),
            error: Some("no luck".into()),
        };
        let fate = Fate::Retry { at: 1.0, payload: Vec::new() };
        let set = fields(Report::of(&fate, draft), 1_700_000_000.5);
        let hash = set.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let status = Status::read(hash).unwrap();
        assert_eq!((status.state, status.progress), (State::Retrying, Some((3, 9))));
        assert_eq!(status.message.as_deref(), Some("third"));
        assert_eq!(status.error.as_deref(), Some("no luck"));
        assert_eq!(
            (status.updated_at, status.result::<Vec<u8>>()),
            (1_700_000_000.5, Some(vec![7]))
        );
        assert_eq!(status.result::<String>(), None);
    }

    #[test]
    fn strange_hashes_are_no_status_or_a_poorer_one() {
        let read = |pairs: &[(&str, &str)]| {
            Status::read(pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect())
        };
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("state", "?")]), None);
        let odd = read(&[("state", "done"), ("progress", "1/x"), ("at", "now")]).unwrap();
        assert_eq!((odd.state, odd.progress, odd.updated_at), (State::Done, None, 0.0));
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
    }
}
