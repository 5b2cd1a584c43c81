//! The end of each delivery: what happened to the job and its removal from the in-flight hash
//! are one step in Redis, sent again until its reply is read.
//!
//! Plain successes gather while the last reply is on its way and leave as one HDEL, so no job
//! waits for a round trip of its own; under load that HDEL rides in front of the next fetch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use redis::{Cmd, RedisResult, ScriptInvocation, Value, cmd};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::delivery::Delivery;
use super::endings::{Ending, Endings, Unsent};
use super::fate::commands;
use super::inflight::Inflight;
use super::retry::Fate;
use super::scripts;
use super::session::{Lease, Session};

/// So many turns of the runtime a fetch gets to come by and take plain successes along.
const TURNS: usize = 3;

/// Takes outcomes and brings them to Redis.
pub(crate) struct Finisher {
    session: Arc<Session>,
    inflight: Arc<Inflight>,
    endings: Mutex<Endings>,
    returned: AtomicU64,
    /// A fetch will be sent as soon as a job has ended.
    fetch_expected: AtomicBool,
    wake: Notify,
    idle: Notify,
}

impl Finisher {
    pub(crate) fn new(session: Arc<Session>, inflight: Arc<Inflight>) -> Arc<Finisher> {
        let (wake, idle) = (Notify::new(), Notify::new());
        let (endings, returned) = (Mutex::default(), AtomicU64::new(0));
        let fetch_expected = AtomicBool::new(false);
        Arc::new(Finisher { session, inflight, endings, returned, fetch_expected, wake, idle })
    }

    /// Records the outcome of a delivery; the first one counts. Never waits, so that nothing can
    /// come between the end of a job and the record of it.
    pub(crate) fn finish(&self, delivery: Arc<Delivery>, fate: Fate) {
        if delivery.finish() {
            match fate {
                Fate::Return if !delivery.lost() => {
                    self.returned.fetch_add(1, Ordering::Relaxed);
                }
                Fate::Done { traces: None } => delivery.is_done(),
                _ => {}
            }
            self.with(|endings| {
                endings.waiting.push(Ending::new(delivery, fate));
            });
            self.wake.notify_one();
        }
    }

