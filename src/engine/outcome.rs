//! How a run ends: by itself, by a panic, or at its limit.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};

use super::backtrace;
use super::registry::Performing;
use super::retry::{self, Failure};
use super::run::Run;

/// How a run ended.
pub(crate) enum Outcome {
    Success {
        iterated: bool,
    },
    Error(anyhow::Error),
    Failure(Failure),
    /// It was too late to run it.
    Expired,
}

/// The arguments do not fit the job. As an error of its own, because middleware may stand between
/// whoever finds that and whoever has to know.
#[derive(Debug)]
pub(crate) struct Misfit(pub(crate) serde_json::Error);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Misfit {}

/// Runs it to its end or its limit, counted from its last sign of progress.
pub(crate) async fn timed(performing: Performing, run: &Run, limit: Option<Duration>) -> Outcome {
    let mut guarded = AssertUnwindSafe(performing).catch_unwind();
    let Some(limit) = limit else {
        return ended(guarded.await, run);
    };
    loop {
        tokio::select! {
            biased;
            result = &mut guarded => return ended(result, run),
            () = sleep_until(run.last_seen() + limit) => {
                if run.last_seen() + limit <= Instant::now() {
                    let seconds = limit.as_secs_f64();
                    let message = format!("no end and no checkpoint within {seconds} s");
                    return failure(retry::TIMEOUT, &message);
                }
            }
        }
    }
}

type Caught = Result<anyhow::Result<()>, Box<dyn Any + Send>>;

fn ended(result: Caught, run: &Run) -> Outcome {
    match result {
        Ok(Ok(())) => Outcome::Success { iterated: run.iterated() },
        Ok(Err(error)) if error.is::<Misfit>() => {
            failure(retry::BAD_ARGUMENTS, &format!("{error:#}"))
        }
        Ok(Err(error)) => Outcome::Error(error),
        Err(panic) => panicked(panic),
    }
}

pub(crate) fn failure(class: &'static str, message: &str) -> Outcome {
    Outcome::Failure(Failure::new(class, message))
}

/// With where it was, and the panic's own words if it has any.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Outcome {
    let trace = backtrace::of_panic();
    Outcome::Failure(Failure { trace, ..Failure::new(retry::PANIC, &panic_text(panic)) })
}

fn panic_text(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    // anything can be thrown, also what panics again when it goes, and again
    if let Err(again) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
