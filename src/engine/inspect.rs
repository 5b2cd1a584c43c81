//! Looking at jobs and processes from outside of them, and steering them: what a terminal or a
//! page needs.

mod busy;
mod cron_list;
mod edits;
mod entry;
mod figures;
mod fleet;
mod found;
pub(crate) mod history;
mod holds;
mod moves;
mod needle;
mod oldest;
mod pages;
mod picks;
pub(crate) mod queue_list;
mod search;
mod sets;
mod steer;
mod waiting;
mod wanted;
mod whereabouts;

use redis::RedisResult;

use super::redis::Redis;

pub use busy::{Busy, BusyPage, busy};
pub use cron_list::{CronEntry, cron_enable, cron_lines, cron_run_now};
pub use edits::{Edited, edit, edit_all, edit_each};
pub use entry::Entry;
pub use figures::{Figures, Timed, figures};
pub use fleet::{Process, Processes, Running, processes};
pub use found::{Found, Place};
pub use history::{Day, Sample, days, history};
pub use holds::Hold;
pub use moves::{Edit, Outcome};
pub use pages::{Page, Sort, Want, page};
pub use picks::pick_all;
pub use queue_list::{Known, Queue, Queues, queues};
pub use search::{Search, find};
pub use sets::{DEAD_AT_MOST, Listing, Set, list};
pub use steer::{Cancelled, Paused, cancel, mark_deploy, pause, quiet, remember, resume, stop};
pub use waiting::waiting;
pub use whereabouts::{Cursor, Whereabout, Whereabouts, whereabouts};

/// Whether a job lies in the dead set, whoever put it there. Reads the whole set, some 10,000
/// jobs at most, in steps: not for every request of a busy page.
pub async fn is_dead(redis: &Redis, jid: &str) -> RedisResult<bool> {
    search::is_in(redis, Set::Dead, jid).await
}
