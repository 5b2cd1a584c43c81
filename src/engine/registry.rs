//! The list of jobs: class → handler, and the cron lines. Here the job types end; the rest of
//! the engine knows names and bytes only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::context::{JobContext, Run};
use super::cron_line::CronLine;
use super::enqueue_error::EnqueueError;
use super::job::{Job, decode};
use super::metrics::Tally;
use super::payload::Payload;
use super::retry::Retry;
use super::schedule::Schedule;

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
    pub(crate) retry: Retry,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tally: Arc<Tally>,
    start: Box<Start>,
}

type Start = dyn Fn(Arc<Run>, &str) -> Result<Performing, serde_json::Error> + Send + Sync;
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
    pub fn job<J: Job<App = A>>(mut self) -> Registry<A> {
        let app = self.app.clone();
        let start = move |run: Arc<Run>, args: &str| -> Result<Performing, serde_json::Error> {
            let job: J = decode(args)?;
            Ok(Box::pin(job.perform(JobContext::new(app.clone(), run))))
        };
        let start = Box::new(start);
        let (queue, retry, timeout) = (J::QUEUE, J::RETRY, J::TIMEOUT);
        let handler = Handler { queue, retry, timeout, tally: Arc::default(), start };
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
    pub fn cron<J: Job<App = A>>(
        mut self,
        name: &'static str,
        times: impl Into<Schedule>,
        job: J,
    ) -> Self {
        let payload: Result<Payload, EnqueueError> = Payload::of(&job);
        let payload = payload.unwrap_or_else(|error| panic!("cron line {name:?}: {error}"));
        let line = CronLine::new(name, times.into(), payload);
        let line = line.unwrap_or_else(|error| panic!("cron line {name:?}: {error}"));
        let twice = self.lines.iter().any(|other| other.name == name);
        assert!(!twice, "two cron lines are named {name:?}");
        self.lines.push(line);
        self
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
        self.by_class.values().map(|handler| handler.queue.to_owned())
    }

    /// Where the runs of each class are counted.
    pub(crate) fn tallies(&self) -> Vec<(&'static str, Arc<Tally>)> {
        self.by_class.iter().map(|(class, handler)| (*class, handler.tally.clone())).collect()
    }
}

impl Handler {
    /// Decodes the arguments and begins the run; an error if they do not fit.
    pub(crate) fn start(&self, run: Arc<Run>, args: &str) -> Result<Performing, serde_json::Error> {
        (self.start)(run, args)
    }
}
