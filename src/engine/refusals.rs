//! What the server refuses for longer, because a right is missing for instance: said once when it
//! begins, however many of us it concerns, and once when it is over, and tried ever more slowly
//! meanwhile. (Where it refuses everything, the connection is given up instead, and `connect.rs`
//! tells of the outage.)

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

use super::errors::{breaks_connection, reason};

/// The pauses grow from this to that.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// What a process is refused at the moment: the server's words, since when, and how many of the
/// process's parts meet with them.
#[derive(Clone, Default)]
pub(crate) struct Complaints {
    known: Arc<Mutex<HashMap<String, (Instant, usize)>>>,
}

/// One thing that a part of the process asks for again and again, and how the server takes it.
pub(crate) struct Refusals {
    /// As in "Redis refuses to …".
    what: Cow<'static, str>,
    complaints: Complaints,
    /// The complaint that this is a part of.
    held: Option<String>,
    pause: Duration,
}

impl Complaints {
    pub(crate) fn about(&self, what: impl Into<Cow<'static, str>>) -> Refusals {
        let what = what.into();
        Refusals { what, complaints: self.clone(), held: None, pause: SHORTEST }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, usize)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusals {
    /// Takes note of an error; returns how long to wait before the next try.
    pub(crate) fn note(&mut self, error: &RedisError) -> Duration {
        if breaks_connection(error) {
            tracing::debug!(%error, "no answer to the request to {}", self.what);
            return SHORTEST;
        }
        if self.held.is_none() {
            self.hold(reason(error));
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It was done.
    pub(crate) fn passed(&mut self) {
        self.pause = SHORTEST;
        if let Some((reason, since)) = self.release() {
            let seconds = since.elapsed().as_secs_f32();
            tracing::info!(reason, "Redis no longer refuses that, after {seconds:.1} s");
        }
    }

    fn hold(&mut self, reason: String) {
        let mut known = self.complaints.lock();
        let (_, parts) = known.entry(reason.clone()).or_insert((Instant::now(), 0));
        *parts += 1;
        if *parts == 1 {
            tracing::warn!(reason, "Redis refuses to {}; trying again", self.what);
        }
        self.held = Some(reason);
    }

    /// Gives up the part in the complaint; returns it if this was the last one.
    fn release(&mut self) -> Option<(String, Instant)> {
        let reason = self.held.take()?;
        let mut known = self.complaints.lock();
        let (_, parts) = known.get_mut(&reason)?;
        *parts -= 1;
        let over = *parts == 0;
        over.then(|| known.remove_entry(&reason)).flatten().map(|(text, (since, _))| (text, since))
    }
}

/// Whoever asked has gone, a job that was aborted for instance: nobody knows whether it is over.
impl Drop for Refusals {
    fn drop(&mut self) {
        self.release();
    }
}
