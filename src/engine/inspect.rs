//! Looking at jobs and processes from outside of them, and steering them: what a terminal or a
//! page needs.

use redis::RedisResult;

use super::redis::Redis;

pub use super::busy::{Busy, BusyPage, busy};
pub use super::cron_list::{CronEntry, cron_enable, cron_lines, cron_run_now};
pub use super::edits::{Edited, edit, edit_all, edit_each};
pub use super::entry::Entry;
pub use super::figures::{Figures, Timed, figures};
pub use super::fleet::{Process, Processes, Running, processes};
pub use super::found::{Found, Place};
pub use super::history::{Day, Sample, days, history};
pub use super::holds::Hold;
pub use super::moves::{Edit, Outcome};
pub use super::pages::{Page, Sort, Want, page};
pub use super::picks::{pick, pick_all};
pub use super::queue_list::{Known, Queue, Queues, queues};
pub use super::search::{Search, find};
pub use super::sets::{Listing, Set, list};
pub use super::steer::{
    Cancelled, Paused, cancel, mark_deploy, pause, quiet, remember, resume, stop,
};
pub use super::waiting::waiting;
pub use super::whereabouts::{Cursor, Whereabout, Whereabouts, whereabouts};

/// Whether a job lies in the dead set, whoever put it there. Reads the whole set, some 10,000
/// jobs at most, in steps: not for every request of a busy page.
pub async fn is_dead(redis: &Redis, jid: &str) -> RedisResult<bool> {
    super::search::is_in(redis, Set::Dead, jid).await
}
