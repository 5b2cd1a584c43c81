//! The program `jobs`: one file a command, or a few of a kind. A command asks Redis over `engine::inspect` and gives
//! back an answer; reading the command line, connecting and printing are done here for all.

mod busy;
mod cancel;
mod check;
mod edit;
mod enqueue;
mod mark;
mod pause;
mod processes;
mod progress;
mod queues;
mod resume;
mod screen;
mod sets;
mod signal;
mod stats;
mod table;
mod why;

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::timeout;

use crate::app::App;
use crate::config::Config;
use crate::engine::Redis;
use crate::engine::inspect::{Known, Set};
use crate::jobs;

/// Looks at jobs and worker processes, and steers them.
#[derive(clap::Parser)]
#[command(name = "jobs", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  jobs why 2f0c1b…                      where is it, and why does it not run?
  jobs stats                            how many; also queues, busy, processes
  jobs retries --limit 5                what failed, and why; also scheduled, dead
  jobs retry 2f0c1b…                    now; also kill, delete
  jobs retry --dead                     all that are given up, once more
  jobs enqueue Greet '[\"Ada\"]'           a job by hand
  jobs check --max-runtime 30m          is a job stuck? Exit 1 if so, naming it
  jobs check --max-runtime 1h --stop    and stop its process; for cron
  jobs cancel 2f0c1b…                   that job ends at its next checkpoint
  jobs quiet worker.2                   no new jobs there; `stop`: as TERM does
  jobs pause imports                    no worker takes another job of this queue
  jobs resume imports                   … until this
  jobs mark \"v42 faster imports\"        a deploy, for Sidekiq's metrics page

From a checkout: cargo run --bin jobs -- check --max-runtime 30m
On Heroku: heroku run target/release/jobs check --max-runtime 30m

Whatever reads has --json. Tables fit the terminal (COLUMNS); colours are for terminals, and not where
NO_COLOR is set. Where Redis is: REDIS_URL, or a .env file in the working directory; 127.0.0.1:6379
without them.
Exit codes: 0 all is well; 1 it is not, or Redis cannot be reached; 2 bad usage.
`jobs COMMAND --help` has more.";

#[derive(clap::Subcommand)]
enum Command {
    Why(why::Why),
    Stats(stats::Stats),
    Queues(queues::Queues),
    Busy(busy::Busy),
    Processes(processes::Processes),
    /// Lists the jobs that have failed and will be tried again, the next one first
    #[command(after_help = sets::RETRIES)]
    Retries(sets::List),
    /// Lists the jobs that wait for their time, the next one first
    #[command(after_help = sets::SCHEDULED)]
    Scheduled(sets::List),
    /// Lists the jobs that are given up, the last one first
    #[command(after_help = sets::DEAD)]
    Dead(sets::List),
    Enqueue(enqueue::Enqueue),
    Retry(edit::Retry),
    Kill(edit::Kill),
    Delete(edit::Delete),
    Cancel(cancel::Cancel),
    Check(check::Check),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Quiet(signal::Quiet),
    Stop(signal::Stop),
    Mark(mark::Mark),
}

/// What a command has to say, and how to exit.
pub(crate) struct Answer {
    /// For stdout.
    text: String,
    /// For stderr: what else the reader should know.
    remarks: Vec<String>,
    code: u8,
}

/// Runs a command and prints its answer. The error is one line for a person.
pub fn run(arguments: Arguments, config: &Config) -> Result<u8, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let answer = runtime.block_on(answer(arguments.command, config));
    // a name lookup that hangs must not hold up the exit
    runtime.shutdown_timeout(Duration::from_millis(100));
    let answer = answer.map_err(|why| one_line(&why))?;
    // a reader that has gone (`jobs … | head`) is no failure of ours
    if !answer.text.is_empty() {
        let _ = writeln!(io::stdout(), "{}", answer.text);
    }
    for remark in &answer.remarks {
        let _ = writeln!(io::stderr(), "jobs: {}", one_line(remark));
    }
    Ok(answer.code)
}

/// What answers in the place of Redis may make for many lines, and move the cursor too.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

async fn answer(command: Command, config: &Config) -> Result<Answer, String> {
    match command {
        Command::Why(it) => it.run(config).await,
        Command::Stats(it) => it.run(config).await,
        Command::Queues(it) => it.run(config).await,
        Command::Busy(it) => it.run(config).await,
        Command::Processes(it) => it.run(config).await,
        Command::Retries(it) => it.run(config, Set::Retries).await,
        Command::Scheduled(it) => it.run(config, Set::Scheduled).await,
        Command::Dead(it) => it.run(config, Set::Dead).await,
        Command::Enqueue(it) => it.run(config).await,
        Command::Retry(it) => it.run(config).await,
        Command::Kill(it) => it.run(config).await,
        Command::Delete(it) => it.run(config).await,
        Command::Cancel(it) => it.run(config).await,
        Command::Check(it) => it.run(config).await,
        Command::Pause(it) => it.run(config).await,
        Command::Resume(it) => it.run(config).await,
        Command::Quiet(it) => it.run(config).await,
        Command::Stop(it) => it.run(config).await,
        Command::Mark(it) => it.run(config).await,
    }
}

/// How long Redis may take to be there, and then to answer. A person waits, or cron does.
const PATIENCE: Duration = Duration::from_secs(3);

/// The connection for a command; an error if Redis is not there in time.
async fn connect(config: &Config) -> Result<Redis, String> {
    let mut options = config.redis.clone();
    options.deadline = PATIENCE;
    let place = options.place();
    let redis = Redis::connect(options);
    // a little longer than one attempt, whose end says more than silence
    match timeout(PATIENCE + Duration::from_millis(500), redis.up()).await {
        Ok(up) => up.map(|()| redis).map_err(|error| error.to_string()),
        Err(_) => {
            let reason = redis.status().err().unwrap_or_default();
            let why = format!("Redis at {place} cannot be reached: {reason}");
            Err(format!("{why} (REDIS_URL says where it is)"))
        }
    }
}

/// What this program knows beside what Redis tells.
fn known(redis: &Redis, config: &Config) -> Result<Known, String> {
    let app = App::over(redis.clone(), config).map_err(|error| format!("{error:#}"))?;
    Ok(jobs::registry(app).known(&config.queue_limits))
}

/// What Redis said to a command, as one line.
fn refused(error: redis::RedisError) -> String {
    format!("Redis did not answer as it should: {error}")
}

/// What a reading command leaves out, if it does.
fn strange(count: usize) -> Vec<String> {
    let remark = || format!("{count} entries could not be read: left out");
    (count > 0).then(remark).into_iter().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_that_answers_moves_the_cursor() {
        assert_eq!(super::one_line("no:\r\n a\u{1b}[2J\u{9b}2J \u{7}x"), "no: a [2J 2J x");
    }
}
