//! The sign of life, on a thread and a connection of its own: jobs that hog the runtime must not
//! look like a dead process. It also brings the counters to Redis and fetches remote commands.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use redis::{RedisResult, ScriptInvocation, pipe};
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant as TokioInstant, MissedTickBehavior, interval, sleep, sleep_until};

use super::connection::Connection;
use super::counters::Increments;
use super::delivery::Delivery;
use super::inflight::Inflight;
use super::keys;
use super::lifecycle::{Lifecycle, Phase};
use super::process::Vitals;
use super::redis::Redis;
use super::refusals::Refusals;
use super::scripts;
use super::session::Session;
use super::watchdog::Watchdog;

/// Remote commands are fetched this often where the server does not tell when there are some, …
const COMMANDS_EVERY: Duration = Duration::from_secs(1);
/// … and where it does.
const COMMANDS_SELDOM: Duration = Duration::from_secs(10);

/// What a heartbeat needs.
pub(crate) struct Heartbeat {
    pub(crate) session: Arc<Session>,
    pub(crate) inflight: Arc<Inflight>,
    pub(crate) lifecycle: Lifecycle,
    /// Asks for a last beat and the end.
    pub(crate) stop: Arc<Notify>,
    pub(crate) every: Duration,
}

impl Heartbeat {
    /// Starts the thread, the watchdog on it too; the receiver resolves when it has ended. It
    /// ends when the receiver is dropped: nobody beats for an engine that is gone.
    pub(crate) fn start(self, watchdog: Watchdog) -> anyhow::Result<oneshot::Receiver<()>> {
        let (mut ended, wait) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            runtime.block_on(async {
                let redis = self.session.redis.second();
                tokio::select! {
                    () = self.run(redis.clone()) => {}
                    () = watchdog.run(&redis) => {}
                    () = ended.closed() => {}
                }
            });
            let _ = ended.send(());
        })?;
        Ok(wait)
    }

    async fn run(&self, redis: Redis) {
        let (number, rtt, alone, gave_way, shown) = (0, Duration::ZERO, false, None, true);
        let refusals = self.session.redis.complaints().about("take a sign of life");
        let mut beats = Beats {
            heartbeat: self,
            redis,
            unsent: None,
            number,
            shown,
            rtt,
            alone,
            gave_way,
            refusals,
        };
        let mut beat = interval(self.every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (wakes, mut commands) = (beats.redis.wakes().clone(), TokioInstant::now());
        let mut quiet = pin!(self.lifecycle.reached(Phase::Quiet).fuse());
        loop {
            tokio::select! {
                biased; // a slow server leaves no time for all: first what life depends on
                () = self.stop.notified() => break,
                _ = beat.tick() => beats.beat().await,
                () = wakes.commands() => commands = beats.commands().await,
                () = sleep_until(commands) => commands = beats.commands().await,
                () = &mut quiet => beat.reset_immediately(), // whoever asked for it looks now
            }
        }
        beats.last().await;
    }
}

struct Beats<'a> {
    heartbeat: &'a Heartbeat,
    redis: Redis,
    /// Counters that Redis may not have yet, under the number they were sent with.
    unsent: Option<Increments>,
    number: u64,
    /// There may be running jobs to be seen in Redis.
    shown: bool,
    rtt: Duration,
    /// At the last look there was only our own connection.
    alone: bool,
    /// When we last gave it up for the other one.
    gave_way: Option<Instant>,
    refusals: Refusals,
}

