//! Imports an uploaded CSV file, however often it is interrupted on the way.
//!
//! The job is a loop over pieces of the file: work out a piece, write it, save where it ends. What
//! is written for a piece is the same every time, and all counts live in the cursor. So a worker
//! that is killed between the write and the save costs one piece done twice, and nobody can tell
//! from the result.

mod piece;

use std::time::Duration;

use anyhow::{Context, Error, anyhow};
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::csv_file::Table;
use crate::engine::{Job, JobContext, Payload, Stop};
use crate::jobs::DeliverWebhook;
use crate::jobs::store::{self, Import, Outcome, State, body, records};
use piece::{Cursor, Piece};

/// One upload. The file is stored under the job's jid.
#[derive(Serialize, Deserialize)]
pub struct ImportCsv {
    /// The column that identifies a row; the first one if not given.
    #[serde(default)]
    pub key: Option<String>,
    /// Who is told when it is done.
    #[serde(default)]
    pub callback_url: Option<String>,
}

impl Job for ImportCsv {
    type App = App;
    const CLASS: &'static str = "ImportCsv";
    const QUEUE: &'static str = "imports";

    /// The page shows how far it is, and asks for that by the jid.
    const STATUS_FOR: Option<Duration> = Some(Duration::from_secs(store::KEPT_SECONDS));

    async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
        let redis = &cx.app.redis;
        let import = store::load(&cx.app, cx.jid()).await?;
        let counts = match (import, body::load(redis, cx.jid()).await?) {
            (Some(import @ Import { ended: None, .. }), Some(packed)) => {
                self.import_rows(&cx, &import, packed).await?
            }
            (Some(Import { ended: Some(accepted), total, .. }), Some(_)) => (total, accepted),
            // It ended, and only the news of that was lost.
            (Some(Import { ended: Some(accepted), total, interruptions, .. }), None) => {
                cx.progress(total, total);
                return cx.result(Outcome { accepted, interruptions });
            }
            _ => {
                let reason = "the uploaded file is gone (it is kept for 7 days)";
                return Err(Error::new(Stop::Kill).context(reason));
            }
        };
        self.tell(&cx, counts).await?;
        // Last: while the file is there, a job that is run again knows that its end may not have
        // been told.
        let (_, accepted) = counts;
        Ok(body::end(redis, cx.jid(), accepted).await?)
    }
}

impl ImportCsv {
    /// Returns how many rows there were, and how many were taken.
    async fn import_rows(
        &self,
        cx: &JobContext<App>,
        import: &Import,
        packed: Vec<u8>,
    ) -> anyhow::Result<(u64, u64)> {
        let text = cx.blocking(move || body::unpack(&packed)).await?;
        let text = text.context("the stored file is damaged")?;
        let table = Table::open(&text, self.key.as_deref()).map_err(|reason| anyhow!(reason))?;
        let mut cursor = cx.cursor().await?.unwrap_or_else(|| Cursor::start(&table));
        show(cx, import, &cursor)?;
        loop {
            let piece = Piece::read(&table, cursor)?;
            if piece.next == cursor {
                let Cursor { accepted, rows, .. } = cursor;
                tracing::info!(job.jid = cx.jid(), "imported {accepted} of {rows} rows");
                return Ok((rows, accepted));
            }
            let (kept, bad) = (&piece.records, &piece.rejections);
            let (redis, since) = (&cx.app.redis, import.created_at);
            records::save(redis, cx.jid(), since, kept, bad, cursor.rejected).await?;
            cursor = piece.next;
            show(cx, import, &cursor)?;
            cx.checkpoint(cursor).await?;
            // A piece is a few milliseconds of parsing: let the other jobs of this thread have
            // theirs.
            tokio::task::yield_now().await;
        }
    }

    /// Enqueues the webhook, under a jid that is the same every time: a repeat reaches the receiver
    /// as a repeat.
    async fn tell(&self, cx: &JobContext<App>, counts: (u64, u64)) -> anyhow::Result<()> {
        let Some(url) = self.callback_url.clone() else {
            return Ok(());
        };
        let webhook = DeliverWebhook { url, event: completed(cx.jid(), counts) };
        let payload = Payload::of(&webhook)?.with("jid", derived_jid(cx.jid()));
        cx.app.jobs.push(payload).await?;
        Ok(())
    }
}

/// What was shown before a crash may be ahead of the cursor: better to wait than to run backwards.
fn show(cx: &JobContext<App>, import: &Import, cursor: &Cursor) -> anyhow::Result<()> {
    let accepted = if cursor.rows < import.processed { import.accepted } else { cursor.accepted };
    cx.progress(cursor.rows.max(import.processed), import.total);
    cx.result(Outcome { accepted, interruptions: u64::from(cx.interruptions()) })
}

fn completed(jid: &str, (rows, accepted): (u64, u64)) -> serde_json::Value {
    json!({
        "type": "import.completed",
        "data": {
            "jid": jid,
            "state": State::Done,
            "processed": rows,
            "total": rows,
            "accepted": accepted,
            "rejected": rows.saturating_sub(accepted),
        },
    })
}

/// 24 hex digits like every jid, and always the same ones for the same import.
fn derived_jid(jid: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("DeliverWebhook {jid}").as_bytes());
    hash.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
