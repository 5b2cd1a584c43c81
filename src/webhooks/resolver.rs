//! Name lookup for webhooks: only addresses we are willing to connect to come out of it.

use std::fmt;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

pub(super) const PRIVATE: &str =
    "the target is a private or local address (see WEBHOOK_ALLOW_PRIVATE)";

/// The machine's resolver behind a filter.
pub(super) struct Guarded {
    pub(super) allow_private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable: Vec<SocketAddr> =
                found.filter(|found| allow_private || is_public(found.ip())).collect();
            // lookup_host itself fails when a name has no address at all.
            match usable.is_empty() {
                true => Err(PrivateTarget.into()),
                false => Ok(Box::new(usable.into_iter()) as Addrs),
            }
        })
    }
}

/// The mark by which a refusal is known from a lookup that failed.
#[derive(Debug)]
pub(super) struct PrivateTarget;

impl fmt::Display for PrivateTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PRIVATE)
    }
}

impl std::error::Error for PrivateTarget {}
