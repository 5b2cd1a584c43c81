//! Tells people about stuck jobs: POSTs of `{"text": …}`, the form of chat webhooks, to
//! `STUCK_JOB_WEBHOOK`.
//!
//! On a thread and a runtime of its own: what is to be told is that the worker's runtime is stuck,
//! and a receiver that hangs must not hold up jobs, heartbeats or the exit.

mod text;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::engine::{Exit, Lifecycle, Notice};
use crate::webhooks::{Undelivered, Webhooks};
pub use text::told_to_stop;

/// One attempt to POST.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Before the further ones. The first is short enough for a notice that leaves with its process.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(3)];
/// So many notices wait for the receiver; of the others only the number is told.
const WAITING: usize = 20;
/// A job that runs into its limit at every retry is told of once within this.
const AGAIN: Duration = Duration::from_secs(3_600);
/// What notices get to leave when the process does, …
const LAST_WORDS: Duration = Duration::from_secs(1);
/// … and at a stop that was asked for, which has to end in time.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Passes notices on, several that wait as one message. Clones share the thread.
#[derive(Clone)]
pub struct Notices {
    shared: Option<Arc<Shared>>,
}

#[derive(Default)]
struct Shared {
    outbox: Mutex<Outbox>,
    wake: Notify,
    sent: Condvar,
}

#[derive(Default)]
struct Outbox {
    waiting: Vec<String>,
    /// Those that found no place.
    more: usize,
    /// Those on their way.
    leaving: usize,
    /// When a job was last told of.
    told: HashMap<String, Instant>,
}

impl Notices {
    /// Starts the thread; without `STUCK_JOB_WEBHOOK` there is none, and nothing is told.
    pub fn start(config: &Config) -> anyhow::Result<Notices> {
        let Some(receiver) = Receiver::of(config)? else {
            return Ok(Notices { shared: None });
        };
        Notices::to(receiver)
    }

    /// Starts the thread for this receiver.
    pub fn to(receiver: Receiver) -> anyhow::Result<Notices> {
        let shared = Arc::new(Shared::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sender = shared.clone();
        let thread = thread::Builder::new().name("notices".to_owned());
        thread.spawn(move || runtime.block_on(send(&sender, &receiver)))?;
        Ok(Notices { shared: Some(shared) })
    }

    /// Takes a notice and returns at once.
    pub fn tell(&self, notice: Notice) {
        let Some(shared) = &self.shared else { return };
        shared.lock().put(&notice, text::of(&notice));
        shared.wake.notify_one();
    }

    /// Sees to it that notices get out also when the process leaves in a hurry.
    pub fn follow(&self, lifecycle: &Lifecycle) {
        let this = self.clone();
        lifecycle.before_leaving(move |exit| this.end(exit));
    }

    /// The worker has ended like this, and the process is about to.
    pub fn end(&self, exit: Exit) {
        self.flush(if exit == Exit::Asked { LAST_WORD } else { LAST_WORDS });
    }

    /// Waits until all notices are out, but not for longer than this.
    fn flush(&self, at_most: Duration) {
        let Some(shared) = &self.shared else { return };
        let unsent = |outbox: &mut Outbox| outbox.unsent() > 0;
        let waited = shared.sent.wait_timeout_while(shared.lock(), at_most, unsent);
        let notices = waited.unwrap_or_else(PoisonError::into_inner).0.unsent();
        if notices > 0 {
            tracing::warn!(notices, "STUCK_JOB_WEBHOOK: not delivered before the process ends");
        }
    }
}

impl Outbox {
    fn put(&mut self, notice: &Notice, text: String) {
        if let Notice::TimedOut { job, .. } = notice {
            self.told.retain(|_, at| at.elapsed() < AGAIN);
            if self.told.contains_key(&job.jid) {
                return;
            }
            self.told.insert(job.jid.clone(), Instant::now());
        }
        match self.waiting.len() < WAITING {
            true => self.waiting.push(text),
            false => self.more += 1,
        }
    }

    /// All that waits, as one message.
    fn take(&mut self) -> Option<String> {
        let (mut lines, more) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.more));
        self.leaving = lines.len() + more;
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    fn unsent(&self) -> usize {
        self.waiting.len() + self.more + self.leaving
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what comes, for ever. That it does not work is said once, until it does.
async fn send(shared: &Shared, receiver: &Receiver) {
    let mut works = true;
    loop {
        let text = shared.lock().take();
        let Some(text) = text else {
            shared.wake.notified().await;
            continue;
        };
        let sent = receiver.post(&text).await;
        if let Err(reason) = &sent
            && works
        {
            tracing::warn!(reason, "STUCK_JOB_WEBHOOK: a notice could not be delivered");
        }
        works = sent.is_ok();
        shared.lock().leaving = 0;
        shared.sent.notify_all();
    }
}

/// Where notices go. Not printable: the address is a secret.
pub struct Receiver {
    webhooks: Webhooks,
    url: String,
}

impl Receiver {
    /// The one that is configured. An address inside our own network needs
    /// `WEBHOOK_ALLOW_PRIVATE`, as all webhooks do.
    pub fn of(config: &Config) -> anyhow::Result<Option<Receiver>> {
        let Some(url) = &config.stuck_job_webhook else { return Ok(None) };
        Receiver::new(url, config.webhook_allow_private).map(Some)
    }

    /// The one at this address.
    pub fn new(url: &str, allow_private: bool) -> anyhow::Result<Receiver> {
        Ok(Receiver { webhooks: Webhooks::new(None, allow_private)?, url: url.to_owned() })
    }

    /// One message, tried up to three times. The error is safe to show.
    pub async fn post(&self, text: &str) -> Result<(), String> {
        let body = json!({ "text": text }).to_string();
        let id = format!("{:016x}", fastrand::u64(..));
        for pause in PAUSES {
            match self.attempt(&id, &body).await {
                Err(Undelivered::Failed(_)) => sleep(pause).await,
                end => return end.map_err(said),
            }
        }
        self.attempt(&id, &body).await.map_err(said)
    }

    async fn attempt(&self, id: &str, body: &str) -> Result<(), Undelivered> {
        let delivery = self.webhooks.deliver(&self.url, id, body.to_owned());
        let late = || Undelivered::Failed(format!("no answer within {} s", ATTEMPT.as_secs()));
        timeout(ATTEMPT, delivery).await.unwrap_or_else(|_| Err(late()))
    }
}

fn said(undelivered: Undelivered) -> String {
    match undelivered {
        Undelivered::Refused(reason) => reason.to_owned(),
        Undelivered::Gone => "the receiver is gone for good (410)".to_owned(),
        Undelivered::Failed(reason) => reason,
    }
}
