//! One job: where it is, why it does not run, what it carries, why it failed, and what can be done
//! with it.

use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use tokio::time::timeout;

use super::Desk;
use super::busy::{cancel, progress};
use super::click::Click;
use super::entries::addressed;
use super::fields::Named;
use super::outcomes::{label, of_one, verb};
use super::page::Section;
use super::seen::Seen;
use super::told::Told;
use super::trouble::{Trouble, refused};
use super::words::{bytes, name, text, when};
use crate::engine::inspect::{self, Edit, Found, Hold, Place, Set, Whereabout, Whereabouts};
use crate::explain;
use crate::text::plain;

/// A search goes through all of the queues; a platform's router waits 30 s.
const PATIENCE: Duration = Duration::from_secs(20);
/// Letters of the arguments, of the whole payload, of a line of a backtrace.
const LONGEST: usize = 20_000;
const LINE: usize = 300;
/// Lines of a backtrace.
const LINES: usize = 200;

pub(super) async fn show(
    State(desk): State<Desk>,
    Named(jid): Named,
    seen: Seen,
) -> Result<Response, Trouble> {
    let known = inspect::whereabouts(&seen.redis, &jid, &desk.known);
    let known = timeout(PATIENCE, known).await.map_err(|_| Trouble::Late)??;
    if known.places.is_empty() && known.status.is_none() && known.cursor.is_none() {
        let jid = plain(&jid);
        return Err(Trouble::Nowhere(format!(
            "No job {jid} waits, runs or is dead: it is done, or never was."
        )));
    }
    let content = html! {
        div data-still {
            p .faint { "As of now. " a href="" { "Look again" } }
            @if known.places.is_empty() { p .banner .mild { "It is nowhere any more: it is done. This is what it left." } }
            @for one in &known.places { (place(one, &known)) }
            (beside(&known))
        }
    };
    let title = match known.places.first() {
        Some(one) => format!("{} {}", plain(&one.found.entry.class), plain(&jid)),
        None => format!("Job {}", plain(&jid)),
    };
    let section = known.places.first().map_or(Section::Overview, |one| section(&one.found.place));
    Ok(seen.page(section, &title, content))
}

fn section(place: &Place) -> Section {
    match place {
        Place::Queue { .. } => Section::Queues,
        Place::Process { .. } => Section::Busy,
        Place::Set { set: Set::Scheduled, .. } => Section::Scheduled,
        Place::Set { set: Set::Retries, .. } => Section::Retries,
        Place::Set { set: Set::Dead, .. } => Section::Dead,
    }
}

fn place(one: &Whereabout, known: &Whereabouts) -> Markup {
    html! {
        section .card {
            div .row { h2 { (explain::place(&one.found)) } (buttons(&one.found)) }
            @for hold in &one.holds {
                p .bad-text[matches!(hold, Hold::Dead | Hold::NoProcess | Hold::NotServed)] { "Because " (explain::reason(hold)) "." }
            }
            (facts(one, known))
        }
        @if let Some((class, message)) = &one.found.entry.error {
            section .card {
                h2 .bad-text { (name(class)) }
                pre { (text(message, LONGEST)) }
                (backtrace(&one.found))
            }
        }
        section .card {
            h2 { "Arguments" }
            @match one.found.args() {
                Some(args) => { (payload(&args)) }
                None => { p .faint { "Not known: a process of Ruby's tells them only while it runs the job." } }
            }
            details { summary { "The whole payload" } (payload(&String::from_utf8_lossy(one.found.raw()))) }
        }
    }
}

fn payload(json: &str) -> Markup {
    html! {
        pre { (text(json, LONGEST)) }
        @if json.chars().nth(LONGEST).is_some() { p .faint { "cut: " (bytes(json.len() as u64)) " in all" } }
    }
}

fn buttons(found: &Found) -> Markup {
    let edits: &[Edit] = match found.place {
        Place::Queue { .. } => &[Edit::Kill, Edit::Delete],
        Place::Set { set: Set::Dead, .. } => &[Edit::Retry, Edit::Delete],
        Place::Set { .. } => &[Edit::Retry, Edit::Kill, Edit::Delete],
        Place::Process { .. } => &[],
    };
    let set = if let Place::Set { set, .. } = found.place { Some(set) } else { None };
    html! {
        form .row method="post" {
            input type="hidden" name="place" value=(key(&found.place));
            @for edit in edits {
                button name="action" value=(verb(*edit)) .grave[*edit == Edit::Delete] { (label(*edit, set)) }
            }
            @if edits.is_empty() { button name="action" value="cancel" { "Cancel" } }
        }
    }
}

/// Tells apart the places of jobs with the same id.
fn key(place: &Place) -> String {
    match place {
        Place::Queue { name, .. } => format!("queue|{name}"),
        Place::Process { identity, .. } => format!("process|{identity}"),
        Place::Set { set, at } => {
            let set = match set {
                Set::Scheduled => "scheduled",
                Set::Retries => "retries",
                Set::Dead => "dead",
            };
            format!("{set}|{at}")
        }
    }
}

