//! Imports an uploaded CSV file, however often it is interrupted on the way.
//!
//! The job is a loop over pieces of the file: work out a piece, write it, save where it ends. What
//! is written for a piece is the same every time, and all counts live in the cursor. So a worker
//! that is killed between the write and the save costs one piece done twice, and nobody can tell
//! from the result.

mod piece;

use anyhow::{Context, Error, anyhow};
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::csv_file::Table;
use crate::engine::{Job, JobContext, Payload, Stop};
use crate::jobs::DeliverWebhook;
use crate::jobs::store::{self, Import, State, body, records};
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

    async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
        let result = self.import(&cx).await;
        if let Err(error) = &result
            && gives_up(&cx, error)
            && let Err(error) = fail(&cx).await
        {
            tracing::warn!(job.jid = cx.jid(), "cannot mark the import as failed: {error}");
        }
        result
    }
}

impl ImportCsv {
    async fn import(&self, cx: &JobContext<App>) -> anyhow::Result<()> {
        let redis = &cx.app.redis;
        let import = store::load(redis, cx.jid()).await?;
        let done = import.as_ref().is_some_and(|import| import.state == State::Done);
        let (import, packed) = match (import, body::load(redis, cx.jid()).await?) {
            (Some(import), Some(packed)) => (import, packed),
            // It ended, and only the news of that was lost.
            (_, None) if done => return Ok(()),
            _ => {
                let reason = "the uploaded file is gone (it is kept for 7 days)";
                return Err(Error::new(Stop::Kill).context(reason));
            }
        };
        if !done {
            self.import_rows(cx, &import, packed).await?;
        }
        self.tell(cx).await?;
        // Last: while the file is there, a job that is run again knows that its end may not have
        // been told.
        Ok(body::delete(redis, cx.jid()).await?)
    }

    async fn import_rows(
        &self,
        cx: &JobContext<App>,
        import: &Import,
        packed: Vec<u8>,
    ) -> anyhow::Result<()> {
        let redis = &cx.app.redis;
        let text = cx
            .blocking(move || body::unpack(&packed))
            .await?
            .context("the stored file is damaged")?;
        let table = Table::open(&text, self.key.as_deref()).map_err(|reason| anyhow!(reason))?;
        let mut cursor = cx.cursor().await?.unwrap_or_else(|| Cursor::start(&table));
        // Only now: the interruptions are known once the cursor is.
        begin(cx).await?;
        loop {
            let piece = Piece::read(&table, cursor)?;
            if piece.next == cursor {
                break;
            }
            let (kept, bad) = (&piece.records, &piece.rejections);
            records::save(redis, cx.jid(), import.created_at, kept, bad, cursor.rejected).await?;
            cursor = piece.next;
            cx.progress(cursor.rows, import.total);
            // What was shown before a crash may be ahead of the cursor: better to wait than to run
            // backwards.
            if cursor.rows > import.processed {
                store::update(redis, cx.jid(), &counts(&cursor)).await?;
            }
            cx.checkpoint(cursor).await?;
            // A piece is a few milliseconds of parsing: let the other jobs of this thread have
            // theirs.
            tokio::task::yield_now().await;
        }
        let mut end = counts(&cursor).to_vec();
        end.push(("state", State::Done.as_str().into()));
        Ok(store::update(redis, cx.jid(), &end).await?)
    }

    /// Enqueues the webhook, under a jid that is the same every time: a repeat reaches the receiver
    /// as a repeat.
    async fn tell(&self, cx: &JobContext<App>) -> anyhow::Result<()> {
        let Some(url) = self.callback_url.clone() else {
            return Ok(());
        };
        let import = store::load(&cx.app.redis, cx.jid()).await?.context("the import is gone")?;
        let webhook = DeliverWebhook { url, event: completed(&import) };
        let payload = Payload::of(&webhook)?.with("jid", derived_jid(cx.jid()));
        cx.app.jobs.push(payload).await?;
        Ok(())
    }
}

/// An error that no later attempt will mend. A stop is no error: the job goes on elsewhere.
fn gives_up(cx: &JobContext<App>, error: &anyhow::Error) -> bool {
    match error.downcast_ref::<Stop>() {
        Some(stop) => matches!(stop, Stop::Kill | Stop::Discard | Stop::Cancelled),
        None => cx.last_attempt(),
    }
}

async fn begin(cx: &JobContext<App>) -> redis::RedisResult<()> {
    let interruptions = cx.interruptions().to_string();
    let fields = [("state", State::Running.as_str().into()), ("interruptions", interruptions)];
    store::update(&cx.app.redis, cx.jid(), &fields).await
}

async fn fail(cx: &JobContext<App>) -> redis::RedisResult<()> {
    let fields = [("state", State::Failed.as_str().into())];
    store::update(&cx.app.redis, cx.jid(), &fields).await
}

fn counts(cursor: &Cursor) -> [(&'static str, String); 2] {
    [("processed", cursor.rows.to_string()), ("accepted", cursor.accepted.to_string())]
}

fn completed(import: &Import) -> serde_json::Value {
    json!({
        "type": "import.completed",
        "data": {
            "jid": import.jid,
            "state": import.state,
            "processed": import.processed,
            "total": import.total,
            "accepted": import.accepted,
            "rejected": import.processed.saturating_sub(import.accepted),
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
