//! Measures the engine: pushes jobs to a real worker in a process of its own and reports how many
//! a second it ends, or how long after its moment each starts.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/9 cargo run --release --example load -- --mode drain --jobs 100000
//! ```
//!
//! A benchmark, not a test: it asserts nothing, and its numbers mean something only beside others
//! of the same machine and hour.

use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use roustabout::engine::{
    Client, Job, JobContext, Lifecycle, Redis, RedisOptions, Registry, TlsVerify, Worker,
    WorkerOptions,
};
use serde::{Deserialize, Serialize};

/// Does nothing, and notes how long after its moment it began.
#[derive(Serialize, Deserialize)]
struct Noop {
    moment: f64,
    padding: String,
}

/// When each job began and how late that was, in seconds.
#[derive(Clone)]
struct Notes {
    starts: Arc<Mutex<Vec<(f64, f64)>>>,
    wanted: usize,
    lifecycle: Lifecycle,
}

impl Job for Noop {
    type App = Notes;
    const CLASS: &'static str = "Noop";

    async fn perform(self, cx: JobContext<Notes>) -> anyhow::Result<()> {
        let now = epoch();
        let mut starts = cx.app.starts.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        starts.push((now, now - self.moment));
        if starts.len() >= cx.app.wanted {
            cx.app.lifecycle.stop();
        }
        Ok(())
    }
}

/// Measures the engine on the Redis that REDIS_URL names. The server must be empty.
#[derive(Parser)]
#[command(name = "load")]
struct Settings {
    #[arg(long, value_enum, default_value_t = Mode::Drain)]
    mode: Mode,
    /// How many; 100,000 to drain, else 200
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Jobs at once
    #[arg(long, value_name = "C", default_value_t = 10)]
    concurrency: usize,
    /// The size of a job in Redis, about
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    payload: usize,
    /// Empty the database first
    #[arg(long)]
    flush: bool,
    /// This program's other half
    #[arg(long, hide = true)]
    worker: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Mode {
    /// Push N jobs, then let a worker drain them: jobs per second
    Drain,
    /// An idle worker, a job every 20 ms: from enqueue to start
    Latency,
    /// An idle worker, a job due every 20 ms: from its time to its start
    Schedule,
}

impl Settings {
    fn jobs(&self) -> usize {
        self.jobs.unwrap_or(if self.mode == Mode::Drain { 100_000 } else { 200 })
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let outcome = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        match settings.worker {
            true => runtime.block_on(worker(settings)),
            false => runtime.block_on(measure(settings)),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn redis() -> anyhow::Result<Redis> {
    let url = std::env::var("REDIS_URL").context("REDIS_URL names the server to measure")?;
    let options = RedisOptions::parse(&url, TlsVerify::Full);
    Ok(Redis::connect(options.map_err(|why| anyhow::anyhow!("REDIS_URL: {why}"))?))
}

/// The child: works until it has seen all jobs, then prints when each began.
async fn worker(settings: Settings) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::for_worker()?;
    let (starts, wanted) = (Arc::default(), settings.jobs());
    let notes = Notes { starts, wanted, lifecycle: lifecycle.clone() };
    let registry = Registry::new(notes.clone()).job::<Noop>();
    let options = WorkerOptions { concurrency: settings.concurrency, ..WorkerOptions::default() };
    Worker::new(options, redis()?, registry).run(lifecycle).await?;
    let starts = notes.starts.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    println!("{}", serde_json::to_string(&*starts)?);
    Ok(())
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    let redis = redis()?;
    redis.up().await?;
    if settings.flush {
        redis.query::<()>(&redis::cmd("FLUSHDB")).await?;
    }
    let keys: usize = redis.query(&redis::cmd("DBSIZE")).await?;
    ensure!(keys == 0, "the database holds {keys} keys; --flush deletes them");
    let client = Client::new(redis.clone());
    let padding = "x".repeat(settings.payload.saturating_sub(150));
    let noop = |moment| Noop { moment, padding: padding.clone() };
    if settings.mode == Mode::Drain {
        client.enqueue_all((0..settings.jobs()).map(|_| noop(epoch()))).await?;
    }
    let child = start_worker(&settings)?;
    if settings.mode != Mode::Drain {
        registered(&redis).await?;
        let scheduled = settings.mode == Mode::Schedule;
        for _ in 0..settings.jobs() {
            match scheduled {
                true => {
                    let due = SystemTime::now() + Duration::from_millis(500);
                    let moment = due.duration_since(UNIX_EPOCH)?.as_secs_f64();
                    client.enqueue_at(due, noop(moment)).await?
                }
                false => client.enqueue(noop(epoch())).await?,
            };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await??;
    ensure!(output.status.success(), "the worker failed");
    report(&settings, serde_json::from_slice(&output.stdout)?)
}

fn start_worker(settings: &Settings) -> anyhow::Result<std::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--worker");
    command.args(["--jobs", &settings.jobs().to_string()]);
    command.args(["--concurrency", &settings.concurrency.to_string()]);
    Ok(command.stdout(Stdio::piped()).spawn()?)
}

/// Waits until the worker has registered, and a little more: it shall be idle.
async fn registered(redis: &Redis) -> anyhow::Result<()> {
    let mut count = redis::cmd("SCARD");
    count.arg("processes");
    while redis.query::<usize>(&count).await? == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

fn report(settings: &Settings, starts: Vec<(f64, f64)>) -> anyhow::Result<()> {
    let Settings { mode, concurrency, .. } = settings;
    let jobs = starts.len();
    if *mode == Mode::Drain {
        let begin = starts.iter().map(|(start, _)| *start).fold(f64::INFINITY, f64::min);
        let end = starts.iter().map(|(start, _)| *start).fold(0.0, f64::max);
        println!(
            "drain     {jobs} jobs at concurrency {concurrency}: {:.0} jobs/s",
            jobs as f64 / (end - begin)
        );
        return Ok(());
    }
    let mut late: Vec<f64> = starts.iter().map(|(_, late)| late * 1e3).collect();
    late.sort_by(f64::total_cmp);
    let at = |share: f64| late[((jobs - 1) as f64 * share) as usize];
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    let mode = format!("{mode:?}").to_lowercase();
    println!("{mode:<9} {jobs} jobs: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms");
    Ok(())
}

fn epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
