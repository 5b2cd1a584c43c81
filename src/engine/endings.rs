//! The ends that Redis does not know of yet: which wait, which are on their way, which were refused.
//! Decisions only; `finish` does the sending.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

use super::delivery::Delivery;
use super::errors::{breaks_connection, code, reason};
use super::fate::{beside, free};
use super::retry::Fate;
use super::scripts::Words;
use super::status::Report;

/// A refused ending is tried again this much later.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// One end to be told to Redis.
pub(crate) struct Ending {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) fate: Fate,
    /// Sent before without a reply: then "not there" means that the first time worked.
    pub(crate) resent: bool,
    /// Refused before, and said so.
    refused: bool,
}

impl Ending {
    pub(crate) fn new(delivery: Arc<Delivery>, fate: Fate) -> Ending {
        Ending { delivery, fate, resent: false, refused: false }
    }

    /// Nothing to do but to remove it.
    pub(crate) fn is_plain(&self) -> bool {
        let delivery = &self.delivery;
        let ties = delivery.limited() || delivery.ties().is_some();
        self.fate == Fate::Done { traces: None } && !ties
    }

    /// What its end settles beside.
    pub(crate) fn beside(&self, identity: &str, now: f64) -> Vec<Words> {
        let delivery = &self.delivery;
        let mut all = Vec::new();
        if let Some(ties) = delivery.ties() {
            let report = Report::of(&self.fate, delivery.draft());
            all = beside(ties, delivery.jid(), &self.fate, report, now);
        }
        if delivery.limited() {
            all.push(free(&delivery.queue, delivery.field, identity));
        }
        all
    }
}

#[derive(Default)]
pub(crate) struct Endings {
    pub(crate) waiting: Vec<Ending>,
    sending: usize,
    refused: Vec<Ending>,
    /// When those are tried again.
    pub(crate) again: Option<Instant>,
}

impl Endings {
    /// All that wait; they count as on their way until they are settled.
    pub(crate) fn take(&mut self) -> Option<Vec<Ending>> {
        let batch = std::mem::take(&mut self.waiting);
        self.sending += batch.len();
        (!batch.is_empty()).then_some(batch)
    }

    /// The same for plain successes alone.
    pub(crate) fn take_plain(&mut self) -> Vec<Ending> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (plain, others): (Vec<_>, Vec<_>) = waiting.partition(Ending::is_plain);
        self.waiting = others;
        self.sending += plain.len();
        plain
    }

    /// So many are no longer on their way, and these of them have to be sent again.
    pub(crate) fn settle(&mut self, count: usize, mut unsent: Unsent) {
        self.sending -= count;
        self.waiting.append(&mut unsent.unanswered);
        if !unsent.refused.is_empty() {
            self.refused.append(&mut unsent.refused);
            self.again.get_or_insert_with(|| Instant::now() + REFUSED_PAUSE);
        }
    }

    pub(crate) fn try_again(&mut self) {
        self.waiting.append(&mut self.refused);
        self.again = None;
    }

    /// Redis knows of all, but for what it refuses.
    pub(crate) fn all_told(&self) -> bool {
        self.waiting.is_empty() && self.sending == 0
    }
}

/// What has to be sent again.
#[derive(Default)]
pub(crate) struct Unsent {
    /// No reply came, or one after which the connection is given up: on the next lease.
    pub(crate) unanswered: Vec<Ending>,
    /// The server refused it: later, without holding up the others.
    pub(crate) refused: Vec<Ending>,
}

impl Unsent {
    pub(crate) fn is_empty(&self) -> bool {
        self.unanswered.is_empty() && self.refused.is_empty()
    }

    pub(crate) fn add(&mut self, mut ending: Ending, error: &RedisError) {
        if breaks_connection(error) {
            // no answer: it may have been done. An answer: it was not
            ending.resent |= code(error).is_none();
            return self.unanswered.push(ending);
        }
        if !std::mem::replace(&mut ending.refused, true) {
            let delivery = &ending.delivery;
            tracing::warn!(
                job.class = delivery.class(),
                job.jid = delivery.jid(),
                queue = &*delivery.queue,
                reason = reason(error),
                "Redis refuses to take note of the job's end: it stays in flight and is tried again"
            );
        }
        self.refused.push(ending);
    }
}
