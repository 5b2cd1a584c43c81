//! Measures the engine: `cargo run --release --example load -- --help`. The worker is a process
//! of its own, as in life, so both cores are used. What a number means is in docs/performance.md.

mod child;
mod fleet;
mod flow;
mod idle;
mod limit;
mod push;
mod report;
mod server;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use roustabout::engine::{Redis, RedisOptions, TlsVerify};

use report::Report;

/// Measures the engine on the Redis that REDIS_URL names, each number against the limit that is
/// measured in the same run.
#[derive(Clone, Parser)]
#[command(name = "load")]
struct Settings {
    #[arg(long, value_enum, default_value_t = Mode::Drain)]
    mode: Mode,
    /// How many jobs; by default as many as the mode needs for a steady number
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Jobs at once in the worker
    #[arg(long, value_name = "C", default_value_t = 10)]
    concurrency: usize,
    /// The size of a job in Redis, about
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    payload: usize,
    /// How many queues the jobs are spread over, one after the other
    #[arg(long, value_name = "N", default_value_t = 1)]
    queues: usize,
    /// What each job sleeps, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    sleep: u64,
    /// Empty the database first; without it, one that holds keys is refused
    #[arg(long)]
    flush: bool,
    /// Print one JSON object as the last line, instead of a table
    #[arg(long)]
    json: bool,
    /// This program's other half
    #[arg(long, hide = true)]
    worker: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Mode {
    /// Push N jobs, then let a worker drain them
    Drain,
    /// Push N jobs one by one while a worker runs them
    Flow,
    /// An idle worker, a job every 20 ms: from enqueue to start
    Latency,
    /// An idle worker, a job due every 20 ms: from its time to its start
    Schedule,
    /// Enqueue N jobs: one by one, 64 in flight, all in one call
    Push,
    /// A worker with nothing to do
    Idle,
    /// 200 idle workers on 200 queues, and what one job costs them all
    Fleet,
}

impl Settings {
    fn jobs(&self) -> usize {
        self.jobs.unwrap_or(match self.mode {
            Mode::Drain | Mode::Push => 100_000,
            Mode::Flow => 50_000,
            Mode::Latency | Mode::Schedule => 200,
            Mode::Idle => 0,
            Mode::Fleet => 50,
        })
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let outcome = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        // as a task, like the handlers of a web process
        runtime.block_on(async { tokio::spawn(run(settings)).await? })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let redis = redis()?;
    if let Some(setup) = &settings.worker {
        return child::work(serde_json::from_str(setup)?, redis).await;
    }
    server::begin(&redis, settings.flush).await?;
    let report = measure(&settings, &redis).await?;
    let emptied = server::empty(&redis).await;
    report.print(settings.json)?;
    emptied
}

async fn measure(settings: &Settings, redis: &Redis) -> anyhow::Result<Report> {
    match settings.mode {
        Mode::Drain => flow::drain(settings, redis).await,
        Mode::Flow => flow::flow(settings, redis).await,
        Mode::Latency => flow::latency(settings, redis, false).await,
        Mode::Schedule => flow::latency(settings, redis, true).await,
        Mode::Push => push::push(settings, redis).await,
        Mode::Idle => idle::idle(settings, redis).await,
        Mode::Fleet => fleet::fleet(settings, redis).await,
    }
}

fn url() -> anyhow::Result<String> {
    std::env::var("REDIS_URL").context("REDIS_URL names the server to measure")
}

fn redis() -> anyhow::Result<Redis> {
    let options = RedisOptions::parse(&url()?, TlsVerify::Full);
    Ok(Redis::connect(options.map_err(|why| anyhow::anyhow!("REDIS_URL: {why}"))?))
}
