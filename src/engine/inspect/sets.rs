//! The sets in which jobs wait or lie, as people look at them: read in steps, whatever is in them.

use std::time::{Duration, Instant};

use redis::{RedisResult, cmd, pipe};

use super::super::errors::is_wrong_type;
use super::super::keys;
use super::super::redis::Redis;
use super::entry::Entry;

/// One of the sorted sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Jobs that have failed and wait for their next attempt.
    Retries,
    /// Jobs that wait for their time.
    Scheduled,
    /// Jobs that are given up.
    Dead,
}

impl Set {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Set::Retries => keys::RETRY,
            Set::Scheduled => keys::SCHEDULE,
            Set::Dead => keys::DEAD,
        }
    }
}

/// So many jobs are kept in the dead set; who buries more loses others of them.
pub const DEAD_AT_MOST: usize = keys::DEAD_MAX as usize;

/// The first jobs of a set.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// When this was so: the server's time, in epoch seconds.
    pub now: f64,
    /// How many there are.
    pub total: usize,
    /// The next to come first; of the dead the last. With the time that each waits for, or at
    /// which it died.
    pub first: Vec<(f64, Entry)>,
}

/// Members of a set: their bytes, and their times.
pub(crate) type Members = Vec<(Vec<u8>, f64)>;

/// Jobs in one reply, at most, and bytes, about.
const PAGE: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;
/// … and at first, while their size is not known.
pub(crate) const FIRST_PAGE: usize = 4;

/// A server that looks for a pattern serves nobody else meanwhile: about 20 ms for a page of small
/// jobs. One that takes longer is asked for less …
const SLOW: Duration = Duration::from_millis(100);
/// … but not for less than this: it may be far away, and not slow.
const SLOWEST_PAGE: usize = 50;

/// How many to ask for next, after a page of these.
pub(crate) fn next_page(page: usize, sizes: impl Iterator<Item = usize>) -> usize {
    (4 * page).min(PAGE).min(PAGE_BYTES / sizes.max().unwrap_or(0).max(1)).max(1)
}

/// The first jobs of a set, so many at most.
pub async fn list(redis: &Redis, set: Set, limit: usize) -> RedisResult<Listing> {
    let mut count = pipe();
    count.cmd("TIME").cmd("ZCARD").arg(set.key());
    let ((seconds, micros), total): ((f64, f64), usize) = redis.pipe(&count).await?;
    let mut listing = Listing { now: seconds + micros / 1e6, total, first: Vec::new() };
    let mut page = FIRST_PAGE;
    while listing.first.len() < limit {
        let from = listing.first.len();
        let mut range = cmd("ZRANGE");
        range.arg(set.key()).arg(from).arg(from + page.min(limit - from) - 1);
        if set == Set::Dead {
            range.arg("REV");
        }
        let members: Members = redis.query(range.arg("WITHSCORES")).await?;
        if members.is_empty() {
            break;
        }
        page = next_page(page, members.iter().map(|(raw, _)| raw.len()));
        listing.first.extend(members.iter().map(|(raw, at)| (*at, Entry::of(raw))));
    }
    Ok(listing)
}

/// A way through all of a set, page by page, that misses nothing which is there all the time; what
/// comes or goes meanwhile may be met or not.
pub(crate) struct Walk {
    key: &'static str,
    pattern: Option<String>,
    cursor: Option<u64>,
    page: usize,
}

impl Walk {
    /// Through the members that match, or all.
    pub(crate) fn through(set: Set, pattern: Option<String>) -> Walk {
        Walk { key: set.key(), pattern, cursor: Some(0), page: FIRST_PAGE }
    }

    /// The next page; it may be empty before the end, which is `None`.
    pub(crate) async fn next(&mut self, redis: &Redis) -> RedisResult<Option<Members>> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut scan = cmd("ZSCAN");
        scan.arg(self.key).arg(cursor).arg("COUNT").arg(self.page);
        if let Some(pattern) = &self.pattern {
            scan.arg("MATCH").arg(pattern);
        }
        let began = Instant::now();
        let (next, members): (u64, Members) = redis.query(&scan).await?;
        self.cursor = Some(next).filter(|next| *next != 0);
        let fit = next_page(self.page, members.iter().map(|(raw, _)| raw.len()));
        // of what does not match, only the time tells the size
        self.page = match self.pattern.is_some() && began.elapsed() > SLOW {
            true => (self.page / 4).max(SLOWEST_PAGE).min(fit),
            false => fit,
        };
        Ok(Some(members))
    }
}

/// What stands under a key may be something else than what belongs there: then nothing, counted.
pub(crate) fn there<T: Default>(reply: RedisResult<T>, strange: &mut usize) -> RedisResult<T> {
    match reply {
        Err(error) if is_wrong_type(&error) => {
            *strange += 1;
            Ok(T::default())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_while_jobs_are_small() {
        assert_eq!(next_page(50, [300, 200].into_iter()), 200);
        assert_eq!(next_page(800, [300].into_iter()), PAGE);
        assert_eq!(next_page(50, [1 << 20].into_iter()), 4);
        assert_eq!(next_page(50, [1 << 30].into_iter()), 1);
        assert_eq!(next_page(50, [].into_iter()), 200);
    }
}
