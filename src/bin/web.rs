//! The web process: takes uploads and shows what becomes of them. Jobs run in `worker`.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use roustabout::app::App;
use roustabout::boot;
use roustabout::config::Config;
use roustabout::engine::{Lifecycle, Redis};
use roustabout::routes::{self, Web};
use roustabout::supervision::{self, Service};

/// The HTTP side of roustabout.
#[derive(clap::Parser)]
#[command(name = "web", version, after_help = SETTINGS)]
struct Arguments {}

const SETTINGS: &str = "\
Everything is configured by environment variables, or a .env file in the working directory:
PORT (5006), REDIS_URL, API_TOKEN, RUST_LOG and more; the README has the table.

Signals: TERM, INT, HUP, QUIT finish the requests in progress and stop; others are ignored.
Exit codes: 0 after a stop; 1 bad settings, a port that is in use, or a server that is too old;
2 bad usage.";

fn main() -> ExitCode {
    match boot::start::<Arguments>("web") {
        Ok((_, config)) => boot::end("web", run(config).map(|()| 0)),
        Err(code) => code,
    }
}

fn run(config: Config) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    let served = runtime.block_on(serve(config));
    // The check of an upload that was cut off must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn serve(config: Config) -> Result<(), String> {
    // First of all: a TERM that comes during the boot must find its handler.
    let lifecycle = Lifecycle::for_web().map_err(|error| format!("no signal handlers: {error}"))?;
    let listener = routes::bind(config.port).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!("PORT: {} is in use by another process", config.port),
        _ => format!("PORT: cannot listen on {}: {error}", config.port),
    })?;
    let app = App::new(&config).map_err(|error| error.to_string())?;
    supervision::start(Service::Web(config.port), &lifecycle, routes::GRACE);
    tracing::info!("listening on http://localhost:{}", config.port);
    let web =
        Web { app, lifecycle: lifecycle.clone(), api_token: config.api_token.map(Into::into) };
    let redis = web.app.redis.clone();
    let served = routes::serve(listener, routes::router(web), lifecycle);
    tokio::select! {
        served = served => {
            tracing::info!("stopped");
            served.map_err(|error| error.to_string())
        }
        error = unusable(redis) => Err(error.to_string()),
    }
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
