//! The deliveries that this process holds, as it remembers them. Redis has the same in the
//! in-flight hash; a registration compares the two.
//!
//! A delivery enters exactly once: by the reply of its fetch, or, when that reply was lost, by
//! the first registration after it. Its bytes never change.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::task::AbortHandle;

use super::payload::Payload;
use super::readable::cut;

/// The place of a delivery in the in-flight hash: which fetch brought it, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) batch: u64,
    pub(crate) index: u32,
}

impl Field {
    pub(crate) fn parse(text: &str) -> Option<Field> {
        let (batch, index) = text.split_once(':')?;
        Some(Field { batch: batch.parse().ok()?, index: index.parse().ok()? })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.batch, self.index)
    }
}

/// Payloads up to this many bytes are shown whole.
const SHOWN: usize = 16 << 10;

/// One job in our hands: where it came from and its bytes as they were.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) field: Field,
    pub(crate) queue: Arc<str>,
    pub(crate) raw: Vec<u8>,
    pub(crate) since: Instant,
    /// Class and jid, known once the payload was read.
    pub(crate) who: OnceLock<(Arc<str>, Arc<str>)>,
    lost: AtomicBool,
    accusation: OnceLock<String>,
    finished: AtomicBool,
    left_behind: AtomicBool,
    rescued: AtomicBool,
    blamed: AtomicBool,
    /// It ended so that nothing is to be left of it.
    done: AtomicBool,
    /// Counts how often its job got a thread and gave it back: odd while it has one.
    polls: AtomicU32,
    shown: OnceLock<String>,
}

impl Delivery {
    pub(crate) fn new(field: Field, queue: Arc<str>, raw: Vec<u8>) -> Arc<Delivery> {
        Arc::new(Delivery {
            field,
            queue,
            raw,
            since: Instant::now(),
            who: OnceLock::new(),
            lost: AtomicBool::new(false),
            accusation: OnceLock::new(),
            finished: AtomicBool::new(false),
            left_behind: AtomicBool::new(false),
            rescued: AtomicBool::new(false),
            blamed: AtomicBool::new(false),
            done: AtomicBool::new(false),
            polls: AtomicU32::new(0),
            shown: OnceLock::new(),
        })
    }

    /// From a value of the in-flight hash: `LENGTH:QUEUE` and the payload.
    pub(crate) fn from_record(field: Field, value: &[u8]) -> Option<Arc<Delivery>> {
        let (queue, raw) = split_record(value)?;
        let queue = String::from_utf8_lossy(queue);
        Some(Delivery::new(field, queue.into(), raw.to_vec()))
    }

    /// Somebody else has this job now; whatever we do with it counts for nothing.
    pub(crate) fn lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// What to write down before this job starts, if processes have died with it before.
    pub(crate) fn accusation(&self) -> Option<&str> {
        self.accusation.get().map(String::as_str)
    }

    pub(crate) fn suspect(&self, accusation: String) {
        let _ = self.accusation.set(accusation);
    }

    /// There is a record of how often it outlived its process, to be deleted when it is done.
    pub(crate) fn was_rescued(&self) {
        self.rescued.store(true, Ordering::Relaxed);
    }

    pub(crate) fn rescued(&self) -> bool {
        self.rescued.load(Ordering::Relaxed)
    }

    /// True once: what it does wrong at every turn is said once.
    pub(crate) fn blamed(&self) -> bool {
        !self.blamed.swap(true, Ordering::Relaxed)
    }

    /// It ended well; its record is all that has to go.
    pub(crate) fn is_done(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// Marks the outcome as recorded; false if it already was.
    pub(crate) fn finish(&self) -> bool {
        !self.finished.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// At a stop it stays in flight, for the reaper to count it among those whose process died.
    pub(crate) fn leave_behind(&self) {
        self.left_behind.store(true, Ordering::Relaxed);
    }

    pub(crate) fn left_behind(&self) -> bool {
        self.left_behind.load(Ordering::Relaxed)
    }

    /// Runs its job, and notes for the watchdog when that has a thread.
    pub(crate) async fn watched<F: Future>(&self, run: F) -> F::Output {
        let mut run = pin!(run);
        poll_fn(|context| {
            self.polls.fetch_add(1, Ordering::Relaxed);
            let _thread = OnThread(&self.polls);
            run.as_mut().poll(context)
        })
        .await
    }

    /// The payload for those who look at the running jobs: without its arguments if it is long,
    /// because every beat writes it.
    pub(crate) fn shown(&self) -> Cow<'_, str> {
        if self.raw.len() <= SHOWN {
            return String::from_utf8_lossy(&self.raw);
        }
        let short = || match Payload::parse(&self.raw) {
            Ok(payload) => {
                let args = [format!("({} bytes)", self.raw.len())];
                String::from_utf8_lossy(&payload.with("args", args).to_bytes()).into_owned()
            }
            Err(_) => "{}".to_owned(), // about to be buried
        };
        Cow::from(self.shown.get_or_init(short))
    }

    /// In one line, without its arguments. A stranger chose jid and queue: they may hold anything.
    pub(crate) fn describe(&self) -> String {
        let (jid, queue) = (self.jid().escape_debug(), cut(&self.queue).escape_debug());
        let seconds = self.since.elapsed().as_secs();
        format!("{} {jid} on {queue} for {seconds} s", self.class())
    }

    pub(crate) fn class(&self) -> &str {
        self.who.get().map_or("", |(class, _)| class)
    }

    pub(crate) fn jid(&self) -> &str {
        self.who.get().map_or("", |(_, jid)| jid)
    }
}

/// A poll under way; it ends here also when it panics.
struct OnThread<'a>(&'a AtomicU32);

