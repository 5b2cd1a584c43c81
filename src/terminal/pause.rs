//! `jobs pause`: no worker takes another job of a queue.

use clap::builder::NonEmptyStringValueParser;

use super::{Answer, connect, refused};
use crate::config::Config;
use crate::engine::inspect;
use crate::text::plain;

/// Pauses a queue in all worker processes: from when this returns none takes another job of it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Pause {
    /// The queue, by its bare name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    queue: String,
}

const EXAMPLES: &str = "\
What runs goes on, and jobs may still be pushed; they wait. It holds through restarts and deploys,
until `jobs resume`. Workers of Ruby take part with Sidekiq Pro only.

Examples:
  jobs pause imports
  heroku run target/release/jobs pause webhooks     while their receiver is down

Exit codes: 0 paused, or it was; 1 Redis cannot be reached; 2 bad usage.";

impl Pause {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let done = inspect::pause(&redis, &self.queue).await.map_err(refused)?;
        let name = plain(&self.queue);
        let text = match done.news {
            true => format!("paused: {name}; `jobs resume {name}` ends it"),
            false => format!("{name} was paused before"),
        };
        let unknown = format!("nobody has pushed to a queue {name} yet: is that its name?");
        let remarks = if done.known { Vec::new() } else { vec![unknown] };
        Ok(Answer { text, remarks, code: 0 })
    }
}
