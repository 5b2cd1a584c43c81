//! The first and last lines of every program: arguments, settings, log, exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::config::{self, Config};
use crate::logging;

/// As `read`, and starts the log.
pub fn start<A: Parser>(program: &str) -> Result<(A, Config), ExitCode> {
    let (arguments, config) = read(program)?;
    logging::start(&config).map_err(|line| failure(program, &line))?;
    Ok((arguments, config))
}

/// Reads the command line, answering `--help` and `--version`, then the settings. `Err` is how to
/// exit.
///
/// Call it before anything else: `.env` changes the environment, which is sound only without other
/// threads.
pub fn read<A: Parser>(program: &str) -> Result<(A, Config), ExitCode> {
    let arguments = A::try_parse().map_err(|answer| {
        let _ = answer.print(); // a reader that has gone is no failure of ours
        ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2))
    })?;
    match settings() {
        Ok(config) => Ok((arguments, config)),
        Err(line) => Err(failure(program, &line)),
    }
}

/// Runs a program's future. What blocks a thread when that has ended does not hold up the exit.
pub fn run<T>(main: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    let ended = runtime.block_on(main);
    // Blocking code cannot be aborted, and dropping a runtime would wait for it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// The exit code of a program that ran: the one it chose, or that of a failure.
pub fn end(program: &str, result: Result<u8, String>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(line) => failure(program, &line),
    }
}

fn settings() -> Result<Config, String> {
    config::load_dotenv()?;
    Config::from_env()
}

fn failure(program: &str, line: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{program}: {line}");
    ExitCode::FAILURE
}
