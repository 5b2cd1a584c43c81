//! One parser a kind of value. Each says what its variable accepts, and none repeats what it was
//! given.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::engine::{QueueLimits, QueueList, TlsVerify};
use crate::logging::LogFormat;
use crate::routes::Login;
use crate::webhooks::{self, SigningKey};

pub(super) fn tls_verify(value: Option<String>) -> Result<TlsVerify, String> {
    let parsed = value.as_deref().unwrap_or("full").trim().parse();
    parsed.map_err(|accepted| format!("REDIS_TLS_VERIFY accepts {accepted}"))
}

pub(super) fn queues(value: Option<String>) -> Result<QueueList, String> {
    value.as_deref().unwrap_or("*").parse().map_err(|why| format!("QUEUES: {why}"))
}

pub(super) fn queue_limits(value: Option<String>) -> Result<QueueLimits, String> {
    let parsed = value.as_deref().map(str::parse).transpose();
    parsed.map(Option::unwrap_or_default).map_err(|why| format!("QUEUE_LIMITS: {why}"))
}

pub(super) fn log_format(value: Option<String>) -> Result<LogFormat, String> {
    match value.as_deref() {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(_) => Err("LOG_FORMAT accepts text or json".into()),
    }
}

pub(super) fn flag(name: &str, value: Option<String>) -> Result<bool, String> {
    match value.as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(format!("{name} accepts true or false, 1 or 0")),
    }
}

/// A token that cannot be sent in a header would lock everybody out.
pub(super) fn token(name: &str, token: Option<String>) -> Result<Option<String>, String> {
    match token {
        Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(format!("{name} accepts printable ASCII without spaces"))
        }
        token => Ok(token),
    }
}

/// A user alone protects nothing.
pub(super) fn login(
    user: Option<String>,
    password: Option<String>,
) -> Result<Option<Login>, String> {
    match (user, password) {
        (Some(user), _) if user.contains(':') => {
            Err("DASHBOARD_USER accepts any text without a colon".into())
        }
        (Some(_), None) => Err("DASHBOARD_USER needs a DASHBOARD_PASSWORD beside it".into()),
        (user, password) => Ok(password.map(|password| Login { user, password })),
    }
}

/// `taken`: the port that the same process listens on already.
pub(super) fn health_port(
    value: Option<String>,
    taken: Option<u16>,
) -> Result<Option<u16>, String> {
    let name = "WORKER_HEALTH_PORT";
    match value.map(|value| number(name, Some(value), 0, 1..=65_535)).transpose()? {
        port if port.is_some() && port == taken => {
            Err(format!("{name} accepts another port than PORT, which web listens on"))
        }
        port => Ok(port),
    }
}

/// Where to POST to. Its path is a secret, as in every chat's webhook.
pub(super) fn address(name: &str, value: Option<String>) -> Result<Option<String>, String> {
    match value.map(|url| url.trim().to_owned()) {
        Some(url) if webhooks::parse(&url).is_err() => {
            Err(format!("{name} accepts an http:// or https:// address"))
        }
        url => Ok(url),
    }
}

/// `v42 Deploy 1a2b3c4`, of as much as is known.
pub(super) fn release(words: [Option<String>; 2]) -> Option<String> {
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

pub(super) fn webhook_key(secret: String) -> Result<SigningKey, String> {
    let parsed = SigningKey::parse(&secret);
    parsed.ok_or_else(|| "WEBHOOK_SECRET accepts printable ASCII, or whsec_ and then base64".into())
}

pub(super) fn seconds(name: &str, value: Option<String>, default: u64) -> Result<Duration, String> {
    number(name, value, default, 0..=86_400).map(Duration::from_secs)
}

/// Seconds, where 0 is no limit.
pub(super) fn limit(
    name: &str,
    value: Option<String>,
    default: u64,
) -> Result<Option<Duration>, String> {
    seconds(name, value, default).map(|limit| Some(limit).filter(|limit| !limit.is_zero()))
}

pub(super) fn mebibytes(name: &str, value: Option<String>) -> Result<Option<u64>, String> {
    match value {
        None => Ok(None),
        some => number(name, some, 0, 0..=1 << 20).map(|limit| Some(limit).filter(|it| *it > 0)),
    }
}

pub(super) fn number<T>(
    name: &str,
    value: Option<String>,
    default: T,
    accepted: RangeInclusive<T>,
) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let Some(value) = value else {
        return Ok(default);
    };
    let number = value.trim().parse().ok().filter(|number| accepted.contains(number));
    number.ok_or_else(|| {
        format!("{name} accepts a whole number from {} to {}", accepted.start(), accepted.end())
    })
}
