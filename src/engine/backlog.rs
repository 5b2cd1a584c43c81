//! What a buffered client holds: jobs in their order, which of them were promised to a caller,
//! which may be in Redis already, what was refused. Decisions only; `buffered` does the sending.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::oneshot;

use super::enqueue_error::EnqueueError;
use super::jid::new_jid;
use super::payload::Payload;
use super::pushing::Place;

/// How much a buffered client keeps while Redis takes no jobs.
#[derive(Clone, Copy, Debug)]
pub struct BufferLimits {
    /// Jobs at most. Default 1,000.
    pub jobs: usize,
    /// Bytes of their payloads at most. Default 8 MiB.
    pub bytes: usize,
}

impl Default for BufferLimits {
    fn default() -> Self {
        BufferLimits { jobs: 1_000, bytes: 8 << 20 }
    }
}

/// Where a job is after a push through a buffered client. All hold a jid.
#[derive(Clone, Debug, PartialEq)]
pub enum Pushed {
    /// In Redis.
    Delivered(String),
    /// Nothing was enqueued: this job, of the same kind (see `Job::UNIQUE_FOR`), is there already.
    Existed(String),
    /// In the memory of this process, to be brought to Redis as soon as it takes jobs again.
    Buffered(String),
}

impl Pushed {
    /// The job's id.
    pub fn jid(&self) -> &str {
        match self {
            Pushed::Delivered(jid) | Pushed::Existed(jid) | Pushed::Buffered(jid) => jid,
        }
    }
}

pub(crate) type Answer = Result<Pushed, EnqueueError>;

/// A call carries so many jobs and bytes (but one job at least): what a lost reply leaves in
/// doubt, and what a script may hold up a server with.
const CALL_JOBS: usize = 100;
const CALL_BYTES: usize = 1 << 20;

struct Item {
    id: String,
    payload: Payload,
    size: usize,
    /// Redis may have it, or may get it late.
    in_doubt: bool,
    /// Who waits to hear of it; nobody, once it is promised.
    waiter: Option<oneshot::Sender<Answer>>,
}

impl Item {
    fn answer(&mut self, answer: Answer) {
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.send(answer);
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.payload.class(), self.payload.jid())
    }
}

/// Increments for Redis, under the id that makes them count once.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) id: String,
    pub(crate) refused: u64,
    pub(crate) dropped: u64,
    in_doubt: bool,
}

impl Counts {
    fn any(&self) -> bool {
        self.refused + self.dropped > 0
    }
}

/// One request: the first jobs, and what else is due.
pub(crate) struct Call {
    /// Id and payload of each job.
    pub(crate) jobs: Vec<(String, Payload)>,
    /// Ids whose pushes are known to be done, none of them sent more than once.
    pub(crate) obsolete: Vec<String>,
    pub(crate) counts: Option<Counts>,
}

/// From the first job that was kept or refused to the delivery of the last one kept.
struct Outage {
    since: Instant,
    kept: usize,
    refused: u64,
}

#[derive(Default)]
pub(crate) struct Backlog {
    limits: BufferLimits,
    items: VecDeque<Item>,
    /// How many of the first items are on their way.
    under_way: usize,
    /// Promised jobs and their bytes.
    kept: (usize, usize),
    obsolete: Vec<String>,
    counts: Counts,
    counts_sent: Option<Counts>,
    /// Why the last call failed.
    down: Option<EnqueueError>,
    outage: Option<Outage>,
    /// Call also when there are no jobs to send.
    tidying: bool,
}

impl Backlog {
    pub(crate) fn new(limits: BufferLimits) -> Backlog {
        Backlog { limits, ..Backlog::default() }
    }

    /// Promised jobs.
    pub(crate) fn kept(&self) -> usize {
        self.kept.0
    }

    /// Takes a job; what becomes of it comes through the receiver: at once while Redis is away.
    pub(crate) fn admit(&mut self, payload: Payload) -> oneshot::Receiver<Answer> {
        let (waiter, answer) = oneshot::channel();
        let (id, size) = (new_jid(), payload.to_bytes().len());
        let item = Item { id, payload, size, in_doubt: false, waiter: Some(waiter) };
        match self.down {
            Some(_) => self.promise(item),
            None => self.items.push_back(item),
        }
        answer
    }

    /// Keeps a job for later, its caller knowing, or refuses it.
    fn promise(&mut self, mut item: Item) {
        let why = self.down.as_ref().map(EnqueueError::to_string).unwrap_or_default();
        let outage = self.outage.get_or_insert_with(|| {
            tracing::warn!(why, "Redis takes no jobs now; they are kept in memory until it does");
            Outage { since: Instant::now(), kept: 0, refused: 0 }
        });
        if self.kept.0 < self.limits.jobs && self.kept.1 + item.size <= self.limits.bytes {
            outage.kept += 1;
            self.kept = (self.kept.0 + 1, self.kept.1 + item.size);
            item.answer(Ok(Pushed::Buffered(item.payload.jid())));
            self.items.push_back(item);
        } else {
            outage.refused += 1;
            self.counts.refused += 1;
            let why = format!("{why}; and the memory for such jobs is full");
            item.answer(Err(match item.in_doubt {
                true => EnqueueError::Unknown(why),
                false => EnqueueError::Unavailable(why),
            }));
        }
    }

