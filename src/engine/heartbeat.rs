//! The sign of life, on a thread and a connection of its own: jobs that hog the runtime must not
//! look like a dead process. It also brings the counters to Redis and fetches remote commands.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use redis::{RedisResult, ScriptInvocation, cmd};
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::counters::Increments;
use super::inflight::{Delivery, Inflight};
use super::keys;
use super::lifecycle::{Lifecycle, Phase};
use super::process::Vitals;
use super::redis::Redis;
use super::scripts;
use super::session::Session;
use super::watchdog::Watchdog;

/// Remote commands are fetched this often.
const COMMANDS_EVERY: Duration = Duration::from_secs(1);

/// What the beats tell the rest of the process, and the other way round.
pub(crate) struct Pulse {
    /// Since when no beat has been missed, and the last one.
    unbroken: Mutex<Option<(Instant, Instant)>>,
    stop: Notify,
    ttl: Duration,
}

impl Pulse {
    pub(crate) fn new(ttl: Duration) -> Arc<Pulse> {
        Arc::new(Pulse { unbroken: Mutex::default(), stop: Notify::new(), ttl })
    }

    /// Whether our own beats have come through for a full lifetime. Only then is a silent peer
    /// dead; after an outage of Redis everybody's record has expired. A gap of half a lifetime
    /// counts as one: the others' last beats may be older than ours, and they too need time to
    /// come back.
    pub(crate) fn steady(&self) -> bool {
        let unbroken = *self.unbroken.lock().unwrap_or_else(PoisonError::into_inner);
        unbroken.is_some_and(|(since, last)| {
            since.elapsed() >= self.ttl && last.elapsed() < self.longest_gap()
        })
    }

    /// Between two beats. Well under the lifetime: after an outage almost as long, a peer whose
    /// last beat was a little earlier, or whose connection comes back a little later, has expired.
    fn longest_gap(&self) -> Duration {
        self.ttl / 2
    }

    fn beaten(&self) {
        let mut unbroken = self.unbroken.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = unbroken
            .filter(|(_, last)| last.elapsed() < self.longest_gap())
            .map(|(since, _)| since);
        *unbroken = Some((since.unwrap_or(now), now));
    }

    fn broken(&self) {
        *self.unbroken.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Asks for a last beat and the end.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }
}

/// What a heartbeat needs.
pub(crate) struct Heartbeat {
    pub(crate) session: Arc<Session>,
    pub(crate) inflight: Arc<Inflight>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) pulse: Arc<Pulse>,
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
        let mut beats =
            Beats { heartbeat: self, redis, unsent: None, number: 0, rtt: Duration::ZERO };
        let (mut beat, mut commands) =
            (interval(self.every), interval(COMMANDS_EVERY.min(self.every)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        commands.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => beats.beat().await,
                _ = commands.tick() => beats.commands().await,
                () = self.pulse.stop.notified() => break,
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
    rtt: Duration,
}

impl Beats<'_> {
    async fn beat(&mut self) {
        let session = &self.heartbeat.session;
        if self.unsent.is_none() {
            self.unsent = Some(session.counters.take());
            self.number += 1;
        }
        let (sent, lease) = (Instant::now(), session.number());
        let time = self.send().await;
        self.rtt = sent.elapsed();
        match time {
            Ok(Some(time)) => {
                session.redis.clock().set(time, self.rtt);
                self.unsent = None;
                self.heartbeat.pulse.beaten();
            }
            Ok(None) => {
                // no record: we were taken for dead, or never registered; peers may have our jobs
                self.heartbeat.pulse.broken();
                session.renew_if(lease);
            }
            Err(error) => tracing::debug!(%error, "a heartbeat failed"),
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

    async fn send(&self) -> RedisResult<Option<(i64, i64)>> {
        let busy = self.heartbeat.inflight.busy();
        let mut script = scripts::BEAT.prepare_invoke();
        self.put_head(&mut script, busy.len());
        self.put_work(&mut script, &busy);
        if let Some(increments) = &self.unsent {
            put_counters(&mut script, increments, self.redis.clock().now());
        }
        match self.redis.connection().await {
            Ok(own) => own.run(&script).await,
            // small plans run out of connections: better a beat that a busy runtime may delay
            // than a living process that looks dead
            Err(_) => self.heartbeat.session.redis.connection().await?.run(&script).await,
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
        script.arg(record.len()).arg(record);
    }

    fn put_work(&self, script: &mut ScriptInvocation<'_>, busy: &[Arc<Delivery>]) {
        let identity = self.heartbeat.session.identity();
        script.arg(2).arg(keys::work(identity)).arg(keys::workers(identity));
        script.arg(busy.len() * 2);
        let now = self.redis.clock().now();
        for job in busy {
            let since = (now - job.since.elapsed().as_secs_f64()) as u64;
            let payload = job.shown();
            let entry = json!({"queue": &*job.queue, "payload": payload, "run_at": since});
            script.arg(job.field.to_string()).arg(entry.to_string());
        }
    }

    async fn commands(&mut self) {
        let mut pop = cmd("RPOP");
        pop.arg(keys::signals(self.heartbeat.session.identity())).arg(10);
        let names: RedisResult<Option<Vec<String>>> = self.redis.query(&pop).await;
        for name in names.ok().flatten().unwrap_or_default() {
            self.heartbeat.lifecycle.command(&name);
        }
    }
}

fn put_counters(script: &mut ScriptInvocation<'_>, increments: &Increments, now: f64) {
    let day = DateTime::<Utc>::from_timestamp(now as i64, 0).unwrap_or_default();
    let day = day.format("%Y-%m-%d").to_string();
    for (kind, by) in [("processed", increments.processed), ("failed", increments.failed)] {
        if by > 0 {
            script.arg(keys::stat(kind, None)).arg("").arg(by).arg(0);
            let ttl = keys::STAT_TTL.as_secs();
            script.arg(keys::stat(kind, Some(&day))).arg("").arg(by).arg(ttl);
        }
    }
    for (name, by) in &increments.events {
        script.arg(keys::COUNTERS).arg(*name).arg(*by).arg(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_makes_us_wait_a_full_lifetime_again() {
        let pulse = Pulse::new(Duration::from_millis(200));
        let pause = |ms| thread::sleep(Duration::from_millis(ms));
        pulse.beaten();
        pause(150); // Redis was away for almost a lifetime
        pulse.beaten();
        pause(60);
        pulse.beaten();
        assert!(!pulse.steady());
    }
}
