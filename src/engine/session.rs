//! The lease: which connection of this process may take jobs at the moment.
//!
//! Every new connection registers and thereby fences off the ones before it: a request that was
//! on its way when they broke is refused from then on. So at a registration every doubt can be
//! decided, by comparing what Redis holds for us with what we remember.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, cmd};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;

use super::connection::Connection;
use super::counters::Counters;
use super::delivery::Delivery;
use super::errors::{breaks_connection, is_wrong_type};
use super::fate::beside;
use super::field::{Field, split_name};
use super::head::Head;
use super::inflight::Inflight;
use super::jid::known_as;
use super::keys;
use super::meter::Meter;
use super::process::{Process, Vitals};
use super::records;
use super::redis::Redis;
use super::retry::Fate;
use super::scripts;
use super::status::{Draft, Report};
use super::ties::Ties;
use super::tracker::Tracker;

/// The right to take jobs: a number that Redis compares, and the connection it was given on.
#[derive(Clone)]
pub(crate) struct Lease {
    pub(crate) number: u64,
    pub(crate) connection: Connection,
}

/// Keeps this process registered.
pub(crate) struct Session {
    pub(crate) redis: Redis,
    pub(crate) process: Arc<Process>,
    pub(crate) inflight_key: String,
    pub(crate) counters: Arc<Counters>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) ttl: Duration,
    pub(crate) tracker: Tracker,
    inflight: Arc<Inflight>,
    lease: watch::Sender<Option<Lease>>,
    renew: Notify,
}

impl Session {
    pub(crate) fn new(
        redis: Redis,
        process: Arc<Process>,
        meter: Arc<Meter>,
        ttl: Duration,
    ) -> Arc<Session> {
        let (inflight, counters) = (meter.inflight.clone(), meter.counters.clone());
        let inflight_key = keys::inflight(&process.identity);
        let (lease, renew) = (watch::Sender::new(None), Notify::new());
        let tracker = Tracker::default();
        Arc::new(Session {
            redis,
            process,
            inflight_key,
            counters,
            meter,
            ttl,
            tracker,
            inflight,
            lease,
            renew,
        })
    }

    pub(crate) fn identity(&self) -> &str {
        &self.process.identity
    }

    /// What a script wants to know (`dead.lua`) to act only if this process is dead, …
    pub(crate) fn if_dead(&self, owner: &str) -> [String; 3] {
        let ttl = self.ttl.as_millis().to_string();
        [owner.to_owned(), keys::UNBROKEN.to_owned(), ttl]
    }

    /// … or in any case, on what is our own.
    pub(crate) fn anyway(&self) -> [String; 3] {
        self.if_dead("")
    }

    /// The lease with a number above this, as soon as there is one. Pass the number of one that
    /// failed; 0 for any.
    pub(crate) async fn lease_after(&self, number: u64) -> Lease {
        let mut changes = self.lease.subscribe();
        let newer = |lease: &Option<Lease>| lease.as_ref().is_some_and(|l| l.number > number);
        match changes.wait_for(newer).await.map(|lease| lease.clone()) {
            Ok(Some(lease)) => lease,
            _ => std::future::pending().await, // we hold the sender: cannot happen
        }
    }

    /// Asks Redis until it does it: an outage makes whoever asks wait, not fail. An error only
    /// where waiting cannot help, because somebody keeps something else under the key.
    pub(crate) async fn persist<T, Reply>(&self, request: impl Fn(Lease) -> Reply) -> RedisResult<T>
    where
        Reply: Future<Output = RedisResult<T>>,
    {
        let mut failed = 0;
        let mut refusals = self.redis.complaints().about("keep what belongs to a job");
        loop {
            let lease = self.lease_after(failed).await;
            match request(lease.clone()).await {
                Ok(reply) => {
                    refusals.passed();
                    return Ok(reply);
                }
                Err(error) if breaks_connection(&error) => failed = lease.number,
                Err(error) if is_wrong_type(&error) => return Err(error),
                Err(error) => sleep(refusals.note(&error)).await,
            }
        }
    }

    /// Registers anew: a batch is in doubt.
    pub(crate) fn renew(&self) {
        self.renew.notify_one();
    }

    /// Registers anew if this is still the lease: Redis does not know it any more.
    pub(crate) fn renew_if(&self, number: u64) {
        let current = self.lease.borrow().as_ref().map(|lease| lease.number);
        if current == Some(number) {
            self.renew();
        }
    }

    /// The number of the lease at the moment; 0 without one.
    pub(crate) fn number(&self) -> u64 {
        self.lease.borrow().as_ref().map_or(0, |lease| lease.number)
    }

    /// Registers on every new connection and whenever asked to, for the life of the process.
    /// Deliveries of a batch whose reply was lost go to `decided` (an empty list if it took none).
    pub(crate) async fn keep(&self, decided: mpsc::UnboundedSender<Vec<Arc<Delivery>>>) {
        let mut number = 0;
        let mut last = 0;
        let mut refusals = self.redis.complaints().about("register this process");
        while let Ok(connection) = self.redis.newer_than(last).await {
            number += 1;
            match self.register(&connection, number, &decided).await {
                Ok(()) => {
                    refusals.passed();
                    let lease = Lease { number, connection: connection.clone() };
                    self.lease.send_replace(Some(lease));
                    tokio::select! {
                        () = self.redis.ended(connection.number) => last = connection.number,
                        () = self.renew.notified() => {}
                    }
                    self.lease.send_replace(None);
                }
                Err(error) => sleep(refusals.note(&error)).await,
            }
        }
    }

