//! The list of cron lines in Redis, as one process keeps it: what the registry has is written, and
//! what it lacks goes, with all that is known of it. (Any process enqueues what is due; `cron`.)
//!
//! The process that started last keeps the list: after a deploy a new one. It says that it lives
//! in every look; when it has been silent, whoever looks next keeps the list as *it* has it. So
//! while old and new run side by side, and whichever ends first, the list is that of a process
//! that lives, and a line that somebody's list lacks is nobody's loss for longer than that takes.

use std::time::Duration;

use redis::{RedisResult, cmd};
use tokio::time::Instant;

use super::cron_line::CronLine;
use super::errors::breaks_connection;
use super::jid::new_jid;
use super::keys;
use super::redis::Redis;
use super::refusals::Refusals;
use super::scripts;

/// How often it says that it lives, and looks whether others do.
const LOOK: Duration = Duration::from_secs(30);
/// How often the list is written once more: lines may have been lost or deleted.
const AGAIN: Duration = Duration::from_secs(3_600);

/// The part of a process that keeps the list.
pub(crate) struct Crontab {
    redis: Redis,
    id: String,
    started: bool,
    looked: Option<Instant>,
    /// When all of the list was written, if no other process has kept it since.
    written: Option<Instant>,
    refusals: Refusals,
}

impl Crontab {
    pub(crate) fn new(redis: Redis) -> Crontab {
        let refusals = redis.complaints().about("keep the list of cron lines");
        let (started, looked, written) = (false, None, None);
        Crontab { redis, id: new_jid(), started, looked, written, refusals }
    }

    /// Looks after the list if it is time; false if that failed.
    pub(crate) async fn look(&mut self, lines: &[CronLine]) -> bool {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK.mul_f64(0.9)) {
            return true;
        }
        let kept = self.keep(lines).await;
        if !kept.as_ref().is_err_and(breaks_connection) {
            self.looked = Some(Instant::now());
        }
        match &kept {
            Ok(()) => self.refusals.passed(),
            Err(error) => drop(self.refusals.note(error)),
        }
        kept.is_ok()
    }

    async fn keep(&mut self, lines: &[CronLine]) -> RedisResult<()> {
        if !self.is_ours().await? {
            self.written = None;
            return Ok(());
        }
        if self.written.is_some_and(|written| written.elapsed() < AGAIN) {
            return Ok(());
        }
        let mut failure = self.remove_others(lines).await.err();
        for line in lines {
            match line.write(&self.redis, &self.id).await {
                Ok(true) => tracing::info!(cron = line.name, "new, or at other times: from now on"),
                Ok(false) => {}
                Err(error) => failure = Some(line.blame(error)),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => {
                self.written = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Whether it is this process that keeps the list.
    async fn is_ours(&mut self) -> RedisResult<bool> {
        let mut set = cmd("SET");
        set.arg(keys::CRON_KEEPER).arg(&self.id).arg("EX").arg(keys::CRON_KEEPER_TTL.as_secs());
        if !self.started {
            let () = self.redis.query(&set).await?;
            self.started = true;
            return Ok(true);
        }
        match self.redis.query::<Option<String>>(cmd("GET").arg(keys::CRON_KEEPER)).await? {
            Some(id) if id == self.id => {
                let mut expire = cmd("EXPIRE");
                expire.arg(keys::CRON_KEEPER).arg(keys::CRON_KEEPER_TTL.as_secs());
                self.redis.query(&expire).await
            }
            Some(_) => Ok(false),
            None => {
                self.written = None;
                Ok(self.redis.query::<Option<String>>(set.arg("NX")).await?.is_some())
            }
        }
    }

    /// Removes what the list lacks.
    async fn remove_others(&self, lines: &[CronLine]) -> RedisResult<()> {
        let all: Vec<String> = self.redis.query(cmd("SMEMBERS").arg(keys::CRON_LINES)).await?;
        let connection = self.redis.connection().await?;
        for line in all.iter().filter(|key| lines.iter().all(|line| line.key() != *key)) {
            let mut script = scripts::CRON_REMOVE.prepare_invoke();
            script.arg(keys::CRON_KEEPER).arg(&self.id).arg(keys::CRON_LINES).arg(line);
            script.arg(keys::cron_slots(line)).arg(keys::cron_history(line));
            if connection.run(&script).await? {
                tracing::info!(cron = line, "removed: it is not in the list any more");
            }
        }
        Ok(())
    }
}