impl Drop for OnThread<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Queue name and payload of a value of an in-flight hash.
pub(crate) fn split_record(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = value.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&value[..colon]).ok()?.parse().ok()?;
    value[colon + 1..].split_at_checked(length)
}

/// All deliveries of this process.
#[derive(Default)]
pub(crate) struct Inflight {
    table: Mutex<Table>,
}

/// So many successes are remembered, in case Redis forgets them.
const REMEMBERED: usize = 50_000;

#[derive(Default)]
struct Table {
    held: HashMap<Field, Held>,
    /// The last ones of which nothing was to be left, as Redis has confirmed.
    succeeded: VecDeque<Field>,
    /// The batch whose fetch is under way, or whose reply was lost.
    pending: Option<(u64, Pending)>,
}

struct Held {
    delivery: Arc<Delivery>,
    running: Option<AbortHandle>,
}

#[derive(Clone, Copy, PartialEq)]
enum Pending {
    /// The reply may still come: its fields are none of anybody else's business.
    Awaited,
    /// No reply will come: the next registration tells whether it took anything.
    Doubtful,
}

/// What a registration found.
#[derive(Default, Debug, PartialEq)]
pub(crate) struct Findings {
    /// Deliveries of the doubtful batch: they are ours and nobody runs them yet.
    pub(crate) adopt: Vec<Field>,
    /// Jobs done with, as Redis has confirmed and forgotten: to be deleted, never to be run again.
    pub(crate) succeeded: Vec<Field>,
    /// Whatever else has ended, but Redis has gone back to before: the retry, the death that
    /// it confirmed may be gone, so this is all that is left of the job.
    pub(crate) forgotten: Vec<Field>,
    /// How many running jobs turned out to be no longer ours.
    pub(crate) lost: usize,
    /// Whether a doubtful batch is decided by this (by `adopt`, which may be empty).
    pub(crate) decides: bool,
}

impl Inflight {
    /// A fetch for this batch is about to be sent.
    pub(crate) fn awaits(&self, batch: u64) {
        self.lock().pending = Some((batch, Pending::Awaited));
    }

    /// The fetch for this batch ended without a reply.
    pub(crate) fn doubts(&self, batch: u64) {
        self.lock().pending = Some((batch, Pending::Doubtful));
    }

    /// The batch is decided: these deliveries are ours, and there will be no others.
    pub(crate) fn enter(&self, deliveries: &[Arc<Delivery>]) {
        let mut table = self.lock();
        table.pending = None;
        for delivery in deliveries {
            let held = Held { delivery: delivery.clone(), running: None };
            table.held.insert(delivery.field, held);
        }
    }

    /// Remembers how to end the run of a delivery.
    pub(crate) fn running(&self, field: Field, handle: AbortHandle) {
        if let Some(held) = self.lock().held.get_mut(&field) {
            held.running = Some(handle);
        }
    }

    /// Redis has confirmed the end of these.
    pub(crate) fn remove(&self, fields: impl IntoIterator<Item = Field>) {
        let mut table = self.lock();
        for field in fields {
            table.held.remove(&field);
        }
    }

    /// Redis has confirmed the end of these, and that nothing is left of them.
    pub(crate) fn succeeded(&self, fields: impl IntoIterator<Item = Field>) {
        let mut table = self.lock();
        for field in fields {
            table.held.remove(&field);
            if table.succeeded.len() == REMEMBERED {
                table.succeeded.pop_front();
            }
            table.succeeded.push_back(field);
        }
    }

