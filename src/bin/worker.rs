//! The worker process: runs jobs from all queues until it is told to stop.

use std::process::ExitCode;
use std::time::Duration;

use roustabout::app::App;
use roustabout::config::Config;
use roustabout::engine::{Lifecycle, Worker};
use roustabout::{boot, jobs};

const HELP: &str = "\
worker: runs the background jobs of roustabout

Usage: worker [--help | --version]

Everything is configured by environment variables, or a .env file in the working directory:
REDIS_URL, CONCURRENCY (10), QUEUES (*), SHUTDOWN_TIMEOUT (25) and more; the README has the table.
";

fn main() -> ExitCode {
    match boot::start("worker", HELP) {
        Ok(config) => boot::end("worker", run(config)),
        Err(code) => code,
    }
}

fn run(config: Config) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    let worked = runtime.block_on(work(config));
    // Blocking code cannot be aborted, and dropping a runtime would wait for it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    worked.map_err(|error| format!("{error:#}"))
}

async fn work(config: Config) -> anyhow::Result<()> {
    // First of all: a TERM that comes during the boot must find its handler.
    let lifecycle = Lifecycle::from_signals()?;
    let app = App::new(&config)?;
    let worker = Worker::new(config.worker_options(), app.redis.clone(), jobs::registry(app));
    worker.run(lifecycle).await
}
