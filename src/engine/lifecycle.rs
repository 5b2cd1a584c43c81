//! Running, quiet, stopping: one value that everything else follows. Signals of the operating
//! system, remote commands and tests all set it the same way.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

// tokio names neither. The numbers differ by system.
const TSTP: i32 = if cfg!(target_os = "linux") { 20 } else { 18 };
const TTIN: i32 = 21;

/// Where a process is in its life. It only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Takes and runs jobs.
    Running,
    /// Takes no new job; what runs goes on (iterable jobs leave at their next checkpoint).
    Quiet,
    /// Leaves: running jobs get the grace, the rest goes back to its queues.
    Stopping,
}

/// A handle on the phase of this process; clones share it.
#[derive(Clone)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    dump: Arc<Notify>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Lifecycle::new()
    }
}

impl Lifecycle {
    /// One that only `quiet` and `stop` move: for tests and embedding.
    pub fn new() -> Lifecycle {
        Lifecycle { phase: watch::Sender::new(Phase::Running), dump: Arc::default() }
    }

    /// A worker's: TERM, INT and HUP stop, TSTP quiets, TTIN lists the running jobs. Repeats
    /// change nothing: platforms and local runners do send them twice. Call it first of all, in
    /// a tokio runtime; an error if the handlers cannot be installed.
    pub fn from_signals() -> io::Result<Lifecycle> {
        let lifecycle = Lifecycle::for_web()?;
        let (mut quiet, mut dump) = (tstp()?, signal(SignalKind::from_raw(TTIN))?);
        let this = lifecycle.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = quiet.recv() => this.quiet(),
                    Some(()) = dump.recv() => this.dump.notify_one(),
                    else => return,
                }
            }
        });
        Ok(lifecycle)
    }

    /// A web process's: TERM, INT and HUP stop, TSTP and TTIN are
    /// ignored (their default would freeze us).
    pub fn for_web() -> io::Result<Lifecycle> {
        let lifecycle = Lifecycle::new();
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let mut hup = signal(SignalKind::hangup())?;
        let (mut tstp, mut ttin) = (tstp()?, signal(SignalKind::from_raw(TTIN))?);
        let this = lifecycle.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = term.recv() => this.stop(),
                    Some(()) = int.recv() => this.stop(),
                    Some(()) = hup.recv() => this.stop(),
                    Some(()) = tstp.recv() => {}
                    Some(()) = ttin.recv() => {}
                    else => return,
                }
            }
        });
        Ok(lifecycle)
    }

    /// The phase at this moment.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Takes no new job from now on; there is no way back.
    pub fn quiet(&self) {
        self.advance(Phase::Quiet);
    }

    /// Begins to stop; later calls change nothing.
    pub fn stop(&self) {
        self.advance(Phase::Stopping);
    }

    /// Resolves once the phase is at least this one.
    pub async fn reached(&self, phase: Phase) {
        let mut changes = self.phase.subscribe();
        // cannot fail: we hold a sender ourselves
        let _ = changes.wait_for(|now| *now >= phase).await;
    }

    /// Resolves once the process is stopping.
    pub async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    /// Resolves at each request to list the running jobs.
    pub(crate) async fn dump_requested(&self) {
        self.dump.notified().await;
    }

    /// What a remote command of Sidekiq's API asks for; unknown ones are ignored.
    pub(crate) fn command(&self, name: &str) {
        match name {
            "TSTP" => self.quiet(),
            "TERM" | "INT" => self.stop(),
            "TTIN" => self.dump.notify_one(),
            other => tracing::warn!(command = other, "unknown remote command ignored"),
        }
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = to > *now;
            *now = to.max(*now);
            forward
        });
    }
}

fn tstp() -> io::Result<Signal> {
    signal(SignalKind::from_raw(TSTP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_forward() {
        let lifecycle = Lifecycle::new();
        lifecycle.command("TERM");
        lifecycle.quiet();
        lifecycle.command("NONSENSE");
        lifecycle.stopping().await;
        assert_eq!(lifecycle.phase(), Phase::Stopping);
    }
}
