//! Log lines on standard error, as the place of running wants them.

use std::io::{self, IsTerminal};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::Config;

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// One object a line.
    Json,
}

/// Starts logging for this process. Call it once, before the first line.
pub fn start(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log_filter);
    let filter = filter.map_err(|_| {
        let example = concat!("info, or warn,", env!("CARGO_CRATE_NAME"), "=debug");
        format!("RUST_LOG accepts levels and targets: {example}")
    })?;
    // A reader that has gone (`web 2>&1 | head`) must not take the process along: by default the
    // subscriber reports a failed write with eprintln!, which panics.
    let lines =
        fmt::layer().log_internal_errors(false).with_writer(io::stderr).with_ansi(colour(config));
    // A dyno's log router stamps every line itself.
    let lines = match (config.log_format, config.dyno) {
        (LogFormat::Text, true) => lines.without_time().boxed(),
        (LogFormat::Text, false) => lines.boxed(),
        (LogFormat::Json, true) => lines.json().without_time().boxed(),
        (LogFormat::Json, false) => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(())
}

fn colour(config: &Config) -> bool {
    !config.dyno
        && io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