    async fn register(
        &self,
        connection: &Connection,
        number: u64,
        decided: &mpsc::UnboundedSender<Vec<Arc<Delivery>>>,
    ) -> RedisResult<()> {
        let busy = self.inflight.busy().len();
        let vitals = Vitals { now: self.redis.clock().now(), busy, quiet: false, rtt_micros: 0 };
        let mut script = scripts::REGISTER.prepare_invoke();
        script.arg(self.identity()).arg(number).arg(self.ttl.as_millis() as u64);
        script.arg(&self.inflight_key).arg(keys::OWNERS).arg(keys::PROCESSES);
        script.arg(self.process.record(&vitals));
        let held: Option<Vec<String>> = connection.run(&script).await?;
        let Some(held) = held else { return Ok(()) }; // a later registration of ours is there
        let held = held.into_iter().filter_map(|name| Some((split_name(&name)?.0, name)));
        let held: BTreeMap<Field, String> = held.collect();
        let named = |fields: &[Field]| fields.iter().map(|field| held[field].clone()).collect();
        // newest first: what goes back to the head of a queue must
        let fields: Vec<Field> = held.keys().rev().copied().collect();
        let found = self.inflight.compare(&fields);
        self.report_lost(found.lost);
        if found.decides {
            let adopted = self.adopt(connection, named(&found.adopt)).await?;
            self.inflight.enter(&adopted);
            let _ = decided.send(adopted);
        }
        self.delete(connection, named(&found.succeeded)).await?;
        self.restore(connection, named(&found.forgotten)).await
    }

    /// Reads what a fetch took whose reply never came.
    async fn adopt(
        &self,
        connection: &Connection,
        names: Vec<String>,
    ) -> RedisResult<Vec<Arc<Delivery>>> {
        let mut adopted = Vec::with_capacity(names.len());
        let mut rest = &names[..];
        while !rest.is_empty() {
            let values = records::read(connection, &self.inflight_key, rest).await?;
            let (read, next) = rest.split_at(values.len());
            let found = read.iter().zip(values);
            adopted.extend(found.filter_map(|(name, raw)| Delivery::from_record(name, raw?)));
            rest = next;
        }
        adopted.sort_unstable_by_key(|delivery| delivery.field);
        Ok(adopted)
    }

    /// Redis has lost what became of these (a restart from a snapshot, a failover): they run
    /// again.
    async fn restore(&self, connection: &Connection, forgotten: Vec<String>) -> RedisResult<()> {
        for names in forgotten.chunks(500) {
            let mut script = scripts::REQUEUE.prepare_invoke();
            script.arg(&self.inflight_key).arg(&self.anyway());
            script.arg(keys::QUEUES).arg(keys::QUEUE_PREFIX);
            script.arg(keys::RESCUES).arg(0).arg(keys::RUNNING_PREFIX).arg(self.identity());
            for name in names {
                script.arg(name).arg("").arg("");
            }
            let jobs: u64 = connection.run(&script).await?;
            if jobs > 0 {
                // none: they ended while we looked
                tracing::warn!(jobs, "Redis has lost the ends of jobs: they run again");
                self.counters.event("restored", jobs);
                self.redis.wakes().everything();
            }
        }
        Ok(())
    }

    /// These have ended well. Redis may also have gone back on what was settled beside.
    async fn delete(&self, connection: &Connection, succeeded: Vec<String>) -> RedisResult<()> {
        let mut rest = &succeeded[..];
        while !rest.is_empty() {
            let values = records::read(connection, &self.inflight_key, rest).await?;
            let (read, next) = rest.split_at(values.len());
            for (name, raw) in read.iter().zip(values) {
                self.settle(connection, name, &raw.unwrap_or_default()).await?;
            }
            rest = next;
        }
        for names in succeeded.chunks(1_000) {
            let mut delete = cmd("HDEL");
            delete.arg(&self.inflight_key).arg(names);
            connection.query::<()>(&delete).await?;
        }
        Ok(())
    }

    /// The end of a job that has ties, once more.
    async fn settle(&self, connection: &Connection, name: &str, raw: &[u8]) -> RedisResult<()> {
        let Ok(head) = Head::parse(raw) else { return Ok(()) };
        let (ties, jid) = (Ties::of(&head), known_as(raw, head.jid.as_deref()));
        if !ties.any() {
            return Ok(());
        }
        let fate = Fate::Done { traces: None };
        let (now, report) = (self.redis.clock().now(), Report::of(&fate, Draft::default()));
        let beside = beside(&ties, &jid, &fate, report, now);
        let place = (&*self.inflight_key, name);
        connection.run(&scripts::finish(place, &self.anyway(), Vec::new(), beside)).await
    }

    fn report_lost(&self, lost: usize) {
        if lost > 0 {
            tracing::warn!(
                jobs = lost,
                "running jobs are no longer ours: another process has them"
            );
            self.counters.event("lost_leases", lost as u64);
        }
    }
}
