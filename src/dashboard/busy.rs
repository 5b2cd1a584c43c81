//! What runs now, the longest first.

use axum::response::Response;
use maud::{Markup, html};

use super::Desk;
use super::click::Click;
use super::entries::{addressed, arguments};
use super::page::Section;
use super::paging::{PAGE, pages, sought};
use super::seen::Seen;
use super::told::Told;
use super::trouble::{Trouble, refused};
use super::words::{count, name, text};
use crate::engine::Status;
use crate::engine::inspect::{self, Busy};
use crate::text::{about, at, plain};

/// Letters of what a job says about itself.
const MESSAGE: usize = 200;

pub(super) async fn show(seen: Seen) -> Result<Response, Trouble> {
    let from = sought(&seen.query);
    let busy = inspect::busy(&seen.redis, from, PAGE).await?;
    let content = html! {
        section .card id="busy" data-live {
            @if busy.jobs.is_empty() {
                p .empty { "Nothing runs." }
            } @else {
                table .rows {
                    thead { tr { th { "runs for" } th { "class" } th { "progress" } th { "arguments" } th { "queue" } th { "process" } th { "" } } }
                    tbody { @for job in &busy.jobs { (row(job, busy.now)) } }
                }
            }
            (pages(&seen.uri, from, PAGE, busy.total))
        }
        p .faint { "As of the last heartbeats: a job is listed some seconds after it began. Cancel ends a job with a cursor at its next checkpoint." }
    };
    Ok(seen.page(Section::Busy, "Busy", content))
}

fn row(busy: &Busy, now: f64) -> Markup {
    let job = &busy.job;
    html! {
        tr {
            td data-label="runs for" title=(at(job.run_at)) { (about(now - job.run_at)) }
            td data-label="class" { a href=(addressed("jobs", &job.jid)) { (name(&job.class)) } }
            td data-label="progress" { @if let Some(status) = &busy.status { (progress(status)) } }
            td .long data-label="arguments" { (arguments(busy.args.as_deref(), &job.jid)) }
            td data-label="queue" { (name(&job.queue)) }
            td data-label="process" { (name(&busy.identity)) }
            td { @if busy.process_ours {
                form method="post" action="/dashboard/busy" {
                    input type="hidden" name="jid" value=(job.jid);
                    button name="action" value="cancel" aria-label=(format!("Cancel {}", plain(&job.jid))) { "Cancel" }
                }
            } }
        }
    }
}

/// How far a job is, by its own word.
pub(super) fn progress(status: &Status) -> Markup {
    html! {
        @if let Some((current, total)) = status.progress {
            progress max=(total.max(1)) value=(current) aria-label="Progress" {}
            div .faint { (count(current)) " of " (count(total)) }
        }
        @if let Some(message) = &status.message { div { bdi { (text(message, MESSAGE)) } } }
    }
}

/// Cancels a job.
pub(super) async fn steer(Click { desk, uri, form }: Click) -> Result<Response, Trouble> {
    if form.get("action") != "cancel" || form.get("jid").is_empty() {
        return Err(Trouble::Bad("Cancel which job?".to_owned()));
    }
    Ok(cancel(&desk, form.get("jid")).await.at(&uri))
}

pub(super) async fn cancel(desk: &Desk, jid: &str) -> Told {
    let jid_shown = plain(jid);
    match inspect::cancel(&desk.redis, jid).await {
        Ok(cancelled) if cancelled.iterates => {
            Told::good(format!("{jid_shown} is cancelled: it ends at its next checkpoint."))
        }
        Ok(_) => Told::good(format!(
            "{jid_shown} is cancelled. It has no cursor so far: without a checkpoint it goes on to its end."
        )),
        Err(error) => Told::bad(refused(&error)),
    }
}
