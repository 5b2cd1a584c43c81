//! Cron lines: a job enqueued at set times, once over all processes, without a leader. Every
//! process tries each slot; Redis lets one through. A slot missed while nobody ran is caught up
//! (the latest one), since what counts is the last slot that Redis remembers.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use croner::Cron;
use redis::RedisResult;
use tokio::time::sleep;

use super::jid::new_jid;
use super::keys;
use super::payload::{Payload, Seconds};
use super::redis::Redis;
use super::scripts;

/// A name, times and a job.
pub(crate) struct CronLine {
    pub(crate) name: &'static str,
    times: Cron,
    payload: Payload,
}

impl CronLine {
    pub(crate) fn new(
        name: &'static str,
        expression: &str,
        payload: Payload,
    ) -> anyhow::Result<CronLine> {
        let fields = expression.split_whitespace().count();
        anyhow::ensure!(fields == 5, "{expression:?} has {fields} fields, not five");
        let times = Cron::from_str(expression).with_context(|| format!("{expression:?}"))?;
        Ok(CronLine { name, times, payload })
    }

    /// The latest slot that is not after `now` (epoch seconds).
    fn slot(&self, now: f64) -> Option<i64> {
        let now = DateTime::<Utc>::from_timestamp(now as i64, 0)?;
        Some(self.times.find_previous_occurrence(&now, true).ok()?.timestamp())
    }

    fn next(&self, now: f64) -> Option<i64> {
        let now = DateTime::<Utc>::from_timestamp(now as i64, 0)?;
        Some(self.times.find_next_occurrence(&now, false).ok()?.timestamp())
    }
}

/// Enqueues what is due, for the life of the process.
pub(crate) async fn run(redis: Redis, lines: Vec<CronLine>) {
    let mut tried = vec![0; lines.len()];
    let mut refusals = redis.complaints().about("enqueue the jobs of cron lines");
    loop {
        let now = redis.clock().now();
        for (line, tried) in lines.iter().zip(&mut tried) {
            let Some(slot) = line.slot(now).filter(|slot| slot > tried) else {
                continue;
            };
            match enqueue(&redis, line, slot, now).await {
                Ok(enqueued) => {
                    refusals.passed();
                    *tried = slot;
                    if enqueued {
                        tracing::info!(
                            cron = line.name,
                            job.class = line.payload.class(),
                            "enqueued"
                        );
                    }
                }
                Err(error) => drop(refusals.note(&error)), // the next look is seconds away
            }
        }
        let next = lines.iter().filter_map(|line| line.next(now)).min();
        sleep(pause(next, redis.clock().now())).await;
    }
}

/// Until the next slot, but look again now and then: clocks are set, Redis was away.
fn pause(next: Option<i64>, now: f64) -> Duration {
    let seconds = next.map_or(30.0, |next| next as f64 - now);
    Duration::from_secs_f64(seconds.clamp(0.05, 30.0))
}

async fn enqueue(redis: &Redis, line: &CronLine, slot: i64, now: f64) -> RedisResult<bool> {
    let queue: String = line.payload.get("queue").unwrap_or_default();
    let payload = line.payload.clone().with("jid", new_jid());
    let payload = payload.with("created_at", Seconds(now)).with("enqueued_at", Seconds(now));
    let mut script = scripts::CRON.prepare_invoke();
    script.arg(keys::CRON).arg(line.name).arg(slot);
    script.arg(keys::QUEUES).arg(&queue).arg(keys::queue(&queue)).arg(payload.to_bytes());
    let enqueued: bool = redis.connection().await?.run(&script).await?;
    if enqueued {
        redis.wakes().pushed(&queue);
    }
    Ok(enqueued)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots() {
        let line = |text| CronLine::new("x", text, Payload::new("X", serde_json::json!([])));
        let daily = line("0 3 * * *").unwrap();
        let three = 1_700_017_200; // 2023-11-15 03:00:00 UTC
        assert_eq!(daily.slot(three as f64), Some(three));
        assert_eq!(daily.slot(three as f64 - 1.0), Some(three - 86_400));
        assert_eq!(daily.next(three as f64), Some(three + 86_400));
        for bad in ["", "* * * *", "61 * * * *", "* * * * * *", "a b c d e"] {
            assert!(line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_line_that_is_accepted_can_be_asked() {
        let words = ["*", "*/5", "1-3", ",", "L", "W", "#", "?", "MON", "FEB", "31", "0", " ", " "];
        super::super::arbitrary::rounds(300, |rng| {
            let fields = [(); 5].map(|()| super::super::arbitrary::words(rng, &words));
            let payload = Payload::new("X", serde_json::json!([]));
            let Ok(line) = CronLine::new("x", &fields.join(" "), payload) else { return };
            for now in [0.0, 1_700_000_000.0, f64::MAX, f64::NAN] {
                let (slot, next) = (line.slot(now), line.next(now));
                assert!(slot.is_none_or(|slot| slot as f64 <= now), "{fields:?} {slot:?}");
                assert!(next.is_none_or(|next| next as f64 > now), "{fields:?} {next:?}");
            }
        });
    }
}
