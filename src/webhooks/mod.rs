//! Outgoing webhooks: one signed POST that cannot be aimed at our own network.
//!
//! The address is somebody else's text, so it is checked twice, and both times where nothing can
//! change it any more: a literal address in the URL just before the request, and what a name
//! resolves to in the resolver the connection itself uses. Checking a name first and connecting
//! later would be a race that a short-lived DNS record wins.

mod address;
mod resolver;
mod signature;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{StatusCode, redirect};
use url::{Host, Url};

pub use signature::SigningKey;

/// The whole delivery, from the name lookup to the status line.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Sends webhooks. Clones share one connection pool.
#[derive(Clone)]
pub struct Webhooks {
    http: reqwest::Client,
    key: Option<Arc<SigningKey>>,
    allow_private: bool,
}

/// Why a webhook was not delivered. No variant carries the URL: its path or user part may be a
/// secret.
#[derive(Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// The target is one we never talk to; trying again will not help.
    Refused(&'static str),
    /// The receiver does not want this any more (410).
    Gone,
    /// Anything else: worth another try.
    Failed(String),
}

impl Webhooks {
    /// A client with the machine's certificate authorities. `key` signs; without it deliveries
    /// carry no signature.
    pub fn new(key: Option<SigningKey>, allow_private: bool) -> anyhow::Result<Webhooks> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::engine::tls::client_config()?)
            // A proxy would connect for us, to wherever it likes; a redirect would send the body
            // elsewhere.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(TIMEOUT)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(resolver::Guarded { allow_private })
            .build()?;
        Ok(Webhooks { http, key: key.map(Arc::new), allow_private })
    }

    /// Whether deliveries are signed.
    pub fn signs(&self) -> bool {
        self.key.is_some()
    }

    /// One POST of `body` as JSON. `id` is the same for every attempt, so that the receiver can
    /// drop repeats.
    pub async fn deliver(&self, url: &str, id: &str, body: String) -> Result<(), Undelivered> {
        let url = parse(url).map_err(Undelivered::Refused)?;
        self.check_literal(&url)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = self.http.post(url).header("content-type", "application/json");
        request = request.header("webhook-id", id).header("webhook-timestamp", now);
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", key.sign(id, now, &body));
        }
        // The answer's body is never read: the status says everything, and dropping the response
        // closes the rest.
        match request.body(body).send().await {
            Ok(response) => verdict(response.status()),
            Err(error) => Err(failure(&error.without_url())),
        }
    }

    /// The connector does not ask the resolver about a literal address. `url` has normalised every
    /// spelling of one (`0x7f.1`, `2130706433`, `[::ffff:7f00:1]`) by now.
    fn check_literal(&self, url: &Url) -> Result<(), Undelivered> {
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            _ => return Ok(()),
        };
        match self.allow_private || address::is_public(literal) {
            true => Ok(()),
            false => Err(Undelivered::Refused(resolver::PRIVATE)),
        }
    }
}

/// The URL of a webhook, or what is wrong with it.
pub fn parse(url: &str) -> Result<Url, &'static str> {
    let url = Url::parse(url).map_err(|_| "not a URL")?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("neither http nor https"),
    }
}

fn verdict(status: StatusCode) -> Result<(), Undelivered> {
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::GONE => Err(Undelivered::Gone),
        _ => Err(Undelivered::Failed(format!("the receiver answered {}", status.as_u16()))),
    }
}

/// Our resolver's refusal is somewhere down the chain of causes; the innermost cause says most
/// about all others.
fn failure(error: &reqwest::Error) -> Undelivered {
    if error.is_timeout() {
        return Undelivered::Failed(format!("no answer within {} s", TIMEOUT.as_secs()));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        if deeper.is::<resolver::PrivateTarget>() {
            return Undelivered::Refused(resolver::PRIVATE);
        }
        cause = deeper;
    }
    Undelivered::Failed(format!("the receiver cannot be reached: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_and_https_with_a_host() {
        for good in ["http://a", "https://user:pw@example.com:8443/x?y", "HTTP://[::1]/"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "ftp://a/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://",
            "unix:/x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_status_decides() {
        assert_eq!(verdict(StatusCode::NO_CONTENT), Ok(()));
        assert_eq!(verdict(StatusCode::GONE), Err(Undelivered::Gone));
        for status in [301, 400, 404, 429, 500] {
            let verdict = verdict(StatusCode::from_u16(status).unwrap());
            assert!(matches!(verdict, Err(Undelivered::Failed(_))), "{status}");
        }
    }
}
