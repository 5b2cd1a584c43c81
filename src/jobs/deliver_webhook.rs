//! Tells somebody else's server about an event.

use anyhow::{Error, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::engine::{Job, JobContext, Stop};
use crate::webhooks::Undelivered;

/// One signed POST of `event` to `url`, tried again until it is answered with a 2xx or a 410.
#[derive(Serialize, Deserialize)]
pub struct DeliverWebhook {
    /// Where to.
    pub url: String,
    /// What: the body, as it is.
    pub event: Value,
}

impl Job for DeliverWebhook {
    type App = App;
    const CLASS: &'static str = "DeliverWebhook";
    const QUEUE: &'static str = "webhooks";

    async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
        // The jid stays the same over retries: it is what the receiver recognises a repeat by.
        match cx.app.webhooks.deliver(&self.url, cx.jid(), self.event.to_string()).await {
            Ok(()) => Ok(()),
            Err(Undelivered::Failed(reason)) => Err(anyhow!(reason)),
            Err(Undelivered::Gone) => {
                tracing::info!(
                    job.jid = cx.jid(),
                    "webhook: the receiver is gone for good (410), discarded"
                );
                bail!(Stop::Discard)
            }
            Err(Undelivered::Refused(reason)) => {
                Err(Error::new(Stop::Kill).context(reason)) // the reason goes to the dead set
            }
        }
    }
}
