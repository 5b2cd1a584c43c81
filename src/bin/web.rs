//! The web process: takes uploads and shows what becomes of them. Jobs run in `worker`.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use roustabout::app::App;
use roustabout::config::{self, Config};
use roustabout::engine::Lifecycle;
use roustabout::logging;
use roustabout::routes::{self, Web};

const HELP: &str = "\
web: the HTTP side of roustabout

Usage: web [--help | --version]

Everything is configured by environment variables, or a .env file in the working directory:
PORT (5006), REDIS_URL, API_TOKEN, WEBHOOK_SECRET, RUST_LOG and more; the README has the table.
";

fn main() -> ExitCode {
    if let Some(code) = arguments() {
        return code;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            let _ = writeln!(io::stderr(), "web: {line}");
            ExitCode::FAILURE
        }
    }
}

/// `None` to go on.
fn arguments() -> Option<ExitCode> {
    let mut arguments = lexopt::Parser::from_env();
    let answer = match arguments.next() {
        Ok(None) => return None,
        Ok(Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h'))) => HELP.to_owned(),
        Ok(Some(lexopt::Arg::Long("version") | lexopt::Arg::Short('V'))) => {
            concat!("web ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
        }
        Ok(Some(other)) => return Some(misuse(&other.unexpected().to_string())),
        Err(error) => return Some(misuse(&error.to_string())),
    };
    // A reader that has gone is no failure of ours.
    let _ = io::stdout().write_all(answer.as_bytes());
    Some(ExitCode::SUCCESS)
}

fn misuse(what: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "web: {what} (see web --help)");
    ExitCode::from(2)
}

fn run() -> Result<(), String> {
    // Before any thread: this changes the environment.
    config::load_dotenv()?;
    let config = Config::from_env()?;
    logging::start(&config)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    let served = runtime.block_on(serve(config));
    // A check of an upload that was cut off must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn serve(config: Config) -> Result<(), String> {
    // First of all: a TERM that comes during the boot must find its handler.
    let lifecycle = Lifecycle::for_web().map_err(|error| format!("no signal handlers: {error}"))?;
    let app = App::new(&config).map_err(|error| error.to_string())?;
    let listener = routes::bind(config.port)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => format!("PORT: {} is in use by another process", config.port),
            _ => format!("PORT: cannot listen on {}: {error}", config.port),
        })?;
    tracing::info!("listening on http://localhost:{}", config.port);
    let web = Web {
        app,
        lifecycle: lifecycle.clone(),
        api_token: config.api_token.map(Into::into),
    };
    let served = routes::serve(listener, routes::router(web), lifecycle).await;
    tracing::info!("stopped");
    served.map_err(|error| error.to_string())
}
