//! `jobs mark`: a deploy mark, for the release phase.

use super::{Answer, connect, refused};
use crate::config::Config;
use crate::engine::inspect;
use crate::text::plain;

/// Marks a deploy: Sidekiq's metrics page shows it in its graphs.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Mark {
    /// What is deployed. Where the platform names the release (HEROKU_RELEASE_VERSION and
    /// HEROKU_SLUG_DESCRIPTION or HEROKU_SLUG_COMMIT), it may be left out
    label: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  jobs mark \"$(git log -1 --format='%h %s')\"
  jobs mark || true      where a deploy must go on without Redis

The first label of a minute is its mark, the same one is not marked twice within 60 s; marks are
kept for 90 days. Exit codes: 0 marked, or there was one; 1 Redis cannot be reached; 2 no label.";

/// The graph has little room.
const LONGEST: usize = 100;

impl Mark {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let label = self.label.or_else(|| config.release.clone());
        let label: String = label.unwrap_or_default().trim().chars().take(LONGEST).collect();
        if label.is_empty() {
            let remark = "mark wants a LABEL: nothing here tells what is deployed";
            return Ok(Answer { text: String::new(), remarks: vec![remark.into()], code: 2 });
        }
        let redis = connect(config).await?;
        let fresh = inspect::mark_deploy(&redis, &label).await.map_err(refused)?;
        let what = if fresh { "marked" } else { "not marked, this minute has a mark" };
        Ok(Answer { text: format!("{what}: {}", plain(&label)), remarks: Vec::new(), code: 0 })
    }
}
