//! What becomes of a run: counted, told, decided. The rules themselves are in `retry`.

use std::sync::Arc;
use std::time::Duration;

use tracing::Span;

use super::counters::Counters;
use super::delivery::Delivery;
use super::failed::{Failed, Listeners};
use super::jid::new_jid;
use super::lifecycle::{Lifecycle, Phase};
use super::notice::{Notice, Notices, StuckJob};
use super::outcome::Outcome;
use super::payload::Payload;
use super::placed::Placed;
use super::readable::{cut, without_values};
use super::reaper::Registered;
use super::registry::{Handler, Handlers};
use super::retry::{self, Failure, Fate, Moment, Stop};
use super::session::Session;

/// Decides what becomes of deliveries.
pub(crate) struct Judge {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) session: Arc<Session>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) notices: Notices,
    pub(crate) listeners: Listeners,
}

/// A run of a class that is registered.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) handler: &'a Handler,
    pub(crate) took: Duration,
}

impl Judge {
    /// Again after so many seconds, and no failure.
    pub(crate) fn later(&self, delivery: &Delivery, pause: f64) -> Fate {
        let at = self.session.redis.clock().now() + pause;
        Fate::Snooze { at, payload: with_jid(&delivery.raw) }
    }

    /// What becomes of a delivery whose run has ended so.
    pub(crate) fn fate(&self, delivery: &Delivery, known: Option<Known>, outcome: Outcome) -> Fate {
        let _within = delivery.span().map(Span::enter);
        match outcome {
            Outcome::Success { iterated } => {
                self.ran(known, false);
                let traces = iterated || delivery.rescued();
                Fate::Done { traces: traces.then(|| delivery.jid().to_owned()) }
            }
            Outcome::Error(error) => match error.downcast_ref::<Stop>().copied() {
                Some(stop) => self.stopped(delivery, known, stop, error),
                None => self.failed(delivery, known, Failure::of(error)),
            },
            Outcome::Failure(failure) => self.failed(delivery, known, failure),
            Outcome::Expired => self.dropped(delivery, "expired", "expired before it could run"),
        }
    }

    /// Not to be done any more, though nothing failed.
    fn dropped(&self, delivery: &Delivery, counter: &'static str, why: &str) -> Fate {
        self.counters.event(counter, 1);
        tracing::info!(
            job.class = delivery.class(),
            job.jid = delivery.jid(),
            queue = cut(&delivery.queue),
            "{why}: dropped"
        );
        delivery.drafted(|draft| draft.failed(why));
        Fate::Discard { traces: Some(delivery.jid().to_owned()), dead: true }
    }

    /// A run has come to an end that counts.
    fn ran(&self, known: Option<Known>, failed: bool) {
        self.counters.ran(failed);
        match known {
            Some(Known { handler, .. }) if failed => handler.tally.failed(),
            Some(Known { handler, took }) => handler.tally.succeeded(took),
            // nobody knows the class, so nothing ran
            None => self.counters.strangers.failed(),
        }
    }

    fn stopped(
        &self,
        delivery: &Delivery,
        known: Option<Known>,
        stop: Stop,
        error: anyhow::Error,
    ) -> Fate {
        let now = self.session.redis.clock().now();
        match stop {
            Stop::Discard => {
                self.ran(known, false);
                self.counters.event("discarded", 1);
                tracing::info!(
                    job.class = delivery.class(),
                    job.jid = delivery.jid(),
                    queue = cut(&delivery.queue),
                    reason = format!("{error:#}"),
                    "discarded by the job itself"
                );
                Fate::Discard { traces: Some(delivery.jid().to_owned()), dead: false }
            }
            Stop::Kill => {
                self.ran(known, true);
                let failure = Failure::of(error);
                let payload = retry::buried(&delivery.raw, &delivery.queue, &failure, now);
                self.report(delivery, &failure, "given up by the job itself: in the dead set");
                self.counters.event("buried", 1);
                Fate::Dead {
                    payload: Some(payload),
                    will: self.tell(delivery, &failure, true, now),
                }
            }
            // a job's own idea: at once again, it would run in circles
            Stop::Interrupted if self.lifecycle.phase() == Phase::Running => {
                self.later(delivery, 1.0)
            }
            Stop::Interrupted => {
                self.counters.event("interrupted", 1);
                Fate::Return
            }
            Stop::Cancelled => {
                self.ran(known, false);
                self.dropped(delivery, "cancelled", "cancelled")
            }
            // if Redis agrees, this does nothing; if not, the job must not vanish
            Stop::LostLease => Fate::Return,
            Stop::Snooze(pause) => self.later(delivery, pause.as_secs_f64()),
        }
    }

