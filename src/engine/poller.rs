//! Brings due jobs of the retry and scheduled sets to their queues, on time: the first member
//! tells when, a timer waits for it, and a change of the set is a wake-up. Sidekiq polls, and
//! between its pop and its push a crash loses the job; here both are one step.

use std::time::Duration;

use redis::{RedisError, RedisResult, cmd, pipe};
use tokio::time::{Instant, sleep, sleep_until};

use super::errors::said_inside;
use super::keys;
use super::payload::{Payload, Seconds};
use super::redis::Redis;
use super::scripts;
use super::sign::Sign;

const SETS: [&str; 2] = [keys::RETRY, keys::SCHEDULE];
/// Members per script call: few at first, and more while they turn out to be small.
const FIRST_PAGE: usize = 4;
const PAGE: usize = 100;
/// Bytes per page, about.
const PAGE_BYTES: usize = 4 << 20;
/// The random place is not beyond this: the server walks there member by member (8 ms to the
/// 250,000th).
const FARTHEST: usize = 1_000;
/// Look again at least this often, whatever timers and wake-ups say.
const SAFETY: Duration = Duration::from_secs(15);
/// After an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// At work, it gives a sign of life more often than this, even a slow one.
pub(crate) const ALIVE: Duration = Duration::from_secs(60);

/// Promotes what is due, for the life of the process.
pub(crate) async fn run(redis: Redis, sign: &Sign) {
    let mut refusals = redis.complaints().about("move jobs that are due");
    loop {
        let (next, live) = match pass(&redis, sign).await {
            Ok(Pass { next, live, refused }) => {
                match refused {
                    Some(error) => drop(refusals.note(&error)), // these wait for a minute
                    None => refusals.passed(),
                }
                (next, live)
            }
            Err(error) => {
                let pause = refusals.note(&error).max(AFTER_ERROR);
                (Some(redis.clock().now() + pause.as_secs_f64()), 1)
            }
        };
        // every ZADD wakes every process: the more there are, the longer each lets it rest
        sleep(Duration::from_millis(25 * live).min(Duration::from_secs(2))).await;
        tokio::select! {
            () = sleep_until(due(next, redis.clock().now())) => {}
            () = redis.wakes().poller() => {}
        }
    }
}

fn due(next: Option<f64>, now: f64) -> Instant {
    let pause = next.map_or(SAFETY.as_secs_f64(), |next| next - now);
    Instant::now() + Duration::from_secs_f64(pause.clamp(0.0, SAFETY.as_secs_f64()))
}

/// What a pass over both sets brought.
struct Pass {
    /// When the next member is due.
    next: Option<f64>,
    /// How many processes share the work.
    live: u64,
    /// Why some could not be moved.
    refused: Option<RedisError>,
}

/// Empties both sets of what is due.
async fn pass(redis: &Redis, sign: &Sign) -> RedisResult<Pass> {
    let mut refused = None;
    loop {
        // page by page in turn, so that many in one set do not hold up the other
        let mut pages = SETS.map(|_| FIRST_PAGE);
        let mut moving = true;
        while moving {
            moving = false;
            for (set, page) in SETS.into_iter().zip(&mut pages) {
                moving |= promote(redis, set, page, &mut refused).await?;
                sign.give();
            }
        }
        // plain reads, so that the server tells us of changes
        let mut first = pipe();
        for set in SETS {
            first.cmd("ZRANGE").arg(set).arg(0).arg(0).arg("WITHSCORES");
        }
        first.cmd("SCARD").arg(keys::PROCESSES);
        type First = Vec<(Vec<u8>, f64)>;
        let (retry, schedule, live): (First, First, u64) = redis.pipe(&first).await?;
        let next = retry.iter().chain(&schedule).map(|(_, score)| *score).reduce(f64::min);
        if next.is_none_or(|next| next > redis.clock().now()) {
            return Ok(Pass { next, live: live.max(1), refused });
        }
    }
}

