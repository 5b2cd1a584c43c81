//! The worker process: runs jobs from all queues until it is told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use roustabout::app::App;
use roustabout::boot;
use roustabout::config::Config;
use roustabout::engine::{Exit, Lifecycle};
use roustabout::pidfile::Pidfile;
use roustabout::supervision::{self, Service};
use roustabout::work::{self, Watchers};

/// Runs the background jobs of roustabout.
#[derive(clap::Parser)]
#[command(name = "worker", version, after_help = OPERATION)]
struct Arguments {
    /// Writes the process id here when ready, removes it at the end; refuses to start if another
    /// living worker has the file
    #[arg(long, value_name = "PATH")]
    pidfile: Option<PathBuf>,
}

const OPERATION: &str = "\
Everything is configured by environment variables, or a .env file in the working directory:
REDIS_URL, CONCURRENCY (10), QUEUES (*), SHUTDOWN_TIMEOUT (25) and more; the README has the table.
It listens nowhere, but with WORKER_HEALTH_PORT answers /live, /ready and /metrics there.

Signals: TERM, INT, HUP, QUIT stop (running jobs get SHUTDOWN_TIMEOUT seconds, the rest goes back
to its queues); TSTP, USR2 take no new jobs; TTIN lists the running jobs in the log.
Exit codes: 0 after a stop; 1 bad settings, a pidfile or port that another has, or a server that is
too old; 2 bad usage; 70 a job held its thread for STALL_TIMEOUT; 75 above MEMORY_LIMIT_MB. After
70 and 75 start it again.";

fn main() -> ExitCode {
    match boot::start::<Arguments>("worker") {
        Ok((arguments, config)) => {
            boot::end("worker", run(config, arguments.pidfile.as_deref()).map(Exit::code))
        }
        Err(code) => code,
    }
}

fn run(config: Config, pidfile: Option<&Path>) -> Result<Exit, String> {
    let pidfile = pidfile.map(Pidfile::claim).transpose()?.map(Arc::new);
    let held = pidfile.clone();
    let ended = work::run(&config, async |watchers| run_jobs(&config, held, watchers).await);
    if let Some(pidfile) = pidfile {
        pidfile.remove();
    }
    ended
}

async fn run_jobs(
    config: &Config,
    pidfile: Option<Arc<Pidfile>>,
    watchers: &Watchers,
) -> Result<Exit, String> {
    // First of all: a TERM that comes during the boot must find its handler.
    let lifecycle =
        Lifecycle::for_worker().map_err(|error| format!("no signal handlers: {error}"))?;
    supervision::start(Service::Worker(config.concurrency), &lifecycle, config.shutdown_timeout);
    if let Some(pidfile) = pidfile {
        pidfile.follow(&lifecycle);
    }
    let app = App::new(config).map_err(|error| format!("{error:#}"))?;
    work::work(config.worker_options(), app, lifecycle, watchers).await
}
