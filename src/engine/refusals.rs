//! What the server refuses for longer, because a right is missing for instance: said once when it
//! begins and once when it is over, and tried ever more slowly meanwhile. (Where it refuses
//! everything, the connection is given up instead, and `connect.rs` tells of the outage.)

use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

use super::errors::{breaks_connection, reason};

/// The pauses grow from this to that.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// One thing that we ask for again and again, and how the server takes it.
pub(crate) struct Refusals {
    /// As in "Redis refuses to …".
    what: &'static str,
    since: Option<Instant>,
    pause: Duration,
}

impl Refusals {
    pub(crate) fn to(what: &'static str) -> Refusals {
        Refusals { what, since: None, pause: SHORTEST }
    }

    /// Takes note of an error; returns how long to wait before the next try.
    pub(crate) fn note(&mut self, error: &RedisError) -> Duration {
        if breaks_connection(error) {
            tracing::debug!(%error, "no answer to the request to {}", self.what);
            return SHORTEST;
        }
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!(reason = reason(error), "Redis refuses to {}; trying again", self.what);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It was done.
    pub(crate) fn passed(&mut self) {
        if let Some(since) = self.since.take() {
            let seconds = since.elapsed().as_secs_f32();
            tracing::info!("Redis no longer refuses to {}, after {seconds:.1} s", self.what);
        }
        self.pause = SHORTEST;
    }
}
