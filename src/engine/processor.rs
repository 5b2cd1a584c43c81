//! One job from its bytes to its fate: decode, guard, time, run, decide.

use std::borrow::Cow;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;

use super::active_job::{self, Arguments};
use super::counters::Counters;
use super::delivery::{Delivery, Who};
use super::finish::Finisher;
use super::iteration::Keeper;
use super::jid::{known_as, new_jid};
use super::lifecycle::{Lifecycle, Phase};
use super::middleware::{Call, Chain};
use super::notice::{Notice, Notices, StuckJob};
use super::outcome::{Misfit, Outcome, failure, panicked, timed};
use super::payload::{Head, Payload};
use super::placed::Placed;
use super::readable::{cut, without_values};
use super::registry::{Handler, Handlers, Performing};
use super::retry::{self, Failure, Fate, Moment, Stop};
use super::run::{Run, Standing};
use super::session::Session;
use super::ties::Ties;

/// Runs deliveries.
pub(crate) struct Processor {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) chain: Chain<Call, anyhow::Result<()>>,
    pub(crate) session: Arc<Session>,
    pub(crate) finisher: Arc<Finisher>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) notices: Notices,
    /// For jobs that do not say.
    pub(crate) job_timeout: Option<Duration>,
    /// Set before runs are aborted: then a run without outcome is no failure.
    pub(crate) aborting: AtomicBool,
}

/// A limit this long is none; added to a point in time, it could overflow.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A run of a class that is registered.
#[derive(Clone, Copy)]
struct Known<'a> {
    handler: &'a Handler,
    took: Duration,
}

impl Processor {
    /// Runs a delivery and records its fate.
    pub(crate) async fn process(&self, delivery: Arc<Delivery>) {
        let guard = Guard { processor: self, delivery: &delivery };
        let (known, outcome) = self.perform(&delivery).await;
        // no await from here on: an abort cannot come between the outcome and its record
        let fate = self.fate(&delivery, known, outcome);
        self.finisher.finish(delivery.clone(), fate);
        drop(guard);
    }

    /// Lets a suspect wait outside of this process, where another suspect runs: in here it would
    /// share its fate.
    pub(crate) fn postpone(&self, delivery: &Arc<Delivery>) {
        let at = self.session.redis.clock().now() + 1.0 + fastrand::f64();
        let payload = with_jid(&delivery.raw);
        self.finisher.finish(delivery.clone(), Fate::Snooze { at, payload });
    }

    async fn perform(&self, delivery: &Arc<Delivery>) -> (Option<Known<'_>>, Outcome) {
        let head = match Head::parse(&delivery.raw) {
            Ok(head) => head,
            Err(error) => return (None, failure(retry::BAD_JSON, &error.to_string())),
        };
        let (class, args) = active_job::opened(&head);
        if class.is_empty() {
            return (None, failure(retry::BAD_JSON, "`class` is missing, or no text"));
        }
        let id = known_as(&delivery.raw, head.jid.as_deref());
        let handler = self.handlers.get(&class);
        let ties = ties(&head, handler);
        let _ = delivery.who.set(Who { class: cut(&class).into(), jid: id.into(), ties });
        let Some(handler) = handler else {
            let message = format!("uninitialized constant {class}");
            return (None, failure(retry::UNKNOWN_CLASS, &message));
        };
        let now = self.session.redis.clock().now();
        if head.expired(now) {
            return (None, Outcome::Expired);
        }
        self.session.tracker.note(delivery);
        let last = retry::last_chance(&head, handler.rule.retry, now);
        let attempt = head.failures().saturating_add(1);
        let anonymous = head.jid.as_deref().is_none_or(str::is_empty);
        let standing = Standing { attempt, last, anonymous };
        let keeper = Keeper::Redis(self.session.clone());
        let run = Run::new(delivery.clone(), standing, self.lifecycle.clone(), keeper);
        let limit = handler.timeout.or(self.job_timeout);
        let limit = limit.filter(|limit| !limit.is_zero() && *limit < FOREVER);
        let began = Instant::now();
        let begin = AssertUnwindSafe(|| self.begin(handler, &run, args));
        let outcome = match std::panic::catch_unwind(begin) {
            Ok(Ok(performing)) => timed(performing, &run, limit).await,
            Ok(Err(error)) => failure(retry::BAD_ARGUMENTS, &error.to_string()),
            Err(panic) => panicked(panic),
        };
        (Some(Known { handler, took: began.elapsed() }), outcome)
    }

    fn begin(
        &self,
        handler: &Handler,
        run: &Arc<Run>,
        args: Arguments,
    ) -> Result<Performing, serde_json::Error> {
        if self.chain.is_empty() {
            return handler.start(run.clone(), &args?);
        }
        let (start, args) = (handler.start.clone(), args.map(Cow::into_owned));
        let (call, run) = (Call::new(run.clone()), run.clone());
        let decoded = move |call: Call| match call.replaced() {
            None => start(run, &args?),
            Some(payload) => {
                let bytes = payload.to_bytes();
                start(run, &active_job::opened(&Head::parse(&bytes)?).1?)
            }
        };
        let end = |call| {
            decoded(call).unwrap_or_else(|misfit| Box::pin(ready(Err(Misfit(misfit).into()))))
        };
        Ok(self.chain.run(call, Box::new(end)))
    }

