//! Where a job is, in words.

use crate::engine::inspect::{Found, Place, Set};
use crate::text::{at, plain};

pub(super) fn place(found: &Found) -> String {
    match &found.place {
        Place::Queue { name, ahead: 0 } => format!("next in the queue {}", plain(name)),
        Place::Queue { name, ahead } => format!("in the queue {}, {ahead} before it", plain(name)),
        Place::Set { set: Set::Retries, at: time } => {
            format!("in the retry set until {}", at(*time))
        }
        Place::Set { set: Set::Scheduled, at: time } => {
            format!("in the schedule until {}", at(*time))
        }
        Place::Set { set: Set::Dead, at: time } => format!("dead since {}", at(*time)),
        Place::Process { identity, alive: true, .. } => format!("running in {}", plain(identity)),
        Place::Process { identity, .. } => format!("held by {}, which is gone", plain(identity)),
    }
}
