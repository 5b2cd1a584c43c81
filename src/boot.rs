//! The first and last lines of every program: arguments, settings, log, exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use lexopt::{Arg, Parser};

use crate::config::{self, Config};
use crate::logging;

/// Answers `--help` and `--version`, reads the settings and starts the log. `Err` is how to exit.
///
/// Call it before anything else: `.env` changes the environment, which is sound only without other
/// threads.
pub fn start(program: &str, help: &str) -> Result<Config, ExitCode> {
    if let Some(code) = arguments(program, help, Parser::from_env()) {
        return Err(code);
    }
    settings().map_err(|line| failure(program, &line))
}

/// The exit code of a program that ran: the one it chose, or that of a failure.
pub fn end(program: &str, result: Result<u8, String>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(line) => failure(program, &line),
    }
}

/// `None` to go on.
fn arguments(program: &str, help: &str, mut arguments: Parser) -> Option<ExitCode> {
    let answer = match arguments.next() {
        Ok(None) => return None,
        Ok(Some(Arg::Long("help") | Arg::Short('h'))) => help.to_owned(),
        Ok(Some(Arg::Long("version") | Arg::Short('V'))) => {
            format!("{program} {}\n", env!("CARGO_PKG_VERSION"))
        }
        Ok(Some(other)) => return Some(misuse(program, &other.unexpected())),
        Err(error) => return Some(misuse(program, &error)),
    };
    // A reader that has gone is no failure of ours, so no println!, which panics.
    let _ = io::stdout().write_all(answer.as_bytes());
    Some(ExitCode::SUCCESS)
}

fn settings() -> Result<Config, String> {
    config::load_dotenv()?;
    let config = Config::from_env()?;
    logging::start(&config)?;
    Ok(config)
}

fn misuse(program: &str, what: &lexopt::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "{program}: {what} (see {program} --help)");
    ExitCode::from(2)
}

fn failure(program: &str, line: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{program}: {line}");
    ExitCode::FAILURE
}
