//! Looking at jobs and processes from outside of them, and steering them: what a terminal or a
//! page needs.

use redis::{RedisResult, cmd};

use super::keys;
use super::redis::Redis;

pub use super::depths::{Depth, depths};
pub use super::figures::{Figures, Timed, figures};
pub use super::fleet::{Process, Processes, Running, processes};
pub use super::steer::{Cancelled, Paused, cancel, mark_deploy, pause, remember, resume, stop};

/// Whether a job lies in the dead set, whoever put it there. Reads the whole set, some 10,000
/// jobs at most, in steps: not for every request of a busy page.
pub async fn is_dead(redis: &Redis, jid: &str) -> RedisResult<bool> {
    let pattern = format!("*\"jid\":\"{jid}\"*");
    let mut cursor = 0u64;
    loop {
        let mut scan = cmd("ZSCAN");
        scan.arg(keys::DEAD).arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1_000);
        let (next, found): (u64, Vec<(Vec<u8>, f64)>) = redis.query(&scan).await?;
        if !found.is_empty() {
            return Ok(true);
        }
        if next == 0 {
            return Ok(false);
        }
        cursor = next;
    }
}