fn facts(one: &Whereabout, known: &Whereabouts) -> Markup {
    let (found, now) = (&one.found, known.now);
    let entry = &found.entry;
    html! {
        dl .facts {
            div { dt { "class" } dd { (name(&entry.class)) } }
            div { dt { "jid" } dd { code { (plain(&entry.jid)) } } }
            div { dt { "queue" } dd { a href=(addressed("queues", &entry.queue)) { (name(&entry.queue)) } } }
            @if let Some(time) = entry.enqueued_at { div { dt { "enqueued" } dd { (when(now, time)) } } }
            @if let Place::Process { since: Some(since), .. } = found.place { div { dt { "runs since" } dd { (when(now, since)) } } }
            @if entry.failures > 0 {
                div { dt { "failures" } dd { (entry.failures) " of " (found.retries()) } }
            }
            @if let Some(time) = entry.failed_at { div { dt { "failed" } dd { (when(now, time)) } } }
            @if let Some(time) = found.retried_until() { div { dt { "is tried again until" } dd { (when(now, time)) } } }
            @if let Some(time) = entry.expires_at { div { dt { "is dropped if it starts after" } dd { (when(now, time)) } } }
            @if let Some((lock, holder)) = &one.lock {
                div { dt { "lock" } dd { (plain(lock)) ", "
                    @match holder { Some(holder) if found.is(holder) => "has it", Some(holder) => { "held by " (plain(holder)) } None => "free" } } }
            }
            @if !found.tags().is_empty() { div { dt { "tags" } dd { (plain(&found.tags().join(", "))) } } }
            div { dt { "size" } dd { (bytes(entry.bytes as u64)) } }
        }
    }
}

fn backtrace(found: &Found) -> Markup {
    let lines = found.backtrace();
    let shown: Vec<String> = lines.iter().take(LINES).map(|line| text(line, LINE)).collect();
    html! {
        @if shown.is_empty() { p .faint { "No backtrace was kept: a payload asks for one with \"backtrace\": true." } }
        @else { details open { summary { "Backtrace" } pre { (shown.join("\n")) } } }
    }
}

/// What it left beside itself: its status, its cursor, its rescues.
fn beside(known: &Whereabouts) -> Markup {
    html! {
        @if let Some(status) = &known.status {
            section .card {
                h2 { "Status" }
                p { span .state { (status.state) } ", " (when(known.now, status.updated_at)) }
                (progress(status))
                @if let Some(error) = &status.error { pre { (text(error, LONGEST)) } }
            }
        }
        @if let Some(cursor) = &known.cursor {
            section .card {
                h2 { "Cursor" }
                dl .facts {
                    div { dt { "goes on at" } dd { code { (text(cursor.at.as_deref().unwrap_or("the beginning"), LINE)) } } }
                    div { dt { "starts" } dd { (cursor.executions) } }
                    @if let Some(progress) = &cursor.progress { div { dt { "progress" } dd { (plain(progress)) } } }
                    @if cursor.cancelled { div { dt { "cancelled" } dd { "ends at its next checkpoint" } } }
                }
            }
        }
        @if known.rescues > 0 {
            p .banner .mild { "Rescued " (known.rescues) " times from a process that died; " (known.rescues_at_most) " such bury it." }
        }
    }
}

/// Retries, kills, deletes or cancels it, where the button stands. A second click, or one that comes
/// late, must not hit another job with the same id.
pub(super) async fn edit(
    Named(jid): Named,
    Click { desk, uri, form }: Click,
) -> Result<Response, Trouble> {
    let action = form.get("action");
    if action == "cancel" {
        return Ok(cancel(&desk, &jid).await.at(&uri));
    }
    let edit = [Edit::Retry, Edit::Kill, Edit::Delete].into_iter().find(|it| verb(*it) == action);
    let edit = edit.ok_or_else(|| Trouble::Bad("Retry, kill, delete or cancel?".to_owned()))?;
    let redis = desk.to_read().await?;
    let search = inspect::find(&redis, std::slice::from_ref(&jid), &desk.known);
    let search = timeout(PATIENCE, search).await.map_err(|_| Trouble::Late)??;
    let place = form.get("place");
    let mut all = search.found.iter().filter(|found| found.is(&jid));
    let elsewhere = all.clone().next().is_some();
    let Some(found) = all.find(|found| place.is_empty() || key(&found.place) == place) else {
        let gone = format!("The job {} is not there any more", plain(&jid));
        return Ok(match elsewhere {
            true => Told::bad(gone + ", but here. Nothing was changed.").at(&uri),
            false => Told::bad(gone + ".").at(&Uri::from_static("/dashboard")),
        });
    };
    let told = match inspect::edit(&desk.redis, edit, found).await {
        Ok((outcome, _)) => of_one(edit, &outcome),
        Err(error) => Told::bad(refused(&error)),
    };
    // its own page may have nothing to show any more
    let back = if told.good { list(&found.place) } else { uri };
    Ok(told.at(&back))
}

fn list(place: &Place) -> Uri {
    Uri::from_static(match place {
        Place::Set { set: Set::Scheduled, .. } => "/dashboard/scheduled",
        Place::Set { set: Set::Retries, .. } => "/dashboard/retries",
        Place::Set { set: Set::Dead, .. } => "/dashboard/dead",
        Place::Queue { .. } | Place::Process { .. } => "/dashboard/queues",
    })
}
