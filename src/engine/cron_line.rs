//! A cron line: a name, times and a job, and how it stands in Redis: in the sidekiq-cron gem's
//! keys, so that the gem's pages show it and its pollers share the work.

use anyhow::ensure;
use chrono::DateTime;
use redis::{RedisError, RedisResult, cmd};

use super::errors::{is_wrong_type, said_inside};
use super::jid::new_jid;
use super::keys;
use super::payload::Payload;
use super::placed::Placed;
use super::redis::Redis;
use super::schedule::{Due, Schedule};
use super::scripts;
use super::slots::Slots;

/// As the gem has them.
const ISO: &str = "%Y-%m-%dT%H:%M:%SZ";
pub(crate) const ENQUEUED_AT: &str = "%Y-%m-%d %H:%M:%S +0000";
pub(crate) const IN_HISTORY: &str = "%Y-%m-%d %H:%M:%S UTC";

/// A name, times and a job.
pub(crate) struct CronLine {
    pub(crate) name: &'static str,
    pub(crate) slots: Slots,
    schedule: Schedule,
    key: String,
    /// The job, but for its id and times.
    job: Payload,
}

/// What became of a slot.
#[derive(Debug, PartialEq)]
pub(crate) enum Claim {
    /// This process enqueued it, under this id.
    Enqueued(String),
    /// Another one did, or it is passed over.
    Settled,
    /// In Redis the line is not what it is here.
    Foreign,
}

impl CronLine {
    pub(crate) fn new(
        name: &'static str,
        schedule: Schedule,
        mut job: Payload,
    ) -> anyhow::Result<CronLine> {
        // part of keys and of the page's addresses
        ensure!(!name.is_empty() && !name.contains([':', '/']), "a name without : and / is wanted");
        let slots = Slots::parse(&schedule.text)
            .map_err(|error| anyhow::anyhow!("{:?}: {error:#}", schedule.text))?;
        job.remove("jid");
        Ok(CronLine { name, slots, schedule, key: keys::cron_line(name), job })
    }

    /// The key of its hash.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn class(&self) -> String {
        self.job.class()
    }

    /// Writes it as it is here, if `keeper` keeps the list; true if it is new or has other times
    /// than before.
    pub(crate) async fn write(&self, redis: &Redis, keeper: &str) -> RedisResult<bool> {
        let latest = self.slots.latest(redis.clock().now()).unwrap_or_default();
        let raw = |field| self.job.raw(field).unwrap_or_default();
        let mut script = scripts::CRON_LINE.prepare_invoke();
        script.arg(keys::CRON_KEEPER).arg(keeper);
        script.arg(keys::CRON_LINES).arg(&self.key).arg(keys::cron_slots(&self.key));
        script.arg(latest).arg(shown(latest, ISO)).arg(&self.schedule.text);
        script.arg("message").arg(self.job.to_bytes());
        script.arg("name").arg(self.name).arg("klass").arg(self.class());
        script.arg("namespace").arg(keys::CRON_NAMESPACE);
        script.arg("args").arg(raw("args")).arg("retry").arg(raw("retry"));
        // what a schedule file does not name, the gem deletes when it says `schedule`
        script.arg("source").arg("dynamic").arg("description").arg("");
        for off in ["date_as_argument", "active_job", "symbolize_args"] {
            script.arg(off).arg("0");
        }
        redis.connection().await?.run(&script).await
    }

    /// One line's trouble is not the other's, though the server has the same words for both.
    pub(crate) fn blame(&self, error: RedisError) -> RedisError {
        match is_wrong_type(&error) {
            true => said_inside(&format!("WRONGTYPE at a key of the cron line {:?}", self.name)),
            false => error,
        }
    }

    /// What is to be done at a moment when this is the latest slot.
    pub(crate) async fn due(&self, redis: &Redis, latest: i64, now: f64) -> RedisResult<Due> {
        let last = match self.schedule.missed.looks_back() {
            true => {
                redis.query::<Option<String>>(cmd("HGET").arg(&self.key).arg("last_slot")).await?
            }
            false => None,
        };
        let last = last.and_then(|last| last.parse().ok());
        Ok(self.schedule.missed.due(&self.slots, latest, last, now))
    }

    /// Enqueues the job of a slot, or with `pass_over` remembers the slot only.
    pub(crate) async fn claim(
        &self,
        redis: &Redis,
        slot: i64,
        pass_over: bool,
    ) -> RedisResult<Claim> {
        let (now, jid) = (redis.clock().now(), new_jid());
        let job = self.job.clone().with("jid", &jid).with("cron_slot", slot);
        let Placed { queue, bytes, tied, .. } = Placed::of(job, now);
        let lock =
            tied.and_then(|tied| Some((keys::lock(tied.ties.lock.as_deref()?), tied.lock_for)));
        let (lock, lock_for) = lock.unwrap_or_default();
        let seconds = now as i64;
        let record =
            format!("{{\"jid\":\"{jid}\",\"enqueued\":\"{}\"}}", shown(seconds, IN_HISTORY));
        let mut script = scripts::CRON.prepare_invoke();
        script.arg(&self.key).arg(keys::cron_slots(&self.key)).arg(keys::cron_history(&self.key));
        script.arg(&self.schedule.text).arg(self.job.to_bytes());
        script.arg(slot).arg(now).arg(shown(slot, ISO));
        script.arg(now - keys::CRON_SLOTS_TTL.as_secs_f64()).arg(shown(seconds, ENQUEUED_AT));
        script.arg(keys::QUEUES).arg(&queue).arg(keys::queue(&queue));
        script.arg(if pass_over { Vec::new() } else { bytes });
        script.arg(record).arg(keys::CRON_HISTORY - 1);
        script.arg(lock).arg(lock_for).arg(&jid);
        Ok(match redis.connection().await?.run::<i64>(&script).await? {
            1 => {
                redis.wakes().pushed(&queue);
                Claim::Enqueued(jid)
            }
            0 => Claim::Settled,
            _ => Claim::Foreign,
        })
    }
}

/// Epoch seconds as a text in UTC.
pub(crate) fn shown(seconds: i64, format: &str) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().format(format).to_string()
}
