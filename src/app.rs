//! What jobs and routes share. Add a mailer or a database pool here: clones must be cheap and share
//! the connection.

use crate::config::Config;
use crate::engine::{Client, Redis};
use crate::trace;
use crate::webhooks::Webhooks;

/// Built once in a process, cloned into every job and request.
#[derive(Clone)]
pub struct App {
    /// Enqueues jobs.
    pub jobs: Client,
    /// The process's one connection to Redis.
    pub redis: Redis,
    /// Delivers webhooks.
    pub webhooks: Webhooks,
}

impl App {
    /// Returns at once: the connection to Redis is made in the background, and made again whenever
    /// it is lost.
    pub fn new(config: &Config) -> anyhow::Result<App> {
        App::over(Redis::connect(config.redis.clone()), config)
    }

    /// The same on a connection that there is already.
    pub fn over(redis: Redis, config: &Config) -> anyhow::Result<App> {
        let webhooks = Webhooks::new(config.webhook_key.clone(), config.webhook_allow_private)?;
        let jobs = Client::new(redis.clone()).middleware(trace::enqueue);
        Ok(App { jobs, redis, webhooks })
    }
}
