//! One job in our hands: where it came from, its bytes, which never change, and what the parts of
//! the process tell each other about it.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tracing::Span;

use super::field::{Field, split_name};
use super::payload::Payload;
use super::readable::cut;
use super::status::Draft;
use super::ties::Ties;

/// Payloads up to this many bytes are shown whole.
const SHOWN: usize = 16 << 10;

/// What a payload says its job is.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) class: Arc<str>,
    pub(crate) jid: Arc<str>,
    /// In a box: few have any.
    pub(crate) ties: Option<Box<Ties>>,
}

/// One job in our hands: where it came from and its bytes as they were.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) field: Field,
    pub(crate) queue: Arc<str>,
    pub(crate) raw: Vec<u8>,
    pub(crate) since: Instant,
    /// Known once the payload was read.
    pub(crate) who: OnceLock<Who>,
    lost: AtomicBool,
    accusation: OnceLock<String>,
    finished: AtomicBool,
    left_behind: AtomicBool,
    rescued: AtomicBool,
    blamed: AtomicBool,
    limited: AtomicBool,
    /// It ended so that nothing is to be left of it.
    done: AtomicBool,
    /// Counts how often its job got a thread and gave it back: odd while it has one.
    polls: AtomicU32,
    shown: OnceLock<String>,
    /// What its run has to tell; in a box, since few have anything.
    draft: Mutex<Option<Box<Draft>>>,
    /// It is among those of which there is news.
    noted: AtomicBool,
    span: OnceLock<Span>,
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
            limited: AtomicBool::new(false),
            done: AtomicBool::new(false),
            polls: AtomicU32::new(0),
            shown: OnceLock::new(),
            draft: Mutex::new(None),
            noted: AtomicBool::new(false),
            span: OnceLock::new(),
        })
    }

    /// From a field of the in-flight hash and its value, the payload.
    pub(crate) fn from_record(name: &str, raw: Vec<u8>) -> Option<Arc<Delivery>> {
        let (field, queue) = split_name(name)?;
        Some(Delivery::new(field, queue.into(), raw))
    }

    /// The name of its field in the in-flight hash.
    pub(crate) fn name(&self) -> String {
        let Field { batch, index } = self.field;
        format!("{batch}:{index}:{}", self.queue)
    }

    /// Somebody else has this job; true if that is news.
    pub(crate) fn lose(&self) -> bool {
        !self.lost.swap(true, Ordering::Relaxed)
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

    /// It counts among the jobs in progress of its queue, and gives its share back at its end.
    pub(crate) fn limit(&self) {
        self.limited.store(true, Ordering::Relaxed);
    }

    pub(crate) fn limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    /// It ended well; its record is all that has to go.
    pub(crate) fn is_done(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    pub(crate) fn done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
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
    pub(crate) async fn watched<F: Future>(&self, mut run: Pin<&mut F>) -> F::Output {
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

    /// Where what is said about its run belongs.
    pub(crate) fn log_within(&self, span: &Span) {
        let _ = self.span.set(span.clone());
    }

    pub(crate) fn span(&self) -> Option<&Span> {
        self.span.get()
    }

    /// Which poll it is in, if its job has a thread at this moment.
    pub(crate) fn polling(&self) -> Option<u32> {
        Some(self.polls.load(Ordering::Relaxed)).filter(|poll| poll % 2 == 1)
    }

    /// In one line, without its arguments. A stranger chose jid and queue: they may hold anything.
    pub(crate) fn describe(&self) -> String {
        let (jid, queue) = (self.jid().escape_debug(), cut(&self.queue).escape_debug());
        let seconds = self.since.elapsed().as_secs();
        format!("{} {jid} on {queue} for {seconds} s", self.class())
    }

    pub(crate) fn class(&self) -> &str {
        self.who.get().map_or("", |who| &who.class)
    }

    /// What its end has to settle.
    pub(crate) fn ties(&self) -> Option<&Ties> {
        self.who.get()?.ties.as_deref()
    }

    /// How long its status is kept, in seconds, if somebody may ask for it.
    pub(crate) fn status_for(&self) -> Option<u64> {
        self.ties()?.status_for
    }

    /// What its run has to tell so far.
    pub(crate) fn draft(&self) -> Draft {
        self.drafted(|draft| draft.clone())
    }

    /// Adds to that.
    pub(crate) fn drafted<T>(&self, write: impl FnOnce(&mut Draft) -> T) -> T {
        let mut draft = self.draft.lock().unwrap_or_else(PoisonError::into_inner);
        write(draft.get_or_insert_default())
    }

    /// Marks it as one of which there is news; whether it was that already.
    pub(crate) fn is_noted(&self) -> bool {
        self.noted.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn taken_note(&self) {
        self.noted.store(false, Ordering::Release);
    }

    pub(crate) fn jid(&self) -> &str {
        self.who.get().map_or("", |who| &who.jid)
    }
}

/// A poll under way; it ends here also when it panics.
struct OnThread<'a>(&'a AtomicU32);

impl Drop for OnThread<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
