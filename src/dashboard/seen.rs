//! What every page shows: the figures for the navigation, the state of the server for the banner.
//! Taken out of a request before its handler runs.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Response;
use maud::Markup;
use tokio::time::timeout;

use super::fields::Fields;
use super::page::{self, Section};
use super::told::Told;
use super::trouble::Trouble;
use super::{Desk, words};
use crate::engine::inspect::{self, Figures};
use crate::engine::{Redis, ServerInfo};

/// For each of the reads that all pages make: who looks waits no longer for them.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// From this share of its memory on, a server is as good as full.
const NEARLY: f64 = 0.95;

/// What there is, at the moment of a request.
pub(super) struct Seen {
    /// Where it was seen; further reads go there.
    pub(super) redis: Redis,
    pub(super) figures: Figures,
    pub(super) server: ServerInfo,
    /// The page that was asked for, and what its address says behind the `?`.
    pub(super) uri: Uri,
    pub(super) query: Fields,
    told: Option<Told>,
}

impl FromRequestParts<Desk> for Seen {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Seen, Trouble> {
        let late = |_| Trouble::Late;
        let look = async |redis: &Redis| {
            timeout(PATIENCE, inspect::figures(redis, &desk.known)).await.map_err(late)
        };
        let mut redis = desk.to_read().await?;
        let mut figures = look(&redis).await?;
        if figures.is_err() {
            // lost this very moment, perhaps by the refusal that led here
            redis = desk.to_read().await?;
            figures = look(&redis).await?;
        }
        // a managed server may refuse to tell
        let server = timeout(PATIENCE, redis.server_info()).await.map_err(late)?;
        Ok(Seen {
            redis,
            figures: figures?,
            server: server.unwrap_or_default(),
            uri: parts.uri.clone(),
            query: Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            told: Told::read(&parts.headers),
        })
    }
}

impl Seen {
    /// The server's time, in epoch seconds.
    pub(super) fn now(&self) -> f64 {
        self.figures.queues.now
    }

    /// The page around this.
    pub(super) fn page(self, section: Section, title: &str, content: Markup) -> Response {
        let warnings = self.warnings();
        page::full(&self, section, title, &warnings, self.told.as_ref(), content)
    }

    /// What is wrong with all of it, in sentences.
    fn warnings(&self) -> Vec<String> {
        let (server, mut all) = (&self.server, Vec::new());
        if server.replica {
            all.push("This Redis is a read-only replica: pages work, but no job is taken or moved, and nothing can be changed.".to_owned());
        }
        if server.maxmemory > 0 && server.used_memory as f64 >= NEARLY * server.maxmemory as f64 {
            let [used, most] = [server.used_memory, server.maxmemory].map(words::bytes);
            all.push(format!("Redis is full ({used} of {most}): new jobs are refused. Delete what is not needed, or take a larger plan."));
        }
        if server.evicts() {
            all.push(format!("Redis throws keys away when it is full ({}), jobs too: set maxmemory-policy to noeviction.", server.policy));
        }
        let strange = self.figures.queues.strange + self.figures.queues.processes.unreadable;
        if strange > 0 {
            all.push(format!("{strange} entries in Redis could not be read: they are left out."));
        }
        all
    }
}