    /// Compares with the fields that Redis holds for us.
    pub(crate) fn compare(&self, fields: &[Field]) -> Findings {
        let table = self.lock();
        let succeeded: HashSet<&Field> = match fields.is_empty() {
            true => HashSet::new(),
            false => table.succeeded.iter().collect(),
        };
        let decides = matches!(table.pending, Some((_, Pending::Doubtful)));
        let mut findings = Findings { decides, ..Findings::default() };
        for field in fields {
            match table.pending {
                Some((batch, Pending::Awaited)) if batch == field.batch => {}
                Some((batch, Pending::Doubtful)) if batch == field.batch => {
                    findings.adopt.push(*field)
                }
                _ if table.held.contains_key(field) => {}
                _ if succeeded.contains(field) => findings.succeeded.push(*field),
                _ => findings.forgotten.push(*field),
            }
        }
        let present: HashSet<&Field> = fields.iter().collect();
        for (field, held) in &table.held {
            let ours = present.contains(field) || held.delivery.finished();
            if !ours && !held.delivery.lost.swap(true, Ordering::Relaxed) {
                findings.lost += 1;
            }
        }
        findings
    }

    /// Everything held, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Delivery>> {
        let table = self.lock();
        let mut all: Vec<_> = table.held.values().map(|held| held.delivery.clone()).collect();
        all.sort_unstable_by_key(|delivery| delivery.field);
        all
    }

    /// Jobs that run (their outcome is not known yet).
    pub(crate) fn busy(&self) -> Vec<Arc<Delivery>> {
        self.all().into_iter().filter(|delivery| !delivery.finished()).collect()
    }

    /// Jobs that have a thread at this moment, and which of their polls that is.
    pub(crate) fn polling(&self) -> Vec<(Arc<Delivery>, u32)> {
        let table = self.lock();
        let polls = table.held.values().map(|held| {
            let poll = held.delivery.polls.load(Ordering::Relaxed);
            (held, poll)
        });
        let polling = polls.filter(|(_, poll)| poll % 2 == 1);
        polling.map(|(held, poll)| (held.delivery.clone(), poll)).collect()
    }

    /// Those that ended well, but Redis does not know of it yet.
    pub(crate) fn done(&self) -> Vec<Field> {
        let table = self.lock();
        let done = table.held.iter().filter(|(_, held)| held.delivery.done.load(Ordering::Relaxed));
        done.map(|(field, _)| *field).collect()
    }

    /// Whether this delivery is still ours, be it only that Redis does not know its end yet.
    pub(crate) fn holds(&self, field: Field) -> bool {
        self.lock().held.contains_key(&field)
    }

    /// Ends every run at its next await.
    pub(crate) fn abort_all(&self) {
        for held in self.lock().held.values() {
            if let Some(running) = &held.running {
                running.abort();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(batch: u64, index: u32) -> Arc<Delivery> {
        Delivery::new(Field { batch, index }, "q".into(), Vec::new())
    }

    #[test]
    fn records_split() {
        let delivery = Delivery::from_record(Field { batch: 1, index: 1 }, b"3:a:b{}").unwrap();
        assert_eq!((&*delivery.queue, &delivery.raw[..]), ("a:b", &b"{}"[..]));
        for bad in [&b""[..], b"3", b"9:ab", b"x:ab"] {
            assert!(split_record(bad).is_none());
        }
    }

    #[test]
    fn a_long_payload_is_shown_without_its_arguments() {
        let long = format!(r#"{{"class":"A","args":["{}"],"wrapped":"B"}}"#, "x".repeat(SHOWN));
        let shown = |raw: &str| {
            let field = Field { batch: 1, index: 1 };
            Delivery::new(field, "q".into(), raw.into()).shown().into_owned()
        };
        assert_eq!(shown(&long), r#"{"class":"A","args":["(16423 bytes)"],"wrapped":"B"}"#);
        assert_eq!(shown(r#"{"class":"A"}"#), r#"{"class":"A"}"#);
    }

    #[test]
    fn a_registration_decides() {
        let inflight = Inflight::default();
        let (kept, gone, done) = (delivery(1, 1), delivery(1, 2), delivery(1, 3));
        inflight.enter(&[kept.clone(), gone.clone(), done.clone()]);
        done.finish();
        inflight.doubts(2);
        let field = |batch, index| Field { batch, index };
        inflight.succeeded([field(1, 8)]);
        let found = inflight.compare(&[field(1, 1), field(2, 1), field(1, 8), field(1, 9)]);
        assert_eq!((found.adopt, found.succeeded), (vec![field(2, 1)], vec![field(1, 8)]));
        assert_eq!(found.forgotten, [field(1, 9)]);
        assert_eq!((found.lost, found.decides), (1, true));
        assert!(gone.lost() && !kept.lost() && !done.lost());
    }

    #[test]
    fn an_awaited_batch_is_left_alone() {
        let inflight = Inflight::default();
        inflight.awaits(5);
        assert_eq!(inflight.compare(&[Field { batch: 5, index: 1 }]), Findings::default());
    }
}