    /// How many deliveries went back to their queues so far: interrupted, or never started.
    pub(crate) fn returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }

    /// Whether whoever ends now can go with a fetch.
    pub(crate) fn expect_fetch(&self, soon: bool) {
        self.fetch_expected.store(soon, Ordering::Relaxed);
    }

    /// Plain successes that go with a request of somebody else's: their removal is part of it.
    pub(crate) fn board(&self) -> Vec<Ending> {
        self.with(Endings::take_plain)
    }

    /// What became of them.
    pub(crate) fn arrived(&self, riders: Vec<Ending>, reply: RedisResult<usize>) {
        let count = riders.len();
        let unsent = self.removed(riders, reply);
        let again = !unsent.is_empty();
        self.settle(count, unsent);
        if again {
            self.wake.notify_one();
        }
    }

    /// Sends what gathers, for the life of the process.
    pub(crate) async fn run(&self) {
        let mut failed_lease = 0;
        loop {
            // a point in time: under load somebody ends at any moment, and a pause would begin anew
            let again = self.with(|endings| endings.again);
            tokio::select! {
                () = self.wake.notified() => self.come_along().await,
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    self.with(Endings::try_again);
                }
            }
            while let Some(batch) = self.with(Endings::take) {
                let lease = self.session.lease_after(failed_lease).await;
                let count = batch.len();
                let unsent = self.send(&lease, batch).await;
                if !unsent.unanswered.is_empty() {
                    failed_lease = lease.number;
                }
                self.settle(count, unsent);
            }
        }
    }

    /// Whoever is about to end comes along; and perhaps they all go with a fetch.
    async fn come_along(&self) {
        yield_now().await;
        for _ in 1..TURNS {
            if self.fetch_expected.load(Ordering::Relaxed) {
                yield_now().await;
            }
        }
    }

    fn settle(&self, count: usize, unsent: Unsent) {
        self.with(|endings| endings.settle(count, unsent));
        self.idle.notify_waiters();
    }

    /// Resolves when every outcome recorded so far is known to Redis, or was refused by it.
    pub(crate) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            if self.with(|endings| endings.all_told()) {
                return;
            }
            idle.await;
        }
    }

    async fn send(&self, lease: &Lease, batch: Vec<Ending>) -> Unsent {
        let (plain, other): (Vec<_>, Vec<_>) = batch.into_iter().partition(Ending::is_plain);
        let (mut unsent, others) =
            tokio::join!(self.send_plain(lease, plain), self.send_other(lease, other));
        unsent.unanswered.extend(others.unanswered);
        unsent.refused.extend(others.refused);
        unsent
    }

    async fn send_plain(&self, lease: &Lease, batch: Vec<Ending>) -> Unsent {
        if batch.is_empty() {
            return Unsent::default();
        }
        let reply = lease.connection.query(&removal(&self.session, &batch)).await;
        self.removed(batch, reply)
    }

    fn removed(&self, batch: Vec<Ending>, reply: RedisResult<usize>) -> Unsent {
        let mut unsent = Unsent::default();
        match reply {
            Ok(removed) => {
                let first_time = batch.iter().filter(|ending| !ending.resent).count();
                self.count_lost(first_time.saturating_sub(removed), &batch);
                self.inflight.succeeded(batch.iter().map(|ending| ending.delivery.field));
            }
            Err(error) => batch.into_iter().for_each(|ending| unsent.add(ending, &error)),
        }
        unsent
    }

    async fn send_other(&self, lease: &Lease, batch: Vec<Ending>) -> Unsent {
        let send = async |ending| lease.connection.run(&settlement(&self.session, ending)).await;
        let replies = join_all(batch.iter().map(send)).await;
        let mut unsent = Unsent::default();
        for (ending, reply) in batch.into_iter().zip(replies) {
            match reply {
                Ok(reply) => self.ended(&ending, reply),
                Err(error) => unsent.add(ending, &error),
            }
        }
        unsent
    }

    fn ended(&self, ending: &Ending, reply: Option<Vec<Value>>) {
        let wakes = self.session.redis.wakes();
        if reply.is_some() && ending.delivery.limited() {
            wakes.freed(&ending.delivery.queue);
        }
        match (&reply, &ending.fate) {
            (None, _) => self.count_lost(usize::from(!ending.resent), std::slice::from_ref(ending)),
            (Some(_), Fate::Return) => wakes.pushed(&ending.delivery.queue),
            (Some(replies), Fate::Retry { .. } | Fate::Snooze { .. }) => {
                wakes.scheduled();
                self.count_collapse(replies.first());
            }
            (Some(replies), Fate::Dead { payload, will }) => {
                let replies = &replies[usize::from(will.is_some()).min(replies.len())..];
                if payload.is_some() {
                    self.count_collapse(replies.first());
                    self.count_trimmed(replies.get(1..3).unwrap_or_default());
                }
                if let Some(will) = will {
                    wakes.placed(&will.queue, will.at);
                }
            }
            _ => {}
        }
        match &ending.fate {
            Fate::Done { .. } | Fate::Discard { .. } => {
                self.inflight.succeeded([ending.delivery.field])
            }
            _ => self.inflight.remove([ending.delivery.field]),
        }
    }

    /// Jobs that were not in our hash any more: another process runs them, or did.
    fn count_lost(&self, lost: usize, endings: &[Ending]) {
        let known = endings.iter().filter(|ending| ending.delivery.lost()).count();
        self.session.counters.event("lost_leases", lost.saturating_sub(known) as u64);
    }

    /// ZADD answers 0 when the same bytes were there already: two jobs have become one.
    fn count_collapse(&self, added: Option<&Value>) {
        if added == Some(&Value::Int(0)) {
            self.session.counters.event("collapsed", 1);
        }
    }

    fn count_trimmed(&self, removed: &[Value]) {
        let number = |value: &Value| {
            if let Value::Int(n) = value { *n as u64 } else { 0 }
        };
        let trimmed = removed.iter().map(number).sum();
        if trimmed > 0 {
            tracing::warn!(jobs = trimmed, "the dead set was full or held very old jobs: trimmed");
            self.session.counters.event("dead_trimmed", trimmed);
        }
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Endings) -> T) -> T {
        use_it(&mut self.endings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What ends plain successes; its reply tells how many of them were still there.
pub(crate) fn removal(session: &Session, batch: &[Ending]) -> Cmd {
    let mut delete = cmd("HDEL");
    delete.arg(&session.inflight_key);
    for ending in batch {
        delete.arg(ending.delivery.name());
    }
    delete
}

/// What brings about any other end.
pub(crate) fn settlement(session: &Session, ending: &Ending) -> ScriptInvocation<'static> {
    let (delivery, now) = (&ending.delivery, session.redis.clock().now());
    let musts = commands(delivery, &ending.fate, now);
    let beside = ending.beside(session.identity(), now);
    let place = (&*session.inflight_key, &*delivery.name());
    scripts::finish(place, &session.anyway(), musts, beside)
}
