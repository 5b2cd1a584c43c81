//! What becomes of a job after a run: a pure decision, by Sidekiq's rules. No Redis, no clock.

use std::fmt;
use std::time::Duration;

use super::backtrace::{self, Trace};
use super::clock::moment;
use super::head::{Head, RetryField};
use super::payload::{Payload, Seconds, number};
use super::placed::Placed;

/// How often a failed job is tried again. The pause grows with the fourth power of the attempt:
/// some 20 s, 30 s, 50 s, … and about three weeks in all for 25 retries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Retry {
    /// 25 retries, then the dead set.
    Default,
    /// That many retries, then the dead set; 0 buries at the first failure.
    Times(u32),
    /// A failed job is dropped (and counted): for work that is worthless when late.
    Never,
}

impl Retry {
    /// What a payload says of it.
    pub(crate) fn field(self) -> serde_json::Value {
        match self {
            Retry::Default => true.into(),
            Retry::Times(times) => times.into(),
            Retry::Never => false.into(),
        }
    }
}

/// Ways to leave `perform` early that are no ordinary failure. Return one as the error; context
/// stays with it: `Err(anyhow::Error::new(Stop::Kill).context("the account is closed"))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// Drop the job: it is pointless by now. Counted, never retried.
    Discard,
    /// Bury the job at once: no retry could help.
    Kill,
    /// The process is stopping: run the job again from its cursor, soon and elsewhere. Does not
    /// count as an attempt. `checkpoint` returns it.
    Interrupted,
    /// The job belongs to another process by now. `checkpoint` returns it.
    LostLease,
    /// Somebody has cancelled the job (`jobs cancel`, or Sidekiq's `cancel!`): it ends here, is
    /// counted and never retried. `cursor` and `checkpoint` return it.
    Cancelled,
    /// Run the job again after a pause. Does not count as a failure.
    Snooze(Duration),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Stop::Discard => f.write_str("discarded"),
            Stop::Kill => f.write_str("given up"),
            Stop::Interrupted => f.write_str("interrupted: the process is stopping"),
            Stop::LostLease => f.write_str("the job belongs to another process by now"),
            Stop::Cancelled => f.write_str("cancelled"),
            Stop::Snooze(pause) => write!(f, "again in {} s", pause.as_secs_f32()),
        }
    }
}

impl std::error::Error for Stop {}

/// Why a run failed, in the words that readers of the retry set see.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `error_class`: one of a small fixed set, since Rust errors have no class.
    pub(crate) class: &'static str,
    pub(crate) message: String,
    pub(crate) trace: Trace,
}

impl Failure {
    /// With a message of reasonable length: it may quote what a stranger sent.
    pub(crate) fn new(class: &'static str, message: &str) -> Failure {
        let message = message.chars().take(10_000).collect();
        Failure { class, message, trace: Trace::None }
    }

    /// What a job returned.
    pub(crate) fn of(error: anyhow::Error) -> Failure {
        let failure = Failure::new(ERROR, &format!("{error:#}"));
        Failure { trace: Trace::Error(error), ..failure }
    }
}

/// `error_class` of a class that no handler is registered for: what Ruby users look for.
pub(crate) const UNKNOWN_CLASS: &str = "NameError";
pub(crate) const BAD_ARGUMENTS: &str = "BadArguments";
pub(crate) const BAD_JSON: &str = "BadJson";
pub(crate) const PANIC: &str = "Panic";
pub(crate) const TIMEOUT: &str = "Timeout";
pub(crate) const POISON: &str = "Poison";
pub(crate) const ERROR: &str = "Error";

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It is done. With the jid of a job that leaves traces to clear: a cursor, rescues.
    Done { traces: Option<String> },
    /// It waits in the retry set until `at`.
    Retry { at: f64, payload: Vec<u8> },
    /// It has failed for good: it goes to the dead set, if it is to be kept, and the job that it
    /// leaves behind goes to its queue.
    Dead { payload: Option<Vec<u8>>, will: Option<Box<Placed>> },
    /// It is dropped on purpose: its author said so, or, as one that is dead to those who ask, it
    /// is too late or was cancelled. With the jid of a job that leaves traces to clear.
    Discard { traces: Option<String>, dead: bool },
    /// It goes back to the head of its queue, unchanged.
    Return,
    /// It waits in the scheduled set until `at`.
    Snooze { at: f64, payload: Vec<u8> },
}

impl Fate {
    /// Whether nothing more will happen to it by itself.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Fate::Done { .. } | Fate::Discard { .. } | Fate::Dead { .. })
    }
}

/// Facts about the moment of a failure.
pub(crate) struct Moment {
    /// Epoch seconds.
    pub(crate) now: f64,
    /// A random number from 0 to 1.
    pub(crate) dice: f64,
}

/// What the type of a job says about its failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// For a payload that does not say.
    pub(crate) retry: Retry,
    /// The pause after so many failures; `None`: the usual one.
    pub(crate) pause: fn(u32) -> Option<Duration>,
    /// Where retries go, for a payload that does not say; `None`: where it came from.
    pub(crate) queue: Option<&'static str>,
}

impl From<Retry> for Rule {
    fn from(retry: Retry) -> Rule {
        Rule { retry, pause: |_| None, queue: None }
    }
}

