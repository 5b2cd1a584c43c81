//! The loop that takes jobs: waits for something to do and for a place to do it, then starts
//! one task per job. It never fetches ahead: a job that is here runs.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::delivery::Delivery;
use super::fetch::{Fetcher, MAX_JOBS};
use super::inflight::Inflight;
use super::lifecycle::{Lifecycle, Phase};
use super::processor::Processor;
use super::retry::Fate;
use super::session::Lease;
use super::suspects;

/// Takes and starts jobs.
pub(crate) struct Intake {
    pub(crate) fetcher: Fetcher,
    pub(crate) processor: Arc<Processor>,
    pub(crate) inflight: Arc<Inflight>,
    pub(crate) permits: Arc<Semaphore>,
    /// One place for the suspects.
    pub(crate) apart: Arc<Semaphore>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) safety_poll: Duration,
    pub(crate) concurrency: usize,
}

impl Intake {
    /// Runs until the process takes no more jobs.
    pub(crate) async fn run(mut self) {
        let lifecycle = self.lifecycle.clone();
        let (mut misses, mut said) = (0, false);
        let mut next_poll = Instant::now();
        loop {
            let ready = async {
                self.woken(next_poll).await;
                self.processor.finisher.expect_fetch(true);
                let permits = self.free_permits().await;
                self.fetcher.rested().await;
                (permits, self.processor.session.lease_after(0).await)
            };
            // only the waiting may be cut short; a fetch once sent is awaited
            let (permits, lease) = tokio::select! {
                ready = ready => ready,
                () = lifecycle.reached(Phase::Quiet) => return,
            };
            // by the clock alone: under a backlog some queue is always dirty, and one whose
            // notice was missed would wait until there is none
            let poll = Instant::now() >= next_poll;
            let deliveries = self.fetcher.fetch(&lease, permits.num_permits(), poll).await;
            let found = !deliveries.is_empty();
            self.start(deliveries, permits);
            if poll || !lease.connection.tracking {
                next_poll = Instant::now() + self.pause(&lease, found, &mut said);
            }
            misses = if found || poll { 0 } else { misses + 1 };
            if misses > 0 {
                // somebody else was quicker; a large idle fleet must not stampede
                sleep(Duration::from_micros(500 << misses.min(6))).await;
            }
        }
    }

    /// Waits for a change or the time of the next look at everything.
    async fn woken(&self, next_poll: Instant) {
        let wakes = self.processor.session.redis.wakes();
        let until = self.fetcher.alarm().map_or(next_poll, |alarm| alarm.min(next_poll));
        while !wakes.any() && Instant::now() < until {
            tokio::select! {
                () = wakes.fetcher() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Between two looks at everything: some seconds, or often where the server tells nothing.
    fn pause(&self, lease: &Lease, found: bool, said: &mut bool) -> Duration {
        if lease.connection.tracking {
            return self.safety_poll.mul_f64(0.75 + fastrand::f64() / 2.0);
        }
        if !std::mem::replace(said, true) {
            tracing::warn!(
                "the server does not report changes (no RESP3 tracking): polling instead"
            );
        }
        Duration::from_millis(if found { 1 } else { 200 })
    }

    /// All that is free, at least one.
    async fn free_permits(&self) -> OwnedSemaphorePermit {
        let Ok(mut permits) = self.permits.clone().acquire_owned().await else {
            return std::future::pending().await; // never closed
        };
        // whoever is about to end shall: one call for many costs hardly more than for one. An idle
        // worker has nobody to wait for, and a turn of the runtime may lead to another thread
        if self.permits.available_permits() + 1 < self.concurrency {
            yield_now().await;
        }
        let more = self.permits.available_permits().min(MAX_JOBS - 1) as u32;
        if let Ok(more) = self.permits.clone().try_acquire_many_owned(more) {
            permits.merge(more);
        }
        permits
    }

    fn start(&self, deliveries: Vec<Arc<Delivery>>, mut permits: OwnedSemaphorePermit) {
        if self.lifecycle.phase() > Phase::Running {
            // taken while the stop came: never started. Newest first, so that the oldest ends
            // up at the head
            for delivery in deliveries.into_iter().rev() {
                self.processor.finisher.finish(delivery, Fate::Return);
            }
            return;
        }
        for delivery in deliveries {
            let permit = permits.split(1);
            let apart = match delivery.accusation() {
                None => None,
                Some(_) => match self.apart.clone().try_acquire_owned() {
                    Ok(apart) => Some(apart),
                    Err(_) => {
                        self.processor.postpone(&delivery);
                        continue;
                    }
                },
            };
            let (field, processor) = (delivery.field, self.processor.clone());
            let inflight = self.inflight.clone();
            let run = tokio::spawn(async move {
                if apart.is_some() {
                    // rare and large: in a box, or every job's task has room for it
                    Box::pin(suspects::accuse(&processor.session, &delivery)).await;
                }
                delivery.watched(pin!(processor.process(delivery.clone()))).await;
                drop(permit);
                // the next suspect starts when Redis knows the end of this one, which would be
                // blamed for its doings otherwise
                while apart.is_some() && inflight.holds(field) {
                    sleep(Duration::from_millis(5)).await;
                }
            });
            self.inflight.running(field, run.abort_handle());
        }
    }
}
