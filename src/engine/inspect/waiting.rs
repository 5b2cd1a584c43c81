//! What waits in a queue, as people look at it.

use redis::{RedisResult, pipe};

use super::super::keys;
use super::super::redis::Redis;
use super::found::{Found, Place, enough};
use super::sets::{FIRST_PAGE, next_page, there};

/// How many jobs wait in a queue, and some of them: the next to run first, so many passed over, so
/// many at most, and fewer where they are large (some 32 MiB in all, or a single one). What is taken
/// meanwhile moves the others along.
pub async fn waiting(
    redis: &Redis,
    queue: &str,
    from: usize,
    count: usize,
) -> RedisResult<(usize, Vec<Found>)> {
    let (key, mut jobs) = (keys::queue(queue), Vec::new());
    let (mut page, mut total) = (FIRST_PAGE, 0);
    loop {
        let ahead = from.saturating_add(jobs.len()).min(FARTHEST);
        let size = page.min(count - jobs.len()).max(1);
        let mut range = pipe();
        range.cmd("LLEN").arg(&key);
        // from the tail, where jobs are taken
        range.cmd("LRANGE").arg(&key).arg(-((ahead + size) as i64)).arg(-(ahead as i64) - 1);
        let read: RedisResult<(usize, Vec<Vec<u8>>)> = redis.pipe(&range).await;
        let (length, members) = there(read, &mut 0)?;
        total = if jobs.is_empty() { length } else { total };
        page = next_page(page, members.iter().map(Vec::len));
        let all = members.len() < size;
        let place = |ahead| Place::Queue { name: queue.to_owned(), ahead };
        let found = members.into_iter().rev().enumerate();
        jobs.extend(found.map(|(at, raw)| Found::at(place(ahead + at), raw)));
        if all || jobs.len() >= count || enough(&jobs) {
            jobs.truncate(count);
            return Ok((total, jobs));
        }
    }
}

/// No queue is longer.
const FARTHEST: usize = 1 << 40;
