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
use super::delivery::{Delivery, Who};
use super::finish::Finisher;
use super::head::Head;
use super::iteration::Keeper;
use super::jid::known_as;
use super::judge::{Judge, Known};
use super::lifecycle::Lifecycle;
use super::middleware::{Call, Chain};
use super::outcome::{Misfit, Outcome, failure, panicked, timed};
use super::readable::cut;
use super::registry::{Handler, Handlers, Performing};
use super::retry::{self, Failure};
use super::run::{Run, Standing};
use super::session::Session;
use super::ties::Ties;

/// Runs deliveries.
pub(crate) struct Processor {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) chain: Chain<Call, anyhow::Result<()>>,
    pub(crate) session: Arc<Session>,
    pub(crate) finisher: Arc<Finisher>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) judge: Judge,
    /// For jobs that do not say.
    pub(crate) job_timeout: Option<Duration>,
    /// Set before runs are aborted: then a run without outcome is no failure.
    pub(crate) aborting: AtomicBool,
}

/// A limit this long is none; added to a point in time, it could overflow.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Processor {
    /// Runs a delivery and records its fate.
    pub(crate) async fn process(&self, delivery: Arc<Delivery>) {
        let guard = Guard { processor: self, delivery: &delivery };
        let (known, outcome) = self.perform(&delivery).await;
        // no await from here on: an abort cannot come between the outcome and its record
        let fate = self.judge.fate(&delivery, known, outcome);
        self.finisher.finish(delivery.clone(), fate);
        drop(guard);
    }

    /// Lets a suspect wait outside of this process, where another suspect runs: in here it would
    /// share its fate.
    pub(crate) fn postpone(&self, delivery: &Arc<Delivery>) {
        let fate = self.judge.later(delivery, 1.0 + fastrand::f64());
        self.finisher.finish(delivery.clone(), fate);
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
        let ties = handler.map_or_else(|| Ties::of(&head), |handler| handler.ties(&head));
        let ties = ties.any().then(|| Box::new(ties)); // rare, so most runs carry nothing
        let _ = delivery.who.set(Who { class: cut(&class).into(), jid: id.into(), ties });
        let Some(handler) = handler else {
            let message = format!("uninitialized constant {class}");
            return (None, failure(retry::UNKNOWN_CLASS, &message));
        };
        let now = self.session.redis.clock().now();
        if head.expired(now) {
            return (None, Outcome::Expired);
        }
        if let Some((waits, since)) = self.session.meter.waits.as_ref().zip(head.enqueued_at()) {
            waits.note(&delivery.queue, now - since);
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
            let fate = self.processor.judge.failed(self.delivery, known, failure);
            self.processor.finisher.finish(self.delivery.clone(), fate);
        }
    }
}
