//! Pushes by script: of jobs that have a lock or a status, and of those that may be sent again.

use redis::{ScriptInvocation, Value};

use super::enqueue_error::EnqueueError;
use super::keys;
use super::placed::Placed;
use super::scripts;

/// Increments for the counters, under the id of a marker that makes them count once.
#[derive(Default)]
pub(crate) struct Increments<'a> {
    pub(crate) id: &'a str,
    pub(crate) pairs: Vec<(&'static str, u64)>,
}

/// The beginning of a call: the ids whose markers are not needed any more, and what to count.
pub(crate) fn call(now: f64, obsolete: &[String], counts: Increments) -> ScriptInvocation<'static> {
    let mut script = scripts::PUSH.prepare_invoke();
    script.arg(keys::PUSHED_TTL.as_secs()).arg(keys::QUEUES).arg(keys::QUEUE_PREFIX);
    script.arg(keys::SCHEDULE).arg(now).arg(obsolete.len());
    for id in obsolete {
        script.arg(keys::pushed(id));
    }
    script.arg(keys::COUNTERS).arg(keys::pushed(counts.id)).arg(2 * counts.pairs.len());
    for (name, by) in counts.pairs {
        script.arg(name).arg(by);
    }
    script
}

/// Our own writes are reported to nobody. So they are noted when they have ended: also with an
/// error, because a part may be there, and when whoever waited for the answer has gone.
pub(crate) struct Noted<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Noted<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Adds a job; with an id, it is done once under that.
pub(crate) fn add(script: &mut ScriptInvocation, id: Option<&str>, placed: &Placed) {
    script.arg(id.map(keys::pushed).unwrap_or_default());
    let tied = placed.tied.as_deref();
    let lock = tied.and_then(|tied| Some((tied.ties.lock.as_deref()?, tied.lock_for)));
    script.arg(lock.map(|(name, _)| keys::lock(name)).unwrap_or_default());
    script.arg(lock.map_or(0, |(_, seconds)| seconds));
    script.arg(tied.map_or("", |tied| &tied.jid));
    let status_for = tied.and_then(|tied| tied.ties.status_for);
    let status = tied.filter(|_| status_for.is_some()).map(|tied| keys::status(&tied.jid));
    script.arg(status.unwrap_or_default()).arg(status_for.unwrap_or(0));
    let at = placed.at.map(|at| at.to_string()).unwrap_or_default();
    script.arg(&placed.queue).arg(at).arg(&placed.bytes);
}

/// What became of a job: it is there; or another one is, of which this is the jid.
pub(crate) type Place = Result<Option<String>, EnqueueError>;

/// Reads the answer for one job.
pub(crate) fn place(reply: Value) -> Place {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match reply {
        Value::Int(_) => Ok(None),
        Value::BulkString(why) if why.starts_with(b"OOM") => Err(EnqueueError::Full),
        Value::BulkString(why) => Err(EnqueueError::Refused(text(&why))),
        Value::Array(holder) => match holder.first() {
            Some(Value::BulkString(jid)) => Ok(Some(text(jid))),
            _ => Err(EnqueueError::Refused("what stands under its lock is no jid".to_owned())),
        },
        other => Err(EnqueueError::Refused(format!("{other:?}"))),
    }
}
