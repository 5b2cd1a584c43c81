//! What the workers in processes of their own run. The jobs write into a diary in Redis, outside
//! of the engine's keys.

use std::time::Duration;

use redis::{FromRedisValue, cmd};
use roustabout::engine::{Failed, Job, JobContext, Payload, Redis};
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::support::{Server, eventually};

const DIARY: &str = "test:diary";

/// The diary as it stands.
pub async fn diary(server: &Server) -> Vec<String> {
    server.query(&format!("LRANGE {DIARY} 0 -1")).await
}

/// How often a line stands in the diary.
pub async fn noted(server: &Server, line: &str) -> usize {
    diary(server).await.iter().filter(|other| *other == line).count()
}

/// Waits until a line stands in the diary.
pub async fn notes(server: &Server, line: &str) {
    eventually(line, async || noted(server, line).await > 0).await;
}

/// What the jobs share.
#[derive(Clone)]
pub struct Book {
    pub redis: Redis,
    pub ledger: Ledger,
    pub name: String,
}

impl Book {
    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        Ok(self.redis.query(&command).await?)
    }

    pub async fn note(&self, line: String) -> anyhow::Result<()> {
        self.ask(&["RPUSH", DIARY, &line]).await
    }

    /// True the first time.
    pub async fn first(&self, name: &str) -> anyhow::Result<bool> {
        self.ask(&["SETNX", &format!("test:first:{name}"), "1"]).await
    }

    async fn gate_is_open(&self) -> anyhow::Result<bool> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.ask(&["EXISTS", "test:gate"]).await
    }
}

/// Kills its process. There is one at a time, somebody asks how far it is, and it leaves a note to
/// be written when it is buried.
#[derive(Serialize, Deserialize)]
pub struct Killer {}

impl Job for Killer {
    type App = Book;
    const CLASS: &'static str = "Killer";
    const UNIQUE_FOR: Option<Duration> = Some(Duration::from_secs(3_600));
    const STATUS_FOR: Option<Duration> = Some(Duration::from_secs(3_600));

    fn on_death(self, death: &Failed) -> Option<Payload> {
        Payload::of(&Note { name: format!("will: {}", death.error_class) }).ok()
    }

    async fn perform(self, cx: JobContext<Book>) -> anyhow::Result<()> {
        cx.app.note("killer".into()).await?;
        std::process::abort()
    }
}

/// Ends well, but before anybody hears of it all threads are taken.
#[derive(Serialize, Deserialize)]
pub struct Clog {}

impl Job for Clog {
    type App = Book;
    const CLASS: &'static str = "Clog";
    const UNIQUE_FOR: Option<Duration> = Some(Duration::from_secs(3_600));
    const STATUS_FOR: Option<Duration> = Some(Duration::from_secs(3_600));

    async fn perform(self, cx: JobContext<Book>) -> anyhow::Result<()> {
        cx.app.note("clog".into()).await?;
        for _ in 0..8 {
            tokio::spawn(async { std::thread::sleep(Duration::from_secs(3_600)) });
        }
        Ok(())
    }
}

macro_rules! jobs {
    ($($name:ident { $($field:ident: $type:ty),* } |$this:ident, $cx:ident| $body:block)*) => {$(
        #[derive(Serialize, Deserialize)]
        pub struct $name { $(pub $field: $type),* }
        impl roustabout::engine::Job for $name {
            type App = Book;
            const CLASS: &'static str = stringify!($name);
            async fn perform(self, $cx: JobContext<Book>) -> anyhow::Result<()> {
                let $this = self;
                $body
            }
        }
    )*};
}

jobs! {
    // does nothing but note that it ran
    Note { name: String } |this, cx| {
        cx.app.note(this.name).await
    }
    // runs until the test opens the gate
    Gate { name: String } |this, cx| {
        cx.app.note(format!("start {}", this.name)).await?;
        while !cx.app.gate_is_open().await? {}
        cx.app.note(format!("end {}", this.name)).await
    }
    // notes each number up to `to` in a set, with a cursor; slowly until the gate is open
    Count { name: String, to: u32 } |this, cx| {
        let (from, set) = (cx.cursor().await?.unwrap_or(0), format!("test:{}", this.name));
        cx.app.note(format!("start {} at {from}", this.name)).await?;
        let mut hurry = false;
        for at in from..this.to {
            let () = cx.app.ask(&["SADD", &set, &at.to_string()]).await?;
            cx.checkpoint(at + 1).await?;
            if !hurry {
                hurry = cx.app.gate_is_open().await?;
            }
        }
        cx.app.note(format!("end {}", this.name)).await
    }
    // notes each row in a list, with a cursor, one in 20 ms at best, until the gate is open
    Rows { name: String } |this, cx| {
        let (from, list) = (cx.cursor().await?.unwrap_or(0), format!("test:{}", this.name));
        for row in from.. {
            let row: u64 = row;
            let () = cx.app.ask(&["RPUSH", &list, &row.to_string()]).await?;
            cx.checkpoint(row + 1).await?;
            if cx.app.gate_is_open().await? {
                break;
            }
        }
        cx.app.note(format!("end {}", this.name)).await
    }
    // sleeps, and needs nothing for it
    Nap { millis: u64 } |this, _cx| {
        tokio::time::sleep(Duration::from_millis(this.millis)).await;
        Ok(())
    }
    // never gives its thread back
    Block {} |_this, _cx| {
        std::thread::sleep(Duration::from_secs(3_600));
        Ok(())
    }
    // holds its thread until there is such a file
    Hold { path: String } |this, _cx| {
        while !std::fs::exists(&this.path)? {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
    // keeps what it takes
    Leak { mib: usize } |this, cx| {
        Vec::leak(vec![1u8; this.mib << 20]);
        cx.app.note("leaked".into()).await
    }
    // the first run goes on until it learns that it lost its job or the gate opens, the second
    // one ends well
    Frozen { name: String } |this, cx| {
        let starts: u32 = cx.app.ask(&["INCR", &format!("test:{}", this.name)]).await?;
        let _: Option<u32> = cx.cursor().await?;
        cx.app.note(format!("start {}", this.name)).await?;
        if starts > 1 {
            return cx.app.note(format!("end {}", this.name)).await;
        }
        loop {
            match this.name.as_str() {
                "flag" if cx.stopping() => return cx.app.note("told by the flag".into()).await,
                "cursor" => if let Err(error) = cx.checkpoint(0).await {
                    cx.app.note(format!("told: {error}")).await?;
                    return Err(error);
                }
                "success" if cx.app.gate_is_open().await? => return Ok(()),
                "failure" if cx.app.gate_is_open().await? => anyhow::bail!("too late"),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