impl Beats<'_> {
    async fn beat(&mut self) {
        self.make_room();
        let session = &self.heartbeat.session;
        if self.unsent.is_none() {
            self.unsent = Some(session.counters.take());
            self.number += 1;
        }
        let (sent, lease) = (Instant::now(), session.number());
        let busy = self.heartbeat.inflight.busy();
        self.shown |= !busy.is_empty();
        let time = self.send(&busy).await;
        self.rtt = sent.elapsed();
        match time {
            Ok(Some(time)) => {
                session.meter.beat.give();
                session.meter.rtt_micros.store(self.rtt.as_micros() as u64, Ordering::Relaxed);
                self.shown = !busy.is_empty();
                session.redis.clock().set(time, self.rtt);
                self.unsent = None;
                self.refusals.passed();
            }
            // no record: we were taken for dead, or never registered; peers may have our jobs
            Ok(None) => session.renew_if(lease),
            Err(error) => drop(self.refusals.note(&error)),
        }
    }

    /// The last numbers. Those of a beat without a reply go first, on a connection that may
    /// have to come back before.
    async fn last(&mut self) {
        for _ in 0..5 {
            let latest = self.unsent.is_none();
            self.beat().await;
            match self.unsent {
                None if latest => return,
                None => {}
                Some(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn send(&self, busy: &[Arc<Delivery>]) -> RedisResult<Option<(i64, i64)>> {
        let mut script = scripts::BEAT.prepare_invoke();
        self.put_head(&mut script, busy.len());
        self.put_work(&mut script, busy);
        if let Some(increments) = &self.unsent {
            put_counters(&mut script, increments, self.redis.clock().now());
        }
        self.connection().await?.run(&script).await
    }

    /// Our own if it is there. Small plans run out of connections: better a beat that a busy
    /// runtime may delay than a living process that looks dead.
    async fn connection(&self) -> RedisResult<Connection> {
        match self.redis.at_hand() {
            Some(own) => Ok(own),
            None => tokio::select! {
                either = self.heartbeat.session.redis.connection() => either,
                Ok(own) = self.redis.connection() => Ok(own),
            },
        }
    }

    /// If there is one place at the server, it must not be the heartbeat's: with it alone the
    /// process lives, but neither takes nor ends a job. The keeper of the second connection waits
    /// long enough for the first to take the place. Not at every beat: a runtime that is stuck
    /// takes no place, and its heartbeat must go on.
    fn make_room(&mut self) {
        let first_is_there = self.heartbeat.session.redis.at_hand().is_some();
        let ttl = self.heartbeat.session.ttl;
        let due = self.alone && self.gave_way.is_none_or(|at| at.elapsed() > ttl);
        match self.redis.at_hand() {
            Some(own) if !first_is_there && due => {
                own.kill();
                self.gave_way = Some(Instant::now());
            }
            own => self.alone = own.is_some() && !first_is_there,
        }
    }

    fn put_head(&self, script: &mut ScriptInvocation<'_>, busy: usize) {
        let session = &self.heartbeat.session;
        let vitals = Vitals {
            now: self.redis.clock().now(),
            busy,
            quiet: self.heartbeat.lifecycle.phase() > Phase::Running,
            rtt_micros: self.rtt.as_micros(),
        };
        let record = session.process.record(&vitals);
        script.arg(session.identity()).arg(session.ttl.as_millis() as u64);
        script.arg(keys::PROCESSES).arg(self.number);
        script.arg(keys::beats(session.identity())).arg(keys::BEATS_TTL.as_secs());
        script.arg(keys::UNBROKEN);
        script.arg(record.len() + 2).arg(record).arg("beats").arg(self.number);
    }

    fn put_work(&self, script: &mut ScriptInvocation<'_>, busy: &[Arc<Delivery>]) {
        let identity = self.heartbeat.session.identity();
        match self.shown {
            true => script.arg(2).arg(keys::work(identity)).arg(keys::workers(identity)),
            false => script.arg(0),
        };
        script.arg(busy.len() * 2);
        let now = self.redis.clock().now();
        for job in busy {
            let since = (now - job.since.elapsed().as_secs_f64()) as u64;
            let payload = job.shown();
            let entry = json!({"queue": &*job.queue, "payload": payload, "run_at": since});
            script.arg(job.field.to_string()).arg(entry.to_string());
        }
    }

    /// Does what Sidekiq's API has asked this process for; returns when to look again.
    async fn commands(&mut self) -> TokioInstant {
        let watched = self.pop_commands().await.unwrap_or(false);
        let pause = if watched { COMMANDS_SELDOM } else { COMMANDS_EVERY };
        TokioInstant::now() + pause.min(2 * self.heartbeat.every)
    }

    /// Who sends these means a worker. One that is part of a web process only tells what it does,
    /// as Sidekiq's does; its API knows and offers no more.
    fn obey(&self, name: &str) {
        if self.heartbeat.session.process.embedded && name != "TTIN" {
            tracing::warn!(command = name, "remote command ignored: this worker is part of `web`");
            return;
        }
        self.heartbeat.lifecycle.command(name);
    }

    /// Returns whether the server will tell of the next ones.
    async fn pop_commands(&mut self) -> RedisResult<bool> {
        let key = keys::signals(self.heartbeat.session.identity());
        let connection = self.connection().await?;
        let mut look = pipe();
        // the other way round, our own removal would end the watch
        look.cmd("RPOP").arg(&key).arg(10).cmd("EXISTS").arg(&key);
        loop {
            let (names, more): (Option<Vec<String>>, bool) = connection.pipe(&look).await?;
            for name in names.unwrap_or_default() {
                self.obey(&name);
            }
            if !more {
                let own = self.redis.at_hand();
                return Ok(connection.tracking && own.is_some_and(|own| own.is(&connection)));
            }
        }
    }
}

fn put_counters(script: &mut ScriptInvocation<'_>, increments: &Increments, now: f64) {
    let time = DateTime::<Utc>::from_timestamp(now as i64, 0).unwrap_or_default();
    for command in increments.commands(&time) {
        script.arg(command.len()).arg(command);
    }
}
