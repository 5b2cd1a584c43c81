//! Running, quiet, stopping: one value that everything else follows. Signals of the operating
//! system, remote commands and tests all set it the same way.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::signals::{Heard, Signals};

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

/// Why a worker ends: what the code that it exits with says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exit {
    /// It was told to, by a signal or a remote command.
    #[default]
    Asked,
    /// It is stuck and gives up: a fresh one is wanted.
    Stalled,
    /// It takes more memory than it may: a fresh one is wanted.
    Memory,
}

impl Exit {
    /// The code: 0; 70 (`EX_SOFTWARE`); 75 (`EX_TEMPFAIL`).
    pub fn code(self) -> u8 {
        match self {
            Exit::Asked => 0,
            Exit::Stalled => 70,
            Exit::Memory => 75,
        }
    }
}

/// How a worker is, as its engine tells it twice a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Redis knows this process, so it may take jobs. False until the first connection, and again
    /// in an outage.
    pub registered: bool,
    /// Jobs in progress.
    pub busy: usize,
    /// Heartbeats come through: its record in Redis lives.
    pub beating: bool,
    /// Due jobs of the retry and scheduled sets are brought to their queues.
    pub scheduling: bool,
}

/// What all last acts together may take.
const LAST_ACTS: Duration = Duration::from_secs(2);

type LastAct = Box<dyn FnOnce(Exit) + Send>;

/// A handle on the phase of this process; clones share it.
#[derive(Clone)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    pulse: watch::Sender<Pulse>,
    exit: Arc<Mutex<Exit>>,
    dump: Arc<Notify>,
    last_acts: Arc<Mutex<Vec<LastAct>>>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Lifecycle::new()
    }
}

impl Lifecycle {
    /// One that only `quiet` and `stop` move: for tests and embedding.
    pub fn new() -> Lifecycle {
        let (phase, pulse) = (watch::Sender::new(Phase::Running), watch::Sender::default());
        let (exit, dump, last_acts) = (Arc::default(), Arc::default(), Arc::default());
        Lifecycle { phase, pulse, exit, dump, last_acts }
    }

    /// A worker's, also if it is a part of a web process: TERM, INT, HUP and QUIT stop, TSTP and USR2 quiet, TTIN lists the running
    /// jobs. Repeats change nothing: platforms and local runners do send them twice. QUIT and USR2
    /// are Resque's words for it. USR1 meant two things to two systems (be quiet, abort the job):
    /// it is ignored, aloud. Call it first of all; an error if the handlers cannot be installed.
    pub fn for_worker() -> io::Result<Lifecycle> {
        Lifecycle::follow(|signal, this| match signal {
            Heard::Stop => this.stop(),
            Heard::Quiet => this.quiet(),
            Heard::Dump => this.dump.notify_one(),
            Heard::Unclear => tracing::warn!("USR1 ignored: TSTP is quiet, TERM is stop"),
        })
    }

    /// A web process's: TERM, INT, HUP and QUIT stop, the others are ignored (by default they
    /// would freeze us, or kill).
    pub fn for_web() -> io::Result<Lifecycle> {
        Lifecycle::follow(|signal, this| {
            if signal == Heard::Stop {
                this.stop();
            }
        })
    }

    /// On a thread of its own: jobs that hog the runtime must not keep a TERM from being heard.
    fn follow(act: fn(Heard, &Lifecycle)) -> io::Result<Lifecycle> {
        let lifecycle = Lifecycle::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut signals = {
            let _here = runtime.enter();
            Signals::install()?
        };
        let this = lifecycle.clone();
        let listen = async move {
            loop {
                act(signals.next().await, &this);
            }
        };
        let thread = thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || runtime.block_on(listen))?;
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
        self.end(Exit::Asked);
    }

    /// Begins to stop for this reason, unless it already does for another.
    pub(crate) fn end(&self, exit: Exit) {
        self.because(exit, Phase::Stopping);
    }

    /// Takes no new job, so as to end for this reason when the last one has.
    pub(crate) fn quiet_for(&self, exit: Exit) {
        self.because(exit, Phase::Quiet);
    }

    /// Why the process ends.
    pub(crate) fn exit(&self) -> Exit {
        *lock(&self.exit)
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

    /// How the worker is at this moment.
    pub fn pulse(&self) -> Pulse {
        *self.pulse.borrow()
    }

    /// Resolves once it is another than this.
    pub async fn pulse_other_than(&self, known: Pulse) {
        // cannot fail, as above
        let _ = self.pulse.subscribe().wait_for(|pulse| *pulse != known).await;
    }

    /// Resolves once the worker is registered in Redis and takes jobs. Never in a web process.
    pub async fn ready(&self) {
        let _ = self.pulse.subscribe().wait_for(|pulse| pulse.registered).await;
    }

    pub(crate) fn tell(&self, pulse: Pulse) {
        self.pulse.send_if_modified(|now| std::mem::replace(now, pulse) != pulse);
    }

    /// Does this, too, before a process ends whose runtime is stuck: then `Worker::run` cannot
    /// return, and nothing is dropped. Those that hang or panic do not keep it.
    pub fn before_leaving(&self, act: impl FnOnce(Exit) + Send + 'static) {
        lock(&self.last_acts).push(Box::new(act));
    }

    /// Ends the process from whatever thread this is.
    pub(crate) fn leave(&self) -> ! {
        let exit = self.exit();
        let acts = std::mem::take(&mut *lock(&self.last_acts));
        let (done, all) = mpsc::channel::<()>();
        let acting = thread::Builder::new().spawn(move || {
            for act in acts {
                let _ = catch_unwind(AssertUnwindSafe(|| act(exit)));
            }
            drop(done);
        });
        if acting.is_ok() {
            let _ = all.recv_timeout(LAST_ACTS);
        }
        std::process::exit(exit.code().into())
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

    fn because(&self, exit: Exit, to: Phase) {
        let mut why = lock(&self.exit);
        if self.phase() < Phase::Stopping {
            *why = exit;
        }
        self.advance(to);
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = to > *now;
            *now = to.max(*now);
            forward
        });
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
