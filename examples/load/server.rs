//! The server under measurement: empty before and after, and what it says of itself.

use anyhow::{Context, ensure};
use redis::cmd;
use roustabout::engine::Redis;

/// Waits for it, and refuses one that belongs to somebody.
pub async fn begin(redis: &Redis, flush: bool) -> anyhow::Result<()> {
    redis.up().await?;
    if flush {
        empty(redis).await?;
    }
    let keys: usize = redis.query(&cmd("DBSIZE")).await?;
    ensure!(keys == 0, "the database holds {keys} keys; --flush deletes them");
    Ok(())
}

pub async fn empty(redis: &Redis) -> anyhow::Result<()> {
    Ok(redis.query::<()>(&cmd("FLUSHDB")).await?)
}

/// What the server has done up to now.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Seconds of its threads.
    pub cpu: f64,
    /// As it counts them: those inside of scripts too.
    pub commands: f64,
}

impl Usage {
    pub async fn now(redis: &Redis) -> anyhow::Result<Usage> {
        let info: String = redis.query(cmd("INFO").arg("all")).await?;
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|text| text.trim().parse::<f64>().ok())
                .with_context(|| format!("INFO has no {name}"))
        };
        let cpu = number("used_cpu_sys")? + number("used_cpu_user")?;
        Ok(Usage { cpu, commands: number("total_commands_processed")? })
    }

    /// Since `earlier`, without the looking itself.
    pub fn since(self, earlier: Usage) -> Usage {
        let commands = (self.commands - earlier.commands - 1.0).max(0.0);
        Usage { cpu: self.cpu - earlier.cpu, commands }
    }
}

/// Clients but ourselves.
pub async fn connections(redis: &Redis) -> anyhow::Result<usize> {
    let clients: String = redis.query(cmd("CLIENT").arg("LIST")).await?;
    Ok(clients.lines().count().saturating_sub(1))
}

/// Waits until so many workers have registered, and a little more: they shall be idle.
pub async fn registered(redis: &Redis, workers: usize) -> anyhow::Result<()> {
    while redis.query::<usize>(cmd("SCARD").arg("processes")).await? < workers {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    Ok(())
}
