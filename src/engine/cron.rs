//! Enqueues the jobs of cron lines at their times, once over all processes, without a leader:
//! every process tries each slot, and Redis lets one through (`lua/cron.lua`). A slot missed while
//! nobody ran is caught up or not, as the line says, since Redis remembers the last one.
//!
//! In a deploy, processes with an old list and such with a new one run side by side. The list in
//! Redis is that of the one that started last (`crontab`), and a slot goes to whom has the line as
//! it stands there: what is removed or has other times or arguments is nobody's but the new ones'
//! from the moment on when the first of them has started.

use std::time::Duration;

use redis::RedisResult;
use tokio::time::sleep;

use super::cron_line::{Claim, CronLine};
use super::crontab::Crontab;
use super::redis::Redis;
use super::refusals::Refusals;
use super::schedule::Due;

/// Look at least this often: clocks are set, other processes end.
const SAFETY: Duration = Duration::from_secs(30);
/// After an error.
const AFTER_ERROR: Duration = Duration::from_secs(5);

/// What a process knows of a line.
struct Watch {
    /// The slot that was dealt with last, by whomever.
    settled: Option<i64>,
    foreign: bool,
    refusals: Refusals,
}

/// Enqueues what is due, for the life of the process.
pub(crate) async fn run(redis: Redis, lines: Vec<CronLine>) {
    let mut crontab = Crontab::new(redis.clone());
    let watch = |line: &CronLine| {
        let what = format!("enqueue the job of the cron line {:?}", line.name);
        Watch { settled: None, foreign: false, refusals: redis.complaints().about(what) }
    };
    let mut watches: Vec<Watch> = lines.iter().map(watch).collect();
    loop {
        let mut well = crontab.look(&lines).await;
        for (line, watch) in lines.iter().zip(&mut watches) {
            match watch.look(&redis, line).await {
                Ok(()) => watch.refusals.passed(),
                Err(error) => {
                    watch.refusals.note(&line.blame(error));
                    well = false;
                }
            }
        }
        let now = redis.clock().now();
        let next = lines.iter().filter_map(|line| line.slots.next(now)).min();
        sleep(pause(next, now, if well { SAFETY } else { AFTER_ERROR })).await;
    }
}

impl Watch {
    /// Deals with the slots that have come, if there are any.
    async fn look(&mut self, redis: &Redis, line: &CronLine) -> RedisResult<()> {
        let now = redis.clock().now();
        // not only later ones: the clock may have been set back
        let new = |slot: &i64| self.settled != Some(*slot);
        let Some(latest) = line.slots.latest(now).filter(new) else { return Ok(()) };
        let (slots, pass_over) = match line.due(redis, latest, now).await? {
            Due::PassOver(slot) => (vec![slot], true),
            Due::Enqueue(slots, more) => {
                if more {
                    let slots = slots.len();
                    tracing::warn!(
                        cron = line.name,
                        slots,
                        "many slots were missed: these are caught up"
                    );
                }
                (slots, false)
            }
        };
        for slot in slots {
            let claim = line.claim(redis, slot, pass_over).await?;
            self.tell(line, slot, now, &claim);
            if claim == Claim::Foreign {
                break;
            }
        }
        self.settled = Some(latest);
        Ok(())
    }

    fn tell(&mut self, line: &CronLine, slot: i64, now: f64, claim: &Claim) {
        let foreign = *claim == Claim::Foreign;
        if let Claim::Enqueued(jid) = claim {
            let late = format!("{:.1}", now - slot as f64);
            tracing::info!(
                cron = line.name,
                job.class = line.class(),
                job.jid = jid,
                late,
                "enqueued"
            );
        } else if foreign && !self.foreign {
            tracing::info!(
                cron = line.name,
                "left alone: it was deleted, or a newer process has it otherwise"
            );
        }
        self.foreign = foreign;
    }
}

/// Until the next slot, but look again now and then.
fn pause(next: Option<i64>, now: f64, longest: Duration) -> Duration {
    let seconds = next.map_or(f64::MAX, |next| next as f64 - now);
    Duration::from_secs_f64(seconds.clamp(0.05, longest.as_secs_f64()))
}
