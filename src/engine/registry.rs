//! The list of jobs: class → handler, and the cron lines. Here the job types end; the rest of
//! the engine knows names and bytes only.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::active_job;
use super::context::JobContext;
use super::cron_line::CronLine;
use super::enqueue_error::EnqueueError;
use super::failed::Failed;
use super::head::Head;
use super::inspect::queue_list::Known;
use super::invalid::{Invalid, check};
use super::job::{Job, decode};
use super::limits::QueueLimits;
use super::metrics::Tally;
use super::payload::Payload;
use super::placed::Placed;
use super::readable::cut;
use super::reaper::Registered;
use super::retry::Rule;
use super::run::Run;
use super::schedule::Schedule;
use super::ties::{Ties, lifetime};

/// All jobs of an application.
pub struct Registry<A> {
    app: A,
    handlers: Handlers,
    lines: Vec<CronLine>,
}

/// The same without the application's type.
#[derive(Default)]
pub(crate) struct Handlers {
    by_class: HashMap<&'static str, Handler>,
}

/// How to run the jobs of one class.
pub(crate) struct Handler {
    queue: &'static str,
    pub(crate) rule: Rule,
    pub(crate) timeout: Option<Duration>,
    /// For a payload that does not say, in seconds.
    status_for: Option<u64>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) start: Arc<Start>,
    on_death: Box<OnDeath>,
    compose: Box<Compose>,
}

type Compose = dyn Fn(&str) -> Result<Payload, EnqueueError> + Send + Sync;
type OnDeath = dyn Fn(&str, &Failed) -> Option<Payload> + Send + Sync;
pub(crate) type Start =
    dyn Fn(Arc<Run>, &str) -> Result<Performing, serde_json::Error> + Send + Sync;
pub(crate) type Performing = BoxFuture<'static, anyhow::Result<()>>;

impl<A: Clone + Send + Sync + 'static> Registry<A> {
    /// An empty list; `app` is cloned into each job's context.
    pub fn new(app: A) -> Registry<A> {
        Registry { app, handlers: Handlers::default(), lines: Vec::new() }
    }

    /// Adds a job.
    ///
    /// # Panics
    ///
    /// If its class is there already: two handlers for one name is a mistake to see at boot.
    #[track_caller]
    pub fn job<J: Job<App = A>>(mut self) -> Registry<A> {
        let app = self.app.clone();
        let start = move |run: Arc<Run>, args: &str| -> Result<Performing, serde_json::Error> {
            let job: J = decode(args)?;
            Ok(Box::pin(job.perform(JobContext::new(app.clone(), run))))
        };
        let on_death = |args: &str, death: &Failed| decode::<J>(args).ok()?.on_death(death);
        let handler = Handler {
            queue: J::QUEUE,
            rule: Rule { retry: J::RETRY, pause: J::retry_in, queue: J::RETRY_QUEUE },
            timeout: J::TIMEOUT,
            status_for: J::STATUS_FOR.and_then(|span| lifetime(Some(span.as_secs_f64().max(1.0)))),
            tally: Arc::default(),
            start: Arc::new(start),
            on_death: Box::new(on_death),
            compose: Box::new(|args| {
                let unfit = |error: serde_json::Error| Invalid::Encoding(error.to_string());
                Payload::of(&decode::<J>(args).map_err(unfit)?)
            }),
        };
        let twice = self.handlers.by_class.insert(J::CLASS, handler).is_some();
        assert!(!twice, "two jobs are registered for the class {:?}", J::CLASS);
        self
    }

    /// Enqueues `job` at set times, `"0 3 * * *"` or `"0 3 * * * Europe/Berlin"` (more in
    /// [`Schedule`]), once over all processes. The name is what its slots are remembered by.
    ///
    /// # Panics
    ///
    /// If these are no times, the name is taken, or the job cannot be encoded.
    #[track_caller] // the panic names the line in the list, not one in here
    pub fn cron<J: Job<App = A>>(
        mut self,
        name: &'static str,
        times: impl Into<Schedule>,
        job: J,
    ) -> Self {
        let payload = Payload::of(&job).map_err(anyhow::Error::from);
        let line = payload.and_then(|payload| CronLine::new(name, times.into(), payload));
        let line = match line {
            Ok(line) => line,
            Err(error) => panic!("cron line {name:?}: {error}"),
        };
        let twice = self.lines.iter().any(|other| other.name == name);
        assert!(!twice, "two cron lines are named {name:?}");
        self.lines.push(line);
        self
    }

    /// The payload of a job by the name of its class, with all that its type says of queue,
    /// retries, uniqueness: for tools that people use. `args` is a JSON array, the fields in their
    /// order or one object with them. `None`: there is no such class in this list.
    pub fn payload(&self, class: &str, args: &str) -> Option<Result<Payload, EnqueueError>> {
        Some((self.handlers.get(class)?.compose)(args))
    }

    /// The queues that the jobs of this list are pushed to.
    pub fn queues(&self) -> Vec<String> {
        let mut queues: Vec<String> = self.handlers.queues().collect();
        queues.sort();
        queues.dedup();
        queues
    }

    /// What this program knows of queues, and Redis does not: for a look at them.
    pub fn known(&self, limits: &QueueLimits) -> Known {
        Known { limits: limits.clone(), queues: self.queues() }
    }

    pub(crate) fn into_parts(self) -> (Handlers, Vec<CronLine>) {
        (self.handlers, self.lines)
    }
}