/// The fate of a job that failed. `rule` is the handler's; `None` where there is none.
pub(crate) fn failed(
    raw: &[u8],
    queue: &str,
    rule: Option<Rule>,
    failure: &Failure,
    moment: &Moment,
) -> Fate {
    let Ok(mut payload) = Payload::parse(raw) else {
        return Fate::Dead { payload: Some(raw.to_vec()), will: None }; // bad JSON: as it is
    };
    let (pause_of, other) = (rule.map(|rule| rule.pause), rule.and_then(|rule| rule.queue));
    let (rule, queue) = (rule.map(|rule| rule.retry), other.unwrap_or(queue));
    let said = payload.raw("retry").and_then(RetryField::parse);
    if let (None, Some(rule)) = (said, rule) {
        payload.set("retry", rule.field()); // for a reader that does not know the class
    }
    let failures = record(&mut payload, queue, failure, moment.now);
    match verdict(&payload, rule, failures, failure, moment.now) {
        Verdict::Again => {
            let own = pause_of.and_then(|pause_of| own_pause(pause_of, failures));
            let at = moment.now + own.unwrap_or_else(|| pause(failures, moment.dice));
            Fate::Retry { at, payload: payload.to_bytes() }
        }
        Verdict::Bury => Fate::Dead { payload: Some(payload.to_bytes()), will: None },
        Verdict::Drop => Fate::Dead { payload: None, will: None },
    }
}

/// The payload of a job that is given up without further attempts.
pub(crate) fn buried(raw: &[u8], queue: &str, failure: &Failure, now: f64) -> Vec<u8> {
    match Payload::parse(raw) {
        Err(_) => raw.to_vec(),
        Ok(mut payload) => {
            record(&mut payload, queue, failure, now);
            payload.to_bytes()
        }
    }
}

/// Whether a failure now would be the job's last.
pub(crate) fn last_chance(head: &Head, rule: Retry, now: f64) -> bool {
    match limit(head.retry(), Some(rule)) {
        None => true,
        Some(limit) => exhausted(limit, u64::from(head.failures()), head.retry_for(), now),
    }
}

/// A limit in time, where the payload has one, replaces that in number, unless nobody can tell
/// since when it fails.
fn exhausted(
    limit: u64,
    failures: u64,
    (retry_for, failing_since): (Option<f64>, Option<f64>),
    now: f64,
) -> bool {
    match (retry_for, failing_since) {
        (Some(seconds), Some(since)) => since + seconds < now,
        (Some(seconds), None) if failures == 0 => seconds < 0.0,
        _ => failures >= limit,
    }
}

enum Verdict {
    Again,
    Bury,
    Drop,
}

fn verdict(
    payload: &Payload,
    rule: Option<Retry>,
    failures: u64,
    failure: &Failure,
    now: f64,
) -> Verdict {
    if failure.class == BAD_JSON {
        return Verdict::Bury; // no other process could make more of it
    }
    let retry = payload.raw("retry").and_then(RetryField::parse);
    let Some(limit) = limit(retry, rule) else {
        // it never ran here: dropping it would hide a mistake of ours, not of the job
        let never_ran = matches!(failure.class, UNKNOWN_CLASS | BAD_ARGUMENTS);
        return if never_ran { Verdict::Bury } else { Verdict::Drop };
    };
    let failed_at = payload.raw("failed_at").and_then(moment);
    let retry_for = (number(payload.raw("retry_for")), failed_at);
    match (exhausted(limit, failures, retry_for, now), payload.get::<bool>("dead")) {
        (false, _) => Verdict::Again,
        (true, Some(false)) => Verdict::Drop,
        (true, _) => Verdict::Bury,
    }
}

/// Retries allowed; `None` = none, and no place in the dead set.
pub(crate) fn limit(retry: Option<RetryField>, rule: Option<Retry>) -> Option<u64> {
    const USUAL: u64 = 25;
    match (retry, rule) {
        (Some(RetryField::Never), _) => None,
        (Some(RetryField::Times(times)), _) => Some(times),
        (Some(RetryField::Usual), _) => Some(USUAL),
        (None, Some(Retry::Never)) => None,
        (None, Some(Retry::Times(times))) => Some(times.into()),
        (None, Some(Retry::Default) | None) => Some(USUAL),
    }
}

/// Writes the failure into the payload; returns the new `retry_count`, 0 after the first one.
fn record(payload: &mut Payload, queue: &str, failure: &Failure, now: f64) -> u64 {
    if payload.jid().is_empty() {
        // equal bytes would collapse into one member of a sorted set
        payload.set("jid", super::jid::new_jid());
    }
    let other = payload.get::<String>("retry_queue").filter(|queue| !queue.is_empty());
    let queue = other.unwrap_or_else(|| queue.to_owned());
    payload.set("queue", queue);
    payload.set("error_message", &failure.message);
    payload.set("error_class", failure.class);
    // -1 after the first failure and a "retry now" in Ruby's API
    let count = match payload.get::<f64>("retry_count") {
        Some(count) => {
            payload.set("retried_at", Seconds(now));
            (count + 1.0) as u64
        }
        None => {
            payload.set("failed_at", Seconds(now));
            0
        }
    };
    payload.set("retry_count", count);
    let wanted = payload.raw("backtrace");
    if let Some(lines) = backtrace::packed(&failure.message, &failure.trace, wanted) {
        payload.set("error_backtrace", lines);
    }
    count
}

/// As the job's author has it. Of one that panics, nothing may depend.
fn own_pause(pause: fn(u32) -> Option<Duration>, count: u64) -> Option<f64> {
    let failures = u32::try_from(count.saturating_add(1)).unwrap_or(u32::MAX);
    let pause = std::panic::catch_unwind(|| pause(failures)).ok()??;
    Some(pause.min(LONGEST_PAUSE).as_secs_f64())
}

/// A time further away could be no score that others read.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Seconds until the next attempt: the curve of Sidekiq 8.
fn pause(count: u64, dice: f64) -> f64 {
    let count = count as f64;
    count.powi(4) + 15.0 + (dice * 10.0 * (count + 1.0)).floor()
}

#[cfg(test)]
mod tests;
