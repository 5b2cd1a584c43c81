//! What a job is tied to beside its place in a queue: a lock that it holds, a status that is kept of
//! it. Its end has to settle both. Decisions only; the fields stand in the payload, so that they
//! travel with it and any client can set them.

use serde::Serialize;

use super::head::Head;
use super::jid::fingerprint;
use super::json::raw;
use super::payload::{Payload, number};

/// Payload field: the name of the lock that the job holds until it is done.
pub(crate) const LOCK: &str = "unique_key";
/// … and for how long at most, in seconds from the time when the job may run.
pub(crate) const LOCK_FOR: &str = "unique_ttl";
/// Payload field: how long after its last change the job's status is kept, in seconds.
pub(crate) const STATUS_FOR: &str = "status_for";
/// Payload field: from this point in time on the job is dropped instead of run.
pub(crate) const EXPIRES_AT: &str = "expires_at";
/// … or so many seconds after the time when it may run; a push turns it into the former.
pub(crate) const EXPIRES_IN: &str = "expires_in_secs";

/// How long what could be kept for ever is kept: ten years.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;

/// The ties of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ties {
    pub(crate) lock: Option<Box<str>>,
    /// Seconds, at least one.
    pub(crate) status_for: Option<u64>,
}

impl Ties {
    pub(crate) fn of(head: &Head) -> Ties {
        let lock = head.lock.as_deref().filter(|lock| !lock.is_empty());
        Ties { lock: lock.map(Box::from), status_for: lifetime(number(head.status_for)) }
    }

    pub(crate) fn of_payload(payload: &Payload) -> Ties {
        let lock = payload.get::<String>(LOCK).filter(|lock| !lock.is_empty());
        let status_for = payload.raw(STATUS_FOR).and_then(|raw| number(Some(raw)));
        Ties { lock: lock.map(Box::from), status_for: lifetime(status_for) }
    }

    pub(crate) fn any(&self) -> bool {
        self.lock.is_some() || self.status_for.is_some()
    }
}

/// A strange number of seconds as one that Redis takes.
pub(crate) fn lifetime(seconds: Option<f64>) -> Option<u64> {
    let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
    Some(seconds.clamp(1.0, LONGEST).ceil() as u64)
}

/// The name of the lock of a class for some of its arguments. Hashed: they may be long, or secret.
pub(crate) fn lock_name(class: &str, chosen: impl Serialize) -> Result<String, serde_json::Error> {
    Ok(format!("{class}:{}", fingerprint(raw(&chosen)?.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_readers_see_the_same() {
        let table = [
            (r#"{"unique_key":"A:1","status_for":60}"#, Some("A:1"), Some(60)),
            (r#"{"unique_key":"","status_for":0}"#, None, None),
            (r#"{"unique_key":7,"status_for":"x"}"#, None, None),
            (r#"{"status_for":0.2}"#, None, Some(1)),
            (r#"{"status_for":1e300}"#, None, Some(LONGEST as u64)),
            (r#"{"status_for":-1}"#, None, None),
        ];
        for (raw, lock, status_for) in table {
            let ties = Ties::of(&Head::parse(raw.as_bytes()).unwrap());
            assert_eq!((ties.lock.as_deref(), ties.status_for), (lock, status_for), "{raw}");
            assert_eq!(Ties::of_payload(&Payload::parse(raw.as_bytes()).unwrap()), ties, "{raw}");
        }
    }

    #[test]
    fn a_lock_is_of_its_class_and_arguments() {
        let name = |class, chosen: &[u32]| lock_name(class, chosen).unwrap();
        assert_eq!(name("A", &[1]), name("A", &[1]));
        assert_ne!(name("A", &[1]), name("A", &[2]));
        assert_ne!(name("A", &[1]), name("B", &[1]));
        assert!(!lock_name("A", "secret").unwrap().contains("secret"));
    }
}