    /// What to send now, if anything.
    pub(crate) fn next(&mut self) -> Option<Call> {
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        for item in self.items.iter().take(CALL_JOBS) {
            bytes += item.size;
            if bytes > CALL_BYTES && !jobs.is_empty() {
                break;
            }
            jobs.push((item.id.clone(), item.payload.clone()));
        }
        if jobs.is_empty() && !(self.tidying && self.untidy()) {
            return None;
        }
        self.under_way = jobs.len();
        if self.counts_sent.is_none() && self.counts.any() {
            let counts = std::mem::take(&mut self.counts);
            self.counts_sent = Some(Counts { id: new_jid(), ..counts });
        }
        Some(Call { jobs, obsolete: self.obsolete.clone(), counts: self.counts_sent.clone() })
    }

    /// The answer to a call: for each job whether it is enqueued, or why it never will be.
    pub(crate) fn settle(&mut self, call: &Call, replies: Vec<Place>) {
        self.down = None;
        self.under_way = 0;
        self.obsolete.drain(..call.obsolete.len());
        if let Some(counts) = self.counts_sent.take().filter(|counts| !counts.in_doubt) {
            self.obsolete.push(counts.id);
        }
        for ((id, _), reply) in call.jobs.iter().zip(replies) {
            // what was given up meanwhile is not there
            if self.items.front().is_some_and(|item| item.id == *id)
                && let Some(item) = self.items.pop_front()
            {
                self.end(item, reply);
            }
        }
        if let Some(Outage { since, kept, refused }) = self.outage.take_if(|_| self.kept.0 == 0) {
            let seconds = since.elapsed().as_secs_f32();
            tracing::info!(
                refused,
                "Redis takes jobs again after {seconds:.1} s; it has the {kept} that were kept in memory"
            );
        }
    }

    fn end(&mut self, mut item: Item, reply: Place) {
        let promised = item.waiter.is_none();
        if promised {
            self.kept = (self.kept.0 - 1, self.kept.1 - item.size);
        }
        match reply {
            Ok(Some(holder)) => item.answer(Ok(Pushed::Existed(holder))),
            Ok(None) => {
                // the marker of one that may arrive again must outlive that
                if !item.in_doubt {
                    self.obsolete.push(item.id.clone());
                }
                item.answer(Ok(Pushed::Delivered(item.payload.jid())));
            }
            Err(why) if promised => {
                let why = why.to_string();
                self.counts.dropped += 1;
                tracing::error!(
                    job = item.name(),
                    why,
                    "a job that was kept in memory is dropped: Redis refuses it"
                );
            }
            Err(why) => item.answer(Err(why)),
        }
    }

    /// A call failed. Whoever waits gets a promise or a refusal.
    pub(crate) fn fail(&mut self, call: &Call, error: EnqueueError) {
        if matches!(error, EnqueueError::Unknown(_)) {
            let sent = self.items.iter_mut().take(self.under_way.min(call.jobs.len()));
            sent.for_each(|item| item.in_doubt = true);
            self.counts_sent.iter_mut().for_each(|counts| counts.in_doubt = true);
        }
        self.down = Some(error);
        self.under_way = 0;
        for item in std::mem::take(&mut self.items) {
            match item.waiter {
                Some(_) => self.promise(item),
                None => self.items.push_back(item),
            }
        }
    }

    /// From now on also what nobody waits for is sent.
    pub(crate) fn tidy(&mut self) {
        self.tidying = true;
    }

    /// Whether there is nothing to wait for at the end of a process.
    pub(crate) fn done(&self) -> bool {
        self.items.is_empty() && (self.down.is_some() || !self.untidy())
    }

    fn untidy(&self) -> bool {
        !self.obsolete.is_empty() || self.counts.any() || self.counts_sent.is_some()
    }

    /// The end: what is still here is lost, and its names are logged. Returns how many of them
    /// were promised.
    pub(crate) fn give_up(&mut self) -> usize {
        self.tidying = false;
        let under_way = std::mem::take(&mut self.under_way);
        let mut names = Vec::new();
        for (at, mut item) in std::mem::take(&mut self.items).into_iter().enumerate() {
            let doubt = item.in_doubt || at < under_way;
            match (item.waiter.is_none(), doubt) {
                (true, true) => names.push(item.name() + " (perhaps enqueued)"),
                (true, false) => names.push(item.name()),
                (false, true) => item.answer(Err(EnqueueError::Unknown(ENDS.to_owned()))),
                (false, false) => item.answer(Err(EnqueueError::Unavailable(ENDS.to_owned()))),
            }
        }
        self.kept = (0, 0);
        for some in names.chunks(CALL_JOBS) {
            let jobs = some.join(", ");
            tracing::error!(
                jobs,
                "{} jobs in memory are lost: Redis did not take them in time",
                some.len()
            );
        }
        names.len()
    }
}

const ENDS: &str = "the buffered client ended first";
