//! `jobs quiet` and `jobs stop`: commands to worker processes.

use super::{Answer, connect, refused};
use crate::config::Config;
use crate::engine::inspect::{self, Process};
use crate::text::plain;

/// Tells worker processes to take no new jobs, as TSTP does.
#[derive(clap::Args)]
#[command(after_help = QUIET)]
pub(super) struct Quiet {
    #[command(flatten)]
    whom: Whom,
}

/// Tells worker processes to stop, as TERM does.
#[derive(clap::Args)]
#[command(after_help = STOP)]
pub(super) struct Stop {
    #[command(flatten)]
    whom: Whom,
}

#[derive(clap::Args)]
struct Whom {
    /// The process as `jobs processes` names it, or the host (the dyno) of several; all if left out
    #[arg(value_name = "IDENTITY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    identity: Option<String>,
}

const QUIET: &str = "\
Running jobs go on; those with a cursor go back to their queue at the next checkpoint. There is no way
back but a restart of the process. Ruby's Sidekiq takes the command, too, within 10 s.

Examples:
  jobs quiet                        all processes, before a maintenance
  jobs quiet worker.2               those on this host or dyno
  jobs quiet worker.2:4:0a1b2c3d4e5f

Exit codes: 0 told; 1 there is no such process, or Redis cannot be reached; 2 bad usage.";

const STOP: &str = "\
No new job from that moment; running ones get SHUTDOWN_TIMEOUT, what is left goes back to its queue, exit
0. Whatever supervises the process starts it again: Heroku does.

Examples:
  jobs stop worker.2                those on this host or dyno
  heroku run target/release/jobs stop

Exit codes: 0 told; 1 there is no such process, or Redis cannot be reached; 2 bad usage.";

impl Quiet {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        self.whom.tell(config, "be quiet").await
    }
}

impl Stop {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        self.whom.tell(config, "stop").await
    }
}

impl Whom {
    async fn tell(self, config: &Config, what: &str) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let seen = inspect::processes(&redis).await.map_err(refused)?;
        let meant: Vec<&Process> = seen.all.iter().filter(|it| self.means(&it.identity)).collect();
        let (deaf, hear): (Vec<&Process>, Vec<&Process>) =
            meant.iter().copied().partition(|it| it.embedded);
        let mut remarks: Vec<String> = Vec::new();
        for process in deaf {
            let name = plain(&process.identity);
            remarks.push(format!("{name} runs inside another program: tell that one yourself"));
        }
        if meant.is_empty() {
            remarks.push(match &self.identity {
                Some(name) => {
                    format!("no live process is named {}: see `jobs processes`", plain(name))
                }
                None => {
                    format!("no worker process is alive in the Redis at {}", config.redis.place())
                }
            });
        }
        let names: Vec<&str> = hear.iter().map(|it| &*it.identity).collect();
        if !names.is_empty() {
            match what {
                "stop" => inspect::stop(&redis, &names).await,
                _ => inspect::quiet(&redis, &names).await,
            }
            .map_err(refused)?;
        }
        let lines = names.iter().map(|name| format!("told {} to {what}", plain(name)));
        let text = lines.collect::<Vec<_>>().join("\n");
        Ok(Answer { text, remarks, code: u8::from(names.is_empty()) })
    }

    /// Exactly this one, or all of a host.
    fn means(&self, identity: &str) -> bool {
        let Some(name) = &self.identity else { return true };
        let rest = identity.strip_prefix(name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}
