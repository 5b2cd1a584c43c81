//! What the environment says, read once at start. What can be set is in `Raw`, and
//! the Redis URL, whose variable can be named by another, in `redis_url`.
//!
//! A bad value is one line that names the variable and what it accepts. The line never repeats the
//! value: some are secrets, and one that was pasted into the wrong variable is a secret too.

mod values;

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::{QueueLimits, QueueList, RedisOptions, WorkerOptions};
use crate::logging::LogFormat;
use crate::routes::Login;
use crate::webhooks::SigningKey;
use values::{
    address, flag, health_port, limit, log_format, login, mebibytes, number, queue_limits, queues,
    release, seconds, tls_verify, token, webhook_key,
};

/// The settings of one process. Deliberately not `Debug`: half of it is secret.
pub struct Config {
    /// Where Redis is, and how much of its certificate to believe.
    pub redis: RedisOptions,
    /// The port `web` listens on.
    pub port: u16,
    /// Jobs in progress at once in one worker process.
    pub concurrency: usize,
    /// The queues a worker takes jobs from.
    pub queues: QueueList,
    /// How many jobs of a queue may be in progress or start, over all processes.
    pub queue_limits: QueueLimits,
    /// What a stopping worker gives its running jobs.
    pub shutdown_timeout: Duration,
    /// How long a job may run; `None` is as long as it likes.
    pub job_timeout: Option<Duration>,
    /// How long a worker may be stuck before it gives up; `None` is for ever.
    pub stall_timeout: Option<Duration>,
    /// The resident memory, in MiB, above which a worker makes room for a fresh one.
    pub memory_limit: Option<u64>,
    /// The port on which a worker tells how it is.
    pub health_port: Option<u16>,
    /// Whether `web` runs a worker as a part of itself.
    pub embedded: bool,
    /// The bearer token of the endpoints; without one they answer only this machine.
    pub api_token: Option<String>,
    /// Who may look at the dashboard and the metrics; without it, only this machine.
    pub login: Option<Login>,
    /// What HireFire has to send.
    pub hirefire_token: Option<String>,
    /// Where notices about stuck jobs go.
    pub stuck_job_webhook: Option<String>,
    /// What the platform calls this release, if it says.
    pub release: Option<String>,
    /// Signs outgoing webhooks.
    pub webhook_key: Option<SigningKey>,
    /// Deliver to private and loopback addresses too.
    pub webhook_allow_private: bool,
    /// The `RUST_LOG` directives.
    pub log_filter: String,
    /// Text for people or JSON for machines.
    pub log_format: LogFormat,
    /// On a platform's dyno: the log gets its time stamps there, and no colours.
    pub dyno: bool,
}

/// What is read: envy matches the field names to upper-case variables. Only strings here, so that
/// the messages are ours.
#[derive(Default, Deserialize)]
struct Raw {
    redis_tls_verify: Option<String>,
    port: Option<String>,
    concurrency: Option<String>,
    queues: Option<String>,
    queue_limits: Option<String>,
    shutdown_timeout: Option<String>,
    job_timeout: Option<String>,
    stall_timeout: Option<String>,
    memory_limit_mb: Option<String>,
    worker_health_port: Option<String>,
    worker_embedded: Option<String>,
    api_token: Option<String>,
    dashboard_user: Option<String>,
    dashboard_password: Option<String>,
    hirefire_token: Option<String>,
    stuck_job_webhook: Option<String>,
    heroku_release_version: Option<String>,
    heroku_slug_commit: Option<String>,
    heroku_slug_description: Option<String>,
    webhook_secret: Option<String>,
    webhook_allow_private: Option<String>,
    rust_log: Option<String>,
    log_format: Option<String>,
    dyno: Option<String>,
}

const LOCAL_REDIS: &str = "redis://127.0.0.1:6379/0";

impl Config {
    /// Reads the environment of this process.
    pub fn from_env() -> Result<Config, String> {
        Config::from_vars(std::env::vars_os())
    }

    fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Config, String> {
        let vars = readable(vars);
        let (url_name, url) = redis_url(&vars)?;
        // envy lower-cases names: a stray `port` beside `PORT` would be a duplicate.
        let upper = vars
            .into_iter()
            .filter(|(name, _)| !name.bytes().any(|byte| byte.is_ascii_lowercase()));
        let raw: Raw = envy::from_iter(upper).map_err(|error| error.to_string())?;
        let verify = tls_verify(raw.redis_tls_verify.clone())?;
        let redis = RedisOptions::parse(&url, verify);
        Config::from_raw(raw, redis.map_err(|why| format!("{url_name}: {why}"))?)
    }

