//! The worker process: runs jobs from all queues until it is told to stop.

use std::process::ExitCode;
use std::time::Duration;

use roustabout::app::App;
use roustabout::config::Config;
use roustabout::engine::{Exit, Lifecycle, Worker};
use roustabout::notices::Notices;
use roustabout::{boot, jobs};

/// Runs the background jobs of roustabout.
#[derive(clap::Parser)]
#[command(name = "worker", version, after_help = OPERATION)]
struct Arguments {}

const OPERATION: &str = "\
Everything is configured by environment variables, or a .env file in the working directory:
REDIS_URL, CONCURRENCY (10), QUEUES (*), SHUTDOWN_TIMEOUT (25) and more; the README has the table.

Signals: TERM, INT, HUP stop (running jobs get SHUTDOWN_TIMEOUT seconds, the rest goes back to
its queues); TSTP takes no new jobs; TTIN lists the running jobs in the log.
Exit codes: 0 after a stop; 1 bad settings or a server that is too old; 2 bad usage; 70 a job
held its thread for STALL_TIMEOUT; 75 above MEMORY_LIMIT_MB. After 70 and 75 start it again.";

fn main() -> ExitCode {
    match boot::start::<Arguments>("worker") {
        Ok((_, config)) => boot::end("worker", run(config).map(Exit::code)),
        Err(code) => code,
    }
}

fn run(config: Config) -> Result<Exit, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    let notices = Notices::start(&config).map_err(|error| format!("no notices: {error:#}"))?;
    let worked = runtime.block_on(work(config, notices.clone()));
    // Blocking code cannot be aborted, and dropping a runtime would wait for it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    if let Ok(exit) = &worked {
        notices.end(*exit);
    }
    worked.map_err(|error| format!("{error:#}"))
}

async fn work(config: Config, notices: Notices) -> anyhow::Result<Exit> {
    // First of all: a TERM that comes during the boot must find its handler.
    let lifecycle = Lifecycle::for_worker()?;
    let app = App::new(&config)?;
    let worker = Worker::new(config.worker_options(), app.redis.clone(), jobs::registry(app));
    worker.notices(move |notice| notices.tell(notice)).run(lifecycle).await
}