impl Handlers {
    pub(crate) fn get(&self, class: &str) -> Option<&Handler> {
        self.by_class.get(class)
    }

    /// The queues that our own jobs are pushed to.
    pub(crate) fn queues(&self) -> impl Iterator<Item = String> + '_ {
        let queues = |handler: &Handler| [Some(handler.queue), handler.rule.queue];
        self.by_class.values().flat_map(queues).flatten().map(str::to_owned)
    }

    /// Where the runs of each class are counted.
    pub(crate) fn tallies(&self) -> Vec<(&'static str, Arc<Tally>)> {
        self.by_class.iter().map(|(class, handler)| (*class, handler.tally.clone())).collect()
    }
}

impl Registered for Handlers {
    /// What a job leaves to be done when it is buried. What goes wrong in there must not keep it
    /// from being buried.
    fn will(&self, raw: &[u8], death: &Failed, now: f64) -> Option<Box<Placed>> {
        let head = Head::parse(raw).ok()?;
        let (class, args) = active_job::opened(&head);
        let (handler, args) = (self.get(&class)?, args.ok()?);
        let said = catch_unwind(AssertUnwindSafe(|| (handler.on_death)(&args, death)));
        let fits = |payload: &Payload| check(payload).is_ok();
        match said {
            Ok(None) => None,
            Ok(Some(payload)) if fits(&payload) => Some(Box::new(Placed::of(payload, now))),
            Ok(Some(_)) | Err(_) => {
                let (class, jid) = (cut(&class), &*death.jid);
                tracing::error!(
                    job.class = class,
                    job.jid = jid,
                    "what is to be done at this job's death is no valid job, or panicked: left out"
                );
                None
            }
        }
    }

    fn ties(&self, head: &Head) -> Ties {
        let handler = self.get(&active_job::opened(head).0);
        handler.map_or_else(|| Ties::of(head), |handler| handler.ties(head))
    }
}

impl Handler {
    /// What the end of such a job has to settle.
    pub(crate) fn ties(&self, head: &Head) -> Ties {
        let mut ties = Ties::of(head);
        let known = head.jid.as_deref().is_some_and(|jid| !jid.is_empty());
        ties.status_for = ties.status_for.or(self.status_for.filter(|_| known));
        ties
    }

    /// Decodes the arguments and begins the run; an error if they do not fit.
    pub(crate) fn start(&self, run: Arc<Run>, args: &str) -> Result<Performing, serde_json::Error> {
        (self.start)(run, args)
    }
}
