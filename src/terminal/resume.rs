//! `jobs resume`: the end of `jobs pause`.

use clap::builder::NonEmptyStringValueParser;

use super::{Answer, connect, refused};
use crate::config::Config;
use crate::engine::inspect;
use crate::text::plain;

/// Resumes a paused queue in all worker processes, at once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Resume {
    /// The queue, by its bare name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    queue: String,
}

const EXAMPLES: &str = "\
Example:
  jobs resume imports

Exit codes: 0 resumed, or it was not paused; 1 Redis cannot be reached; 2 bad usage.";

impl Resume {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let done = inspect::resume(&redis, &self.queue).await.map_err(refused)?;
        let name = plain(&self.queue);
        let text = match done.news {
            true => format!("resumed: {name}"),
            false => format!("{name} was not paused"),
        };
        Ok(Answer { text, remarks: Vec::new(), code: 0 })
    }
}