    fn fate(&self, delivery: &Delivery, known: Option<Known>, outcome: Outcome) -> Fate {
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
            Outcome::Expired => self.expired(delivery),
        }
    }

    /// Too late to be of use, as its payload says.
    fn expired(&self, delivery: &Delivery) -> Fate {
        self.counters.event("expired", 1);
        tracing::info!(
            job.class = delivery.class(),
            job.jid = delivery.jid(),
            queue = cut(&delivery.queue),
            "expired before it could run: dropped"
        );
        delivery.drafted(|draft| draft.failed("expired before it could run"));
        Fate::Discard { traces: Some(delivery.jid().to_owned()), dead: true }
    }

    /// A run has come to an end that counts.
    fn ran(&self, known: Option<Known>, failed: bool) {
        self.counters.ran(failed);
        match known {
            Some(Known { handler, .. }) if failed => handler.tally.failed(),
            Some(Known { handler, took }) => handler.tally.succeeded(took),
            None => {}
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
                    queue = &*delivery.queue,
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
                Fate::Dead { payload: Some(payload), will: self.will(delivery, &failure, now) }
            }
            // a job's own idea: at once again, it would run in circles
            Stop::Interrupted if self.lifecycle.phase() == Phase::Running => {
                Fate::Snooze { at: now + 1.0, payload: with_jid(&delivery.raw) }
            }
            Stop::Interrupted => {
                self.counters.event("interrupted", 1);
                Fate::Return
            }
            Stop::Cancelled => {
                self.ran(known, false);
                self.counters.event("cancelled", 1);
                tracing::info!(
                    job.class = delivery.class(),
                    job.jid = delivery.jid(),
                    queue = &*delivery.queue,
                    "cancelled"
                );
                delivery.drafted(|draft| draft.failed("cancelled"));
                Fate::Discard { traces: Some(delivery.jid().to_owned()), dead: true }
            }
            // if Redis agrees, this does nothing; if not, the job must not vanish
            Stop::LostLease => Fate::Return,
            Stop::Snooze(pause) => {
                Fate::Snooze { at: now + pause.as_secs_f64(), payload: with_jid(&delivery.raw) }
            }
        }
    }

    fn failed(&self, delivery: &Delivery, known: Option<Known>, failure: Failure) -> Fate {
        self.ran(known, true);
        if failure.class == retry::TIMEOUT {
            let process = self.session.identity().to_owned();
            let (job, reason) = (StuckJob::of(delivery), failure.message.clone());
            self.notices.tell(Notice::TimedOut { process, job, reason });
        }
        let moment = Moment { now: self.session.redis.clock().now(), dice: fastrand::f64() };
        let rule = known.map(|known| known.handler.rule);
        let mut fate = retry::failed(&delivery.raw, &delivery.queue, rule, &failure, &moment);
        if let Fate::Dead { will, .. } = &mut fate {
            *will = self.will(delivery, &failure, moment.now);
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

    fn will(&self, delivery: &Delivery, failure: &Failure, now: f64) -> Option<Box<Placed>> {
        self.handlers.will(&delivery.raw, &delivery.queue, failure, now)
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

/// Sees to it that no delivery ends without an outcome, whatever its task ends by: a panic
/// while the job's remains are dropped, for instance.
struct Guard<'a> {
    processor: &'a Processor,
    delivery: &'a Arc<Delivery>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let aborted = self.processor.aborting.load(Ordering::Acquire);
        if !self.delivery.finished() && !aborted {
            let _within = self.delivery.span().map(Span::enter);
            let failure = Failure::new(retry::PANIC, "the job panicked while it was dropped");
            let handler = self.processor.handlers.get(self.delivery.class());
            let known = handler.map(|handler| Known { handler, took: Duration::ZERO });
            let fate = self.processor.failed(self.delivery, known, failure);
            self.processor.finisher.finish(self.delivery.clone(), fate);
        }
    }
}

/// What the job's end has to settle: rare, so most runs carry nothing.
fn ties(head: &Head, handler: Option<&Handler>) -> Option<Box<Ties>> {
    let mut ties = Ties::of(head);
    let jid = head.jid.as_deref().is_some_and(|jid| !jid.is_empty());
    if ties.status_for.is_none() && jid {
        ties.status_for = handler.and_then(|handler| handler.status_for);
    }
    ties.any().then(|| Box::new(ties))
}

/// The same bytes, but never without a jid: equal members of a sorted set would become one.
/// A fresh one: what `known_as` makes of equal bytes is equal again.
fn with_jid(raw: &[u8]) -> Vec<u8> {
    match Payload::parse(raw) {
        Ok(payload) if payload.jid().is_empty() => payload.with("jid", new_jid()).to_bytes(),
        _ => raw.to_vec(),
    }
}