/// Moves a page of what is due; false if nothing is.
async fn promote(
    redis: &Redis,
    set: &str,
    page: &mut usize,
    refused: &mut Option<RedisError>,
) -> RedisResult<bool> {
    let now = redis.clock().now();
    let members = due_members(redis, set, now, *page).await?;
    if members.is_empty() {
        return Ok(false);
    }
    *page = next_page(*page, &members);
    let jobs: Vec<_> = members.iter().map(|member| ready(set, member, now)).collect();
    let mut script = scripts::PROMOTE.prepare_invoke();
    script.arg(set).arg(keys::QUEUES).arg(keys::QUEUE_PREFIX).arg(keys::DEAD).arg(now);
    script.arg(keys::COUNTERS).arg(now - keys::DEAD_TTL.as_secs_f64()).arg(-keys::DEAD_MAX);
    for (member, (payload, queue)) in members.iter().zip(&jobs) {
        script.arg(member).arg(payload).arg(queue);
    }
    let moved = redis.connection().await?.run::<(u64, u64, String)>(&script).await;
    jobs.iter().for_each(|(_, queue)| redis.wakes().pushed(queue));
    let (_, trimmed, why) = moved?;
    if !why.is_empty() {
        *refused = Some(said_inside(&why));
    }
    if trimmed > 0 {
        tracing::warn!(jobs = trimmed, "the dead set was full or held very old jobs: trimmed");
    }
    Ok(true)
}

/// A page of due members, from a random place among them if there are more: several processes
/// that begin at the same member would do the same work.
async fn due_members(redis: &Redis, set: &str, now: f64, page: usize) -> RedisResult<Vec<Vec<u8>>> {
    let mut count = cmd("ZCOUNT");
    count.arg(set).arg("-inf").arg(now);
    let due: usize = redis.query(&count).await?;
    if due == 0 {
        return Ok(Vec::new());
    }
    let offset = fastrand::usize(..=due.saturating_sub(page).min(FARTHEST));
    let mut range = cmd("ZRANGE");
    range.arg(set).arg("-inf").arg(now).arg("BYSCORE").arg("LIMIT").arg(offset).arg(page);
    redis.query(&range).await
}

fn next_page(page: usize, members: &[Vec<u8>]) -> usize {
    let largest = members.iter().map(Vec::len).max().unwrap_or(0).max(1);
    (4 * page).min(PAGE).min(PAGE_BYTES / largest).max(1)
}

/// The payload as it goes to its queue; no queue for what is no job.
fn ready(set: &str, member: &[u8], now: f64) -> (Vec<u8>, String) {
    let mut payload = match Payload::parse(member) {
        Ok(payload) => payload,
        Err(error) => {
            let (class, bytes) = (super::retry::BAD_JSON, member.len());
            tracing::warn!(set, bytes, error.class = class, %error, "a due job is none: buried");
            return (Vec::new(), String::new());
        }
    };
    payload.set("enqueued_at", Seconds(now));
    let queue = payload.get::<String>("queue").filter(|queue| !queue.is_empty());
    (payload.to_bytes(), queue.unwrap_or_else(|| "default".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;

    #[test]
    fn what_goes_where() {
        let (payload, queue) = ready("retry", br#"{"class":"A","queue":"q","args":[1.0]}"#, 5.0);
        assert_eq!(queue, "q");
        assert_eq!(payload, br#"{"class":"A","queue":"q","args":[1.0],"enqueued_at":5.0}"#);
        assert_eq!(ready("retry", b"{}", 5.0).1, "default");
        assert_eq!(ready("retry", b"nonsense", 5.0).1, "");
    }

    #[test]
    fn what_is_due_goes_somewhere() {
        arbitrary::rounds(1_000, |rng| {
            let member = match rng.bool() {
                true => arbitrary::bytes(rng),
                false => arbitrary::payload(rng).into_bytes(),
            };
            let (payload, queue) = ready("retry", &member, 5.0);
            assert_eq!(queue.is_empty(), Payload::parse(&member).is_err());
            assert_eq!(queue.is_empty(), payload.is_empty());
        });
    }

    #[test]
    fn pages_grow_while_their_members_are_small() {
        assert_eq!(next_page(4, &vec![vec![0; 500]; 4]), 16);
        assert_eq!(next_page(64, &vec![vec![0; 500]; 64]), PAGE);
        assert_eq!(next_page(16, &vec![vec![0; 1 << 20]; 2]), 4);
        assert_eq!(next_page(4, &[vec![0; 5 << 20]]), 1);
    }
}
