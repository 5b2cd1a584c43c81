//! The worker under measurement: this program again, and what it does and takes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use roustabout::engine::{Job, JobContext, Lifecycle, Redis, Registry, Worker, WorkerOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// What the child is to do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Setup {
    pub workers: usize,
    pub concurrency: usize,
    /// Jobs that come before those that count.
    pub warm_up: usize,
    /// What it waits for.
    pub jobs: usize,
    pub sleep: u64,
    /// Whether it notes how late each job starts.
    pub timed: bool,
}

/// What it saw.
#[derive(Serialize, Deserialize)]
pub struct Seen {
    /// From the first start to the last, in seconds.
    pub seconds: f64,
    /// From its moment to its start, of each job, in µs, in the order of the starts.
    pub late: Vec<u32>,
}

/// Does nothing, or sleeps.
#[derive(Serialize, Deserialize)]
pub struct Noop {
    /// When it was enqueued, or is due: epoch seconds; 0 where nobody asks.
    pub moment: f64,
    pub padding: String,
}

impl Job for Noop {
    type App = Notes;
    const CLASS: &'static str = "Noop";

    async fn perform(self, cx: JobContext<Notes>) -> anyhow::Result<()> {
        cx.app.note(self.moment);
        if !cx.app.sleep.is_zero() {
            tokio::time::sleep(cx.app.sleep).await;
        }
        Ok(())
    }
}

/// What the jobs leave behind: cheap, since it is measured too.
#[derive(Clone)]
pub struct Notes {
    shared: Arc<Shared>,
    sleep: Duration,
}

struct Shared {
    started: AtomicUsize,
    first: AtomicU64,
    last: AtomicU64,
    late: Vec<AtomicU32>,
    warm_up: usize,
    wanted: usize,
    warm: Notify,
    done: Notify,
}

impl Notes {
    fn new(setup: &Setup) -> Notes {
        let late = if setup.timed { setup.jobs } else { 0 };
        let shared = Shared {
            started: AtomicUsize::new(0),
            first: AtomicU64::new(0),
            last: AtomicU64::new(0),
            late: (0..late).map(|_| AtomicU32::new(0)).collect(),
            warm_up: setup.warm_up,
            wanted: setup.warm_up + setup.jobs,
            warm: Notify::new(),
            done: Notify::new(),
        };
        Notes { shared: Arc::new(shared), sleep: Duration::from_millis(setup.sleep) }
    }

    fn note(&self, moment: f64) {
        let shared = &*self.shared;
        let place = shared.started.fetch_add(1, Ordering::Relaxed);
        if let Some(late) = shared.late.get(place) {
            late.store(((epoch() - moment) * 1e6).max(0.0) as u32, Ordering::Relaxed);
        }
        if place == shared.warm_up {
            shared.first.store((epoch() * 1e6) as u64, Ordering::Relaxed);
        }
        if place + 1 == shared.warm_up {
            shared.warm.notify_one();
        }
        if place + 1 == shared.wanted {
            shared.last.store((epoch() * 1e6) as u64, Ordering::Relaxed);
            shared.done.notify_one();
        }
    }

    fn seen(&self) -> Seen {
        let time = |moment: &AtomicU64| moment.load(Ordering::Relaxed) as f64 / 1e6;
        let late = self.shared.late.iter().map(|late| late.load(Ordering::Relaxed)).collect();
        Seen { seconds: time(&self.shared.last) - time(&self.shared.first), late }
    }
}

pub fn epoch() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}

/// The child's side: works until it has seen all jobs, says what it saw, and goes when its
/// standard input is closed.
pub async fn work(setup: Setup, redis: Redis) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::for_worker()?;
    let notes = Notes::new(&setup);
    let options = WorkerOptions { concurrency: setup.concurrency, ..WorkerOptions::default() };
    let worker = |redis| {
        let registry = Registry::new(notes.clone()).job::<Noop>();
        Worker::new(options.clone(), redis, registry).run(lifecycle.clone())
    };
    let mut running = tokio::task::JoinSet::new();
    running.spawn(worker(redis));
    for _ in 1..setup.workers {
        running.spawn(worker(crate::redis()?));
    }
    if setup.warm_up > 0 {
        notes.shared.warm.notified().await;
        println!();
    }
    if setup.jobs > 0 {
        notes.shared.done.notified().await;
        println!("{}", serde_json::to_string(&notes.seen())?);
    }
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;
    lifecycle.stop();
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

/// The parent's side.
pub struct Running {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(setup: &Setup) -> anyhow::Result<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--worker").arg(serde_json::to_string(setup)?).env("RUST_LOG", "warn");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = BufReader::new(process.stdout.take().context("its output")?);
        Ok(Running { process, said })
    }

    /// Waits until it has seen the jobs that do not count.
    pub fn warm(&mut self) -> anyhow::Result<()> {
        self.said.read_line(&mut String::new())?;
        Ok(())
    }

    /// Waits until it has seen all jobs.
    pub fn seen(&mut self) -> anyhow::Result<Seen> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        serde_json::from_str(&line).context("the worker ended too soon")
    }

    /// Seconds of processor time up to now.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        const TICKS: f64 = 100.0; // per second: the same wherever Linux shows them
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
        let times = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = times.filter_map(|time| time.parse::<f64>().ok()).sum();
        Ok(ticks / TICKS)
    }

    /// Resident memory at the moment and at its highest, in MiB.
    pub fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            number.map(|kib| kib / 1024.0).with_context(|| format!("no {name} in /proc"))
        };
        Ok((mib("VmRSS:")?, mib("VmHWM:")?))
    }

    /// Lets it go and waits for a clean end.
    pub fn end(mut self) -> anyhow::Result<()> {
        if let Some(mut stdin) = self.process.stdin.take() {
            let _ = stdin.flush();
        }
        let status = self.process.wait()?;
        ensure!(status.success(), "the worker failed: {status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
