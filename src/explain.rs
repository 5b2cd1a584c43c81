//! Where a job is and why it does not run, in words: for the terminal and the dashboard.

use crate::engine::inspect::{Entry, Found, Hold, Place, Set};
use crate::text::{about, at, plain};

/// Where it is.
pub fn place(found: &Found) -> String {
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

/// Why it does not run.
pub fn reason(hold: &Hold) -> String {
    match hold {
        Hold::NoProcess => "no worker process is alive that could take it".to_owned(),
        Hold::NotServed => "none of the live processes takes jobs of its queue".to_owned(),
        Hold::AllQuiet => "the processes that take its jobs are quiet".to_owned(),
        Hold::AllBusy => "the processes that take its jobs have no free place".to_owned(),
        Hold::Paused => "its queue is paused".to_owned(),
        Hold::AtLimit(most) => format!("its queue is at its limit: {most} in progress at once"),
        Hold::StartsUsedUp(most, seconds) => {
            format!("its queue is at its limit: {most} starts in {}", about(*seconds))
        }
        Hold::Before(1) => "1 job comes before it".to_owned(),
        Hold::Before(jobs) => format!("{jobs} jobs come before it"),
        Hold::NotYet(seconds) => format!("it waits for its time, in {}", about(*seconds)),
        Hold::Due(seconds) => {
            format!("its time came {} ago: a worker is to bring it to its queue", about(*seconds))
        }
        Hold::Dead => "it is given up".to_owned(),
        Hold::Orphan => {
            "its process is gone: another one takes it back within 30 s of its last heartbeat"
                .to_owned()
        }
    }
}

/// What a person at a terminal can do about it.
pub fn remedy(hold: &Hold, entry: &Entry) -> Option<String> {
    match hold {
        Hold::NotServed => Some("see QUEUES".to_owned()),
        Hold::AllQuiet => Some("start them again".to_owned()),
        Hold::AllBusy => Some("`jobs busy`".to_owned()),
        Hold::Paused => Some(format!("`jobs resume {}` ends that", plain(&entry.queue))),
        Hold::Dead => Some(format!("`jobs retry {}` gives it another chance", plain(&entry.jid))),
        _ => None,
    }
}
