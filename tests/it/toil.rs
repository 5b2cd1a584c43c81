//! The jobs of a storm: short and long ones, some that fail once, some with a cursor.

use std::time::Duration;

use roustabout::engine::{Job, JobContext, Payload, Registry};
use serde::{Deserialize, Serialize};

use crate::child::Book;
use crate::ledger::recorded;

/// Takes its time; may fail the first time.
#[derive(Serialize, Deserialize)]
pub struct Toil {
    ms: u64,
    fails: bool,
}

impl Job for Toil {
    type App = Book;
    const CLASS: &'static str = "Toil";

    async fn perform(self, cx: JobContext<Book>) -> anyhow::Result<()> {
        recorded(&cx, async {
            tokio::time::sleep(Duration::from_millis(self.ms)).await;
            anyhow::ensure!(!self.fails || cx.attempt() > 1, "no luck");
            Ok(())
        })
        .await
    }
}

/// Notes each of its steps in a set, with a cursor.
#[derive(Serialize, Deserialize)]
pub struct Steps {
    to: u32,
}

impl Job for Steps {
    type App = Book;
    const CLASS: &'static str = "Steps";
    const QUEUE: &'static str = "steps";

    async fn perform(self, cx: JobContext<Book>) -> anyhow::Result<()> {
        recorded(&cx, async {
            let set = done(cx.jid());
            for at in cx.cursor().await?.unwrap_or(0)..self.to {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(..20))).await;
                let () = cx.app.ledger.ask(&["SADD", &set, &at.to_string()]).await;
                cx.checkpoint(at + 1).await?;
            }
            Ok(())
        })
        .await
    }
}

/// The set of the steps that such a job has done.
pub fn done(jid: &str) -> String {
    format!("test:steps:{jid}")
}

pub fn register(registry: Registry<Book>) -> Registry<Book> {
    registry.job::<Toil>().job::<Steps>()
}

/// A job like any other of the mixture, and the number of its steps (0: it has none).
pub fn any() -> (Payload, u32) {
    match fastrand::u8(..100) {
        0..3 => {
            let to = fastrand::u32(10..60);
            (Payload::of(&Steps { to }).expect("JSON"), to)
        }
        dice => {
            let ms = match dice {
                ..50 => fastrand::u64(..20),
                50..75 => fastrand::u64(20..80),
                _ => fastrand::u64(80..=200),
            };
            (Payload::of(&Toil { ms, fails: dice == 3 }).expect("JSON"), 0)
        }
    }
}
