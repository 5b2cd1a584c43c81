//! Code around every job: around its run in the worker, around its way to Redis in the client.
//! One chain serves both, in the manner of axum's `from_fn`. `docs/middleware.md` is for authors.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::Span;

use super::payload::Payload;
use super::run::Run;

/// A run of a job, as worker middleware sees it.
pub struct Call {
    run: Arc<Run>,
    /// What stands in for the stored payload.
    replaced: Option<Payload>,
}

impl Call {
    pub(crate) fn new(run: Arc<Run>) -> Call {
        Call { run, replaced: None }
    }

    /// The job's class.
    pub fn class(&self) -> &str {
        self.run.delivery.class()
    }

    /// The job's id.
    pub fn jid(&self) -> &str {
        self.run.delivery.jid()
    }

    /// The queue it was taken from.
    pub fn queue(&self) -> &str {
        &self.run.delivery.queue
    }

    /// 1 on the first run.
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// The whole payload, with whatever fields the client's middleware put there, or what
    /// earlier middleware has put in its place. Read anew at each call; `None` if it is none.
    pub fn payload(&self) -> Option<Payload> {
        self.replaced.clone().or_else(|| Payload::parse(&self.run.delivery.raw).ok())
    }

    /// A field of the payload as a type; `None` if it is absent or something else.
    pub fn get<T: DeserializeOwned>(&self, field: &str) -> Option<T> {
        self.payload()?.get(field)
    }

    /// Puts another payload in the place of the stored one, for the rest of this run: the job gets
    /// its arguments. What is stored stays, and a retry begins with that. Class, queue, attempt
    /// and everything else that was decided before middleware began stay too.
    pub fn with_payload(self, payload: Payload) -> Call {
        Call { replaced: Some(payload), ..self }
    }

    /// The same for the arguments alone: an array of positional ones; anything else becomes the
    /// only one. Of an Active Job its own, without their wrapper.
    pub fn with_args(self, args: Value) -> Call {
        let args = if args.is_array() { args } else { json!([args]) };
        let payload = self.payload().unwrap_or_else(|| Payload::new("", json!([])));
        let payload = payload.with("class", self.class()).with("args", args);
        self.with_payload(payload)
    }

    /// Also writes the engine's own lines about the end of this run (`failed: again in …`) within
    /// this span; of several the first counts. The job's lines are in it if it is around the rest:
    /// `next.run(call).instrument(span)`.
    pub fn log_within(&self, span: &Span) {
        self.run.delivery.log_within(span);
    }

    /// What the job is to get, if it is not what is stored.
    pub(crate) fn replaced(self) -> Option<Payload> {
        self.replaced
    }
}

/// The rest of a chain.
pub struct Rest<In, Out> {
    links: Links<In, Out>,
    at: usize,
    end: End<In, Out>,
}

type Link<In, Out> = Arc<dyn Fn(In, Rest<In, Out>) -> BoxFuture<'static, Out> + Send + Sync>;
type Links<In, Out> = Arc<[Link<In, Out>]>;
type End<In, Out> = Box<dyn FnOnce(In) -> BoxFuture<'static, Out> + Send>;

/// The rest of the worker's chain; at its end the job runs.
pub type Next = Rest<Call, anyhow::Result<()>>;

impl<In: 'static, Out: 'static> Rest<In, Out> {
    /// Goes on with the chain. Not to call it skips what follows.
    pub fn run(mut self, input: In) -> BoxFuture<'static, Out> {
        match self.links.get(self.at).cloned() {
            Some(link) => {
                self.at += 1;
                link(input, self)
            }
            None => (self.end)(input),
        }
    }
}

/// Middleware in the order in which it was added.
pub(crate) struct Chain<In, Out> {
    links: Links<In, Out>,
}

impl<In, Out> Clone for Chain<In, Out> {
    fn clone(&self) -> Self {
        Chain { links: self.links.clone() }
    }
}

impl<In, Out> Default for Chain<In, Out> {
    fn default() -> Self {
        Chain { links: Arc::new([]) }
    }
}

impl<In: 'static, Out: 'static> Chain<In, Out> {
    pub(crate) fn add<F, Fut>(&mut self, middleware: F)
    where
        F: Fn(In, Rest<In, Out>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Out> + Send + 'static,
    {
        let link: Link<In, Out> = Arc::new(move |input, rest| Box::pin(middleware(input, rest)));
        self.links = self.links.iter().cloned().chain([link]).collect();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub(crate) fn run(&self, input: In, end: End<In, Out>) -> BoxFuture<'static, Out> {
        Rest { links: self.links.clone(), at: 0, end }.run(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_order_and_able_to_skip() {
        let mut chain = Chain::<String, String>::default();
        chain.add(|text: String, next: Rest<String, String>| async move {
            next.run(text + "a").await + "A"
        });
        chain.add(|text: String, next: Rest<String, String>| async move {
            if text.starts_with('-') { text } else { next.run(text + "b").await + "B" }
        });
        let run = |input: &str| {
            chain.run(input.to_owned(), Box::new(|text| Box::pin(async move { text + "." })))
        };
        assert_eq!(run("").await, "ab.BA");
        assert_eq!(run("-").await, "-aA");
    }
}