    /// The same for one that failed.
    pub(crate) fn failed(
        &self,
        delivery: &Delivery,
        known: Option<Known>,
        failure: Failure,
    ) -> Fate {
        self.ran(known, true);
        if failure.class == retry::TIMEOUT {
            let process = self.session.identity().to_owned();
            let (job, reason) = (StuckJob::of(delivery), failure.message.clone());
            self.notices.tell(Notice::TimedOut { process, job, reason });
        }
        let moment = Moment { now: self.session.redis.clock().now(), dice: fastrand::f64() };
        let rule = known.map(|known| known.handler.rule);
        let mut fate = retry::failed(&delivery.raw, &delivery.queue, rule, &failure, &moment);
        let left = self.tell(delivery, &failure, fate.is_final(), moment.now);
        if let Fate::Dead { will, .. } = &mut fate {
            *will = left;
        }
        match &fate {
            Fate::Retry { at, .. } => {
                let text = format!("failed: again in {:.0} s", at - moment.now);
                self.report(delivery, &failure, &text);
            }
            Fate::Dead { payload: Some(_), .. } => {
                self.report(delivery, &failure, "failed for good: in the dead set");
                self.counters.event("buried", 1);
            }
            _ => {
                self.report(delivery, &failure, "failed: dropped, as its payload asks for");
                self.counters.event("discarded", 1);
            }
        }
        fate
    }

    /// Tells those who listen; returns what the job leaves to be done, if this was its end.
    fn tell(
        &self,
        delivery: &Delivery,
        failure: &Failure,
        for_good: bool,
        now: f64,
    ) -> Option<Box<Placed>> {
        if !for_good && !self.listeners.any() {
            return None;
        }
        let failed = Failed::of(&delivery.raw, &delivery.queue, failure, for_good);
        self.listeners.tell(&failed);
        if for_good { self.handlers.will(&delivery.raw, &failed, now) } else { None }
    }

    fn report(&self, delivery: &Delivery, failure: &Failure, what: &str) {
        if delivery.status_for().is_some() {
            delivery.drafted(|draft| draft.failed(&failure.message));
        }
        if failure.class == retry::BAD_JSON {
            // there may be no more to go by than where it was and what its place in the text is
            tracing::warn!(
                queue = cut(&delivery.queue),
                bytes = delivery.raw.len(),
                error.class = failure.class,
                error = failure.message,
                "no job can be made of this payload: in the dead set"
            );
            return;
        }
        let error = match failure.class {
            retry::BAD_ARGUMENTS => without_values(&failure.message),
            _ => &failure.message,
        };
        tracing::warn!(
            job.class = delivery.class(),
            job.jid = delivery.jid(),
            queue = cut(&delivery.queue),
            error.class = failure.class,
            error,
            "{what}"
        );
    }
}

/// The same bytes, but never without a jid: equal members of a sorted set would become one.
/// A fresh one: what `known_as` makes of equal bytes is equal again.
fn with_jid(raw: &[u8]) -> Vec<u8> {
    match Payload::parse(raw) {
        Ok(payload) if payload.jid().is_empty() => payload.with("jid", new_jid()).to_bytes(),
        _ => raw.to_vec(),
    }
}
