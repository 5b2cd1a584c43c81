//! `jobs check`: is a job stuck? For cron, a scheduler, or a person in doubt.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::{Answer, connect, refused};
use crate::config::Config;
use crate::engine::inspect::{self, Process, Processes, Running};
use crate::engine::{Redis, Stopped, StuckJob};
use crate::notices::{Receiver, told_to_stop};
use crate::text::{duration, lasting, plain};

/// Looks for jobs that have run for too long: exit 1 if there is one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// How long a job may run: 30m, 90s, 1h30m, or a number of seconds
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_runtime: Duration,
    /// Stop the processes of such jobs, as TERM does, and tell STUCK_JOB_WEBHOOK
    #[arg(long)]
    stop: bool,
    /// The answer as one JSON object
    #[arg(long)]
    json: bool,
    /// Say nothing if all is well: cron mails whatever it hears
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

const EXAMPLES: &str = "\
Sees the jobs of all live worker processes, Ruby's Sidekiq included, as of their last heartbeat
(5 s ago at most, 10 s with newer Sidekiqs). Ages go by the clock of the Redis server. The jobs of
a stopped process go back to their queues; whatever supervises it has to start a fresh one.

Examples:
  jobs check --max-runtime 30m
  jobs check --max-runtime 1h --stop --quiet     every 10 minutes from cron
  jobs check --max-runtime 30m --json | jq -r '.stuck[].jid'

Exit codes: 0 no job has run longer; 1 one has, or Redis cannot be reached; 2 bad usage.";

/// What the receiver of the notice gets, attempts and all: somebody waits for the answer here.
const RECEIVER: Duration = Duration::from_secs(5);
/// So many processes are told of, each in a line.
const TOLD: usize = 20;

/// A process and those of its jobs that are over the limit.
struct Stuck<'a> {
    process: &'a Process,
    jobs: Vec<&'a Running>,
}

impl Check {
    pub(super) async fn run(&self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let seen = inspect::processes(&redis).await.map_err(refused)?;
        let stuck = self.stuck(&seen);
        let mut remarks = Vec::new();
        if seen.unreadable > 0 {
            remarks.push(format!("{} entries could not be read: left out", seen.unreadable));
        }
        if seen.all.is_empty() {
            let place = config.redis.place();
            remarks.push(format!("no worker process is alive in the Redis at {place}"));
        }
        let mut told = Vec::new();
        if self.stop && !stuck.is_empty() {
            told = self.stop(&redis, &seen, &stuck, config, &mut remarks).await;
        }
        let text = match self.json {
            true => self.json(&seen, &stuck, &told),
            false if self.quiet && stuck.is_empty() => String::new(),
            false => self.words(&seen, &stuck, &told),
        };
        Ok(Answer { text, remarks, code: u8::from(!stuck.is_empty()) })
    }

    fn stuck<'a>(&self, seen: &'a Processes) -> Vec<Stuck<'a>> {
        let over = |job: &&Running| seen.now - job.run_at > self.max_runtime.as_secs_f64();
        let of = |process: &'a Process| Stuck {
            process,
            jobs: process.running.iter().filter(over).collect(),
        };
        seen.all.iter().map(of).filter(|stuck| !stuck.jobs.is_empty()).collect()
    }

    /// Stops the processes, and says so where it matters; returns which.
    async fn stop<'a>(
        &self,
        redis: &Redis,
        seen: &Processes,
        stuck: &[Stuck<'a>],
        config: &Config,
        remarks: &mut Vec<String>,
    ) -> Vec<&'a str> {
        let (deaf, told): (Vec<&Stuck>, Vec<&Stuck>) =
            stuck.iter().partition(|it| it.process.embedded);
        for Stuck { process, .. } in deaf {
            let name = plain(&process.identity);
            remarks.push(format!("{name} runs inside another program: stop that one yourself"));
        }
        let names: Vec<&str> = told.iter().map(|it| &*it.process.identity).collect();
        if names.is_empty() {
            return names;
        }
        if let Err(error) = inspect::stop(redis, &names).await {
            remarks.push(format!("nothing was stopped: {}", refused(error)));
            return Vec::new();
        }
        let mut texts = Vec::new();
        for it in &told {
            let stopped = it.record(seen.now);
            texts.push(told_to_stop(&stopped, &lasting(self.max_runtime.as_secs())));
            // a Ruby process that takes its place would not know what to say
            if it.process.ours && inspect::remember(redis, &stopped).await.is_err() {
                remarks.push("that it is back will not be told: Redis refuses the note".into());
            }
        }
        if texts.len() > TOLD {
            texts[TOLD] = format!("and {} more", texts.len() - TOLD);
            texts.truncate(TOLD + 1);
        }
        if let Err(reason) = tell(config, &texts.join("\n")).await {
            remarks.push(format!("STUCK_JOB_WEBHOOK: the notice could not be delivered: {reason}"));
        }
        names
    }

    fn words(&self, seen: &Processes, stuck: &[Stuck], told: &[&str]) -> String {
        let limit = lasting(self.max_runtime.as_secs());
        let running: usize = seen.all.iter().map(|process| process.running.len()).sum();
        let among = format!("running: {running}, processes: {}", seen.all.len());
        let over: usize = stuck.iter().map(|it| it.jobs.len()).sum();
        let mut text = match over {
            0 => return format!("no job has run longer than {limit} ({among})"),
            1 => format!("1 job has run longer than {limit} ({among}):"),
            _ => format!("{over} jobs have run longer than {limit} ({among}):"),
        };
        for it in stuck {
            for job in &it.jobs {
                let (class, jid, queue) = (plain(&job.class), plain(&job.jid), plain(&job.queue));
                let (age, process) = (lasting(age(seen, job)), plain(&it.process.identity));
                let _ = write!(text, "\n  {class} {jid} on {queue} for {age} in {process}");
            }
        }
        for process in told {
            let _ = write!(text, "\ntold {} to stop", plain(process));
        }
        text
    }

    fn json(&self, seen: &Processes, stuck: &[Stuck], told: &[&str]) -> String {
        let jobs = stuck.iter().flat_map(|it| {
            it.jobs.iter().map(|job| {
                json!({
                    "class": job.class,
                    "jid": job.jid,
                    "queue": job.queue,
                    "age": age(seen, job),
                    "process": it.process.identity,
                })
            })
        });
        let running: usize = seen.all.iter().map(|process| process.running.len()).sum();
        let answer = json!({
            "max_runtime": self.max_runtime.as_secs(),
            "processes": seen.all.len(),
            "running": running,
            "unreadable": seen.unreadable,
            "stuck": jobs.collect::<Vec<_>>(),
            "stopped": told,
        });
        answer.to_string()
    }
}

impl Stuck<'_> {
    fn record(&self, now: f64) -> Stopped {
        let job = |job: &&Running| StuckJob {
            class: job.class.clone(),
            jid: job.jid.clone(),
            queue: job.queue.clone(),
            age: (now - job.run_at) as u64,
        };
        let jobs = self.jobs.iter().map(job).collect();
        Stopped { process: self.process.identity.clone(), at: now, jobs }
    }
}

fn age(seen: &Processes, job: &Running) -> u64 {
    (seen.now - job.run_at) as u64
}

async fn tell(config: &Config, text: &str) -> Result<(), String> {
    match Receiver::of(config).map_err(|error| error.to_string())? {
        Some(receiver) => match timeout(RECEIVER, receiver.post(text)).await {
            Ok(end) => end,
            Err(_) => Err(format!("no answer within {} s", RECEIVER.as_secs())),
        },
        None => Ok(()),
    }
}
