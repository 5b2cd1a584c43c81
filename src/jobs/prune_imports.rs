//! Forgets imported records after a week. The imports themselves expire in Redis.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::engine::{Job, JobContext};
use crate::jobs::store::{self, records};

/// Removes the records that no import has touched for as long as imports are kept.
#[derive(Serialize, Deserialize)]
pub struct PruneImports;

impl Job for PruneImports {
    type App = App;
    const CLASS: &'static str = "PruneImports";

    /// Goes through all records in small steps, so that Redis stays free for others and a stop
    /// costs one step.
    async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
        // the server's: a machine whose clock is days fast must not delete what is fresh
        let now = cx.app.redis.now() as u64;
        let oldest_kept = now.saturating_sub(store::KEPT_SECONDS);
        let (mut cursor, mut removed) = (cx.cursor::<u64>().await?.unwrap_or(0), 0);
        loop {
            let step;
            (cursor, step) = records::prune(&cx.app.redis, cursor, oldest_kept).await?;
            removed += step;
            // Back at 0, the scan has seen everything that was there all along.
            if cursor == 0 {
                tracing::info!(removed, "old records pruned");
                return Ok(());
            }
            cx.checkpoint(cursor).await?;
        }
    }
}
