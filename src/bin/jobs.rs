//! Looks at jobs and processes from a terminal, and steers them.

use std::process::ExitCode;

use roustabout::boot;
use roustabout::terminal::{self, Arguments};

fn main() -> ExitCode {
    // without a log: what there is to say is the answer, or the one line that says why there is none
    match boot::read::<Arguments>("jobs") {
        Ok((arguments, config)) => boot::end("jobs", terminal::run(arguments, &config)),
        Err(code) => code,
    }
}
