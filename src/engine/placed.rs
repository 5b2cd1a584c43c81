//! Where a payload goes, and as what.

use super::clock::moment;
use super::jid::known_as;
use super::payload::{Payload, Seconds, number};
use super::ties::{EXPIRES_AT, EXPIRES_IN, LOCK_FOR, Ties, lifetime};

/// Where a payload goes, and as what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) queue: String,
    /// The time it waits for, in `schedule`; `None`: it goes to its queue at once.
    pub(crate) at: Option<f64>,
    pub(crate) bytes: Vec<u8>,
    /// In a box: few have any.
    pub(crate) tied: Option<Box<Tied>>,
}

/// What a push has to see to beside the payload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tied {
    /// What the job is known by.
    pub(crate) jid: String,
    pub(crate) ties: Ties,
    /// Seconds from now.
    pub(crate) lock_for: u64,
}

/// Locks whose payload does not say how long they hold.
const LOCK_USUALLY: u64 = 86_400;

impl Placed {
    pub(crate) fn of(mut payload: Payload, now: f64) -> Placed {
        let asked = payload.get::<f64>("at");
        let at = asked.filter(|at| *at > now);
        payload.remove("at");
        if payload.raw("created_at").is_none() {
            payload.set("created_at", Seconds(now));
        }
        match at {
            Some(_) => payload.remove("enqueued_at"),
            None => payload.set("enqueued_at", Seconds(now)),
        }
        if let Some(seconds) = payload.raw(EXPIRES_IN).and_then(|raw| number(Some(raw))) {
            payload.remove(EXPIRES_IN);
            let created = payload.raw("created_at").and_then(moment);
            // a time that has passed counts too, if the job was kept in memory meanwhile
            let from = asked.into_iter().chain(at.is_none().then_some(created.unwrap_or(now)));
            payload.set(EXPIRES_AT, Seconds(from.fold(f64::MIN, f64::max) + seconds));
        }
        let queue = payload.get("queue").unwrap_or_default();
        let tied = tied(&payload, at.map_or(0.0, |at| at - now));
        Placed { queue, at, bytes: payload.to_bytes(), tied }
    }
}

fn tied(payload: &Payload, delay: f64) -> Option<Box<Tied>> {
    let ties = Ties::of_payload(payload);
    ties.any().then(|| {
        let lock_for = payload.raw(LOCK_FOR).and_then(|raw| lifetime(number(Some(raw))));
        let lock_for = lock_for.unwrap_or(LOCK_USUALLY) + lifetime(Some(delay)).unwrap_or(0);
        Box::new(Tied { jid: known_as(&[], Some(&payload.jid())), ties, lock_for })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_count_from_when_the_job_may_run() {
        let job = || Payload::new("A", json!([])).with("unique_key", "k").with("unique_ttl", 60);
        let placed = |payload| Placed::of(payload, 1_000.0);
        let now = placed(job().with(EXPIRES_IN, 5));
        let expires = |placed: &Placed| Payload::parse(&placed.bytes).unwrap().get("expires_at");
        assert_eq!((now.at, expires(&now)), (None, Some(1_005.0)));
        assert_eq!(now.tied.unwrap().lock_for, 60);
        let later = placed(job().with(EXPIRES_IN, 5).with("at", 1_100.0));
        assert_eq!((later.at, expires(&later)), (Some(1_100.0), Some(1_105.0)));
        assert_eq!(later.tied.unwrap().lock_for, 160);
        assert_eq!(placed(Payload::new("A", json!([]))).tied, None);
        // kept in memory until its time had passed
        let kept = job().with(EXPIRES_IN, 5).with("at", 998.0).with("created_at", 900.0);
        assert_eq!(expires(&placed(kept)), Some(1_003.0));
        let old = job().with(EXPIRES_IN, 5).with("at", 1.0);
        assert_eq!(expires(&placed(old)), Some(1_005.0));
    }

    #[test]
    fn a_lock_is_held_by_what_the_job_is_known_as() {
        let jid = "x".repeat(300);
        let job = Payload::new("A", json!([])).with("unique_key", "k").with("jid", &jid);
        assert_eq!(Placed::of(job, 1.0).tied.unwrap().jid, known_as(&[], Some(&jid)));
    }
}
