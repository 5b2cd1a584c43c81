//! `GET /imports/JID/events`: the import as it changes, until it is final or we stop.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderName;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;

use super::find;
use crate::jobs::store::{self, Import};
use crate::routes::{Web, error::Error};

/// How often Redis is asked. A person cannot tell it from at once.
const INTERVAL: Duration = Duration::from_millis(250);
/// Every so many looks the job itself is looked for.
const LONGER_LOOK: u32 = 25;

/// One open stream.
struct Watch {
    web: Web,
    jid: String,
    sent: Option<String>,
    ended: bool,
    looks: u32,
}

pub(super) async fn events(
    State(web): State<Web>,
    jid: Result<Path<String>, PathRejection>,
) -> Result<impl IntoResponse, Error> {
    // Asked once before the stream begins, so that an unknown import is a plain 404.
    let jid = find(&web, jid).await?.jid;
    let watch = Watch { web, jid, sent: None, ended: false, looks: 0 };
    // Routers close a connection on which nothing is sent (Heroku's after 55 s): a comment every 15
    // s.
    let beat = KeepAlive::new().interval(Duration::from_secs(15));
    // Some proxies collect a response before passing it on unless told not to.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, Sse::new(stream::unfold(watch, next)).keep_alive(beat)))
}

/// The next event; `None` ends the stream. TERM must end it at once, or it would hold up the exit.
async fn next(mut watch: Watch) -> Option<(Result<Event, Infallible>, Watch)> {
    let lifecycle = watch.web.lifecycle.clone();
    let event = tokio::select! {
        event = watch.change() => event?,
        () = lifecycle.stopping() => return None,
    };
    Some((Ok(event), watch))
}

impl Watch {
    async fn change(&mut self) -> Option<Event> {
        while !self.ended {
            // whether it is dead takes a longer look: only now and then
            self.looks += 1;
            let app = &self.web.app;
            let import = match self.looks % LONGER_LOOK {
                0 => store::load_settled(app, &self.jid).await,
                _ => store::load(app, &self.jid).await,
            };
            match import {
                Ok(import) => {
                    if let Some(event) = self.compare(&import?) {
                        return Some(event);
                    }
                }
                // Redis is away, and the engine logs that. The stream waits for it like everybody
                // else.
                Err(error) => tracing::debug!("event stream: {error}"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
        None
    }

    /// An event if there is news.
    fn compare(&mut self, import: &Import) -> Option<Event> {
        let json = serde_json::to_string(import).ok()?;
        if self.sent.as_ref() == Some(&json) {
            return None;
        }
        self.ended = import.state.is_final();
        let event = Event::default().data(&json);
        self.sent = Some(json);
        Some(event)
    }
}
