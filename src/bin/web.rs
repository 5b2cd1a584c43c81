//! The web process: takes uploads and shows what becomes of them. Jobs run in `worker`, or, for a
//! plan with a single process, in here.

use std::process::ExitCode;

use roustabout::app::App;
use roustabout::boot;
use roustabout::config::Config;
use roustabout::engine::{Exit, Lifecycle, Redis, WorkerOptions};
use roustabout::routes::{self, Web};
use roustabout::supervision::{self, Service};
use roustabout::work::{self, Watchers};
use tokio::net::TcpListener;

/// The HTTP side of roustabout.
#[derive(clap::Parser)]
#[command(name = "web", version, after_help = SETTINGS)]
struct Arguments {}

const SETTINGS: &str = "\
Everything is configured by environment variables, or a .env file in the working directory:
PORT (5006), REDIS_URL, API_TOKEN, RUST_LOG and more; the README has the table.

Signals: TERM, INT, HUP, QUIT finish the requests in progress and stop; others are ignored.
Exit codes: 0 after a stop; 1 bad settings, a port that is in use, or a server that is too old;
2 bad usage.

With WORKER_EMBEDDED=true it runs the jobs, too, with the settings of `worker`. Then a stop gives
requests 25 and jobs SHUTDOWN_TIMEOUT seconds, at the same time; TSTP and USR2 take no new jobs and
TTIN lists those that run; it also exits 70 and 75 as `worker` does.";

fn main() -> ExitCode {
    match boot::start::<Arguments>("web") {
        Ok((_, config)) => boot::end("web", run(&config).map(Exit::code)),
        Err(code) => code,
    }
}

fn run(config: &Config) -> Result<Exit, String> {
    match config.embedded {
        true => work::run(config, async |watchers| serve_and_work(config, watchers).await),
        false => boot::run(serve_alone(config)).map(|()| Exit::Asked),
    }
}

async fn serve_alone(config: &Config) -> Result<(), String> {
    // First of all: a TERM that comes during the boot must find its handler.
    let lifecycle = Lifecycle::for_web().map_err(no_handlers)?;
    let (listener, app) = open(config).await?;
    supervision::start(Service::Web(config.port), &lifecycle, routes::GRACE);
    let redis = app.redis.clone();
    tokio::select! {
        () = serve(config, listener, app, lifecycle) => Ok(()),
        error = unusable(redis) => Err(error.to_string()),
    }
}

/// Both with the same application, and so with one connection for what both send.
async fn serve_and_work(config: &Config, watchers: &Watchers) -> Result<Exit, String> {
    let lifecycle = Lifecycle::for_worker().map_err(no_handlers)?;
    let (listener, app) = open(config).await?;
    let grace = routes::GRACE.max(config.shutdown_timeout);
    supervision::start(Service::Both(config.port, config.concurrency), &lifecycle, grace);
    let options = WorkerOptions { embedded: true, ..config.worker_options() };
    // each hears of a stop by itself; and if one ends for a reason of its own, the other shall too
    let working = async {
        let worked = work::work(options, app.clone(), lifecycle.clone(), watchers).await;
        lifecycle.stop();
        worked
    };
    let serving = async {
        serve(config, listener, app.clone(), lifecycle.clone()).await;
        lifecycle.stop();
    };
    tokio::join!(serving, working).1
}

/// The port first: a platform waits for nothing else.
async fn open(config: &Config) -> Result<(TcpListener, App), String> {
    let listener = routes::listen("PORT", config.port).await?;
    let app = App::new(config).map_err(|error| format!("{error:#}"))?;
    tracing::info!("listening on http://localhost:{}", config.port);
    Ok((listener, app))
}

async fn serve(config: &Config, listener: TcpListener, app: App, lifecycle: Lifecycle) {
    let web = Web::new(config, app, lifecycle.clone());
    routes::serve(listener, routes::router(web), lifecycle).await;
    tracing::info!("stopped serving");
}

/// Introduces the server once it is there; ends only with one that can never be used.
async fn unusable(redis: Redis) -> anyhow::Error {
    match redis.up().await {
        Err(error) => error,
        Ok(()) => {
            redis.introduce().await;
            std::future::pending().await
        }
    }
}

fn no_handlers(error: std::io::Error) -> String {
    format!("no signal handlers: {error}")
}