    fn from_raw(raw: Raw, redis: RedisOptions) -> Result<Config, String> {
        let port = number("PORT", raw.port, 5006, 1..=65_535)?;
        let embedded = flag("WORKER_EMBEDDED", raw.worker_embedded)?;
        Ok(Config {
            redis,
            port,
            concurrency: number("CONCURRENCY", raw.concurrency, 10, 1..=10_000)?,
            queues: queues(raw.queues)?,
            queue_limits: queue_limits(raw.queue_limits)?,
            shutdown_timeout: seconds("SHUTDOWN_TIMEOUT", raw.shutdown_timeout, 25)?,
            job_timeout: limit("JOB_TIMEOUT", raw.job_timeout, 1800)?,
            stall_timeout: limit("STALL_TIMEOUT", raw.stall_timeout, 60)?,
            memory_limit: mebibytes("MEMORY_LIMIT_MB", raw.memory_limit_mb)?,
            health_port: health_port(raw.worker_health_port, embedded.then_some(port))?,
            embedded,
            api_token: token("API_TOKEN", raw.api_token)?,
            login: login(raw.dashboard_user, raw.dashboard_password)?,
            hirefire_token: token("HIREFIRE_TOKEN", raw.hirefire_token)?,
            stuck_job_webhook: address("STUCK_JOB_WEBHOOK", raw.stuck_job_webhook)?,
            release: release([
                raw.heroku_release_version,
                raw.heroku_slug_description.or(raw.heroku_slug_commit),
            ]),
            webhook_key: raw.webhook_secret.map(webhook_key).transpose()?,
            webhook_allow_private: flag("WEBHOOK_ALLOW_PRIVATE", raw.webhook_allow_private)?,
            log_filter: raw.rust_log.unwrap_or_else(|| "info".into()),
            log_format: log_format(raw.log_format)?,
            dyno: raw.dyno.is_some(),
        })
    }

    /// The worker's share, in the engine's words.
    pub fn worker_options(&self) -> WorkerOptions {
        WorkerOptions {
            concurrency: self.concurrency,
            queues: self.queues.clone(),
            limits: self.queue_limits.clone(),
            shutdown_timeout: self.shutdown_timeout,
            job_timeout: self.job_timeout,
            stall_timeout: self.stall_timeout,
            memory_limit: self.memory_limit,
            measure_waits: self.health_port.is_some(), // where they are shown
            ..WorkerOptions::default()
        }
    }
}

/// Reads `.env` in the working directory, and only there: a file further up belongs to something
/// else. What is set already stays. Changes the environment: call it before there are threads.
pub fn load_dotenv() -> Result<(), String> {
    match dotenvy::from_path(".env") {
        Err(dotenvy::Error::LineParse(..)) => Err(".env has a line that is not NAME=value".into()),
        Err(error) if !error.not_found() => Err(format!(".env cannot be read: {error}")),
        _ => Ok(()),
    }
}

type Vars = HashMap<String, String>;

/// The variables as text, without the empty ones: an empty value means unset.
///
/// Lossy, because `env::vars` panics where this ends in the message of whichever parser meets the
/// odd character.
fn readable(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Vars {
    vars.into_iter()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// `REDIS_PROVIDER` is Sidekiq's convention: it holds the *name* of the variable an add-on sets.
/// So this gives the name beside the value, for the messages.
fn redis_url(vars: &Vars) -> Result<(String, String), String> {
    let name = vars.get("REDIS_PROVIDER").map_or("REDIS_URL", String::as_str);
    // The commonest mistake is to put the URL itself here, so the value is not repeated unless it
    // can be a name.
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(
            "REDIS_PROVIDER accepts the name of the variable that holds the Redis URL, not a URL"
                .into(),
        );
    }
    match vars.get(name) {
        Some(url) => Ok((name.to_owned(), url.trim().to_owned())),
        None if vars.contains_key("REDIS_PROVIDER") => {
            Err("REDIS_PROVIDER accepts the name of a variable that is set; this one is not".into())
        }
        None if vars.contains_key("DYNO") => {
            Err("REDIS_URL is not set: run `heroku addons:create heroku-redis:mini`".into())
        }
        None => Ok((name.to_owned(), LOCAL_REDIS.to_owned())),
    }
}

#[cfg(test)]
mod tests;
