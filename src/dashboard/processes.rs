//! The worker processes, ours and Sidekiq's, and the buttons that quiet and stop them.

use axum::response::Response;
use maud::{Markup, html};

use super::click::Click;
use super::page::Section;
use super::paging::{PAGE, pages, sought};
use super::seen::Seen;
use super::told::Told;
use super::trouble::{Trouble, refused};
use super::words::{bytes, count, name, when};
use crate::engine::inspect::{self, Process};
use crate::text::{about, plain};

/// So many of a process's queues are named in its row.
const NAMED: usize = 12;

pub(super) async fn show(seen: Seen) -> Response {
    let (processes, now) = (&seen.figures.queues.processes.all, seen.now());
    let from = sought(&seen.query);
    let all = &seen.figures.queues.processes;
    let content = html! {
        section .card id="processes" data-live {
            @if processes.is_empty() {
                p .empty { "No worker process is alive. On Heroku: heroku ps:scale worker=1" }
            } @else {
                div .row {
                    p .faint { (count(all.busy() as u64)) " of " (count(all.places() as u64))
                        " places busy, " (bytes(all.resident())) " together" }
                    form .row method="post" action="/dashboard/processes" {
                        button name="action" value="quiet-all" { "Quiet all" }
                        details .sure data-key="stop" { summary { "Stop all…" }
                            button .grave name="action" value="stop-all" { "Yes, stop all processes" } }
                    }
                }
                table .rows {
                    thead { tr {
                        th { "process" } th .number { "busy" } th .number { "memory" } th { "last beat" } th { "up" } th { "queues" } th { "" }
                    } }
                    tbody { @for process in processes.iter().skip(from).take(PAGE) { (row(process, now)) } }
                }
                (pages(&seen.uri, from, PAGE, processes.len()))
            }
        }
        p .faint { "Quiet: takes no new job, as after TSTP; a restart ends that. Stop: as after TERM; what does not end in time goes back to its queue, and the platform starts the process again." }
    };
    seen.page(Section::Processes, "Processes", content)
}

fn row(process: &Process, now: f64) -> Markup {
    let identity = plain(&process.identity);
    html! {
        tr {
            td data-label="process" {
                (name(&process.identity))
                @for (is, word) in [(process.quiet, "quiet"), (process.embedded, "in web"), (!process.ours, "Ruby")] {
                    @if is { " " span .state .mild { (word) } }
                }
                @if let Some(version) = &process.version { div .faint { "version " (name(version)) } }
            }
            td .number data-label="busy" { (process.busy) " of " (process.concurrency) }
            td .number data-label="memory" { @if process.rss_kib > 0 { (bytes(process.rss_kib * 1_024)) } }
            td data-label="last beat" { @if let Some(beat) = process.beat { (when(now, beat)) } }
            td data-label="up" { @if let Some(since) = process.started_at { (about(now - since)) } }
            td data-label="queues" {
                @for (place, queue) in process.queues.iter().take(NAMED).enumerate() {
                    @if place > 0 { ", " } (name(queue))
                }
                @if process.queues.len() > NAMED { " and " (process.queues.len() - NAMED) " more" }
            }
            td {
                @if process.embedded { span .faint { "stop web itself" } } @else {
                    form .row method="post" action="/dashboard/processes" {
                        input type="hidden" name="identity" value=(process.identity);
                        button name="action" value="quiet" disabled[process.quiet] aria-label=(format!("Quiet {identity}")) { "Quiet" }
                        button .grave name="action" value="stop" aria-label=(format!("Stop {identity}")) { "Stop" }
                    }
                }
            }
        }
    }
}

/// Quiets or stops one, or all that take commands.
pub(super) async fn steer(Click { desk, uri, form }: Click) -> Result<Response, Trouble> {
    let seen = inspect::processes(&desk.to_read().await?).await?;
    let (word, all) = match form.get("action").strip_suffix("-all") {
        Some(word) => (word, true),
        None => (form.get("action"), false),
    };
    let meant = seen.all.iter().filter(|it| all || it.identity == form.get("identity"));
    let names: Vec<&str> = meant.filter(|it| !it.embedded).map(|it| &*it.identity).collect();
    let (sent, what) = match word {
        "quiet" => (inspect::quiet(&desk.redis, &names).await, "take no new job"),
        "stop" => (inspect::stop(&desk.redis, &names).await, "stop"),
        _ => return Err(Trouble::Bad("Quiet or stop?".to_owned())),
    };
    let told = match (sent, &names[..]) {
        (_, []) => Told::bad("No such process is alive any more."),
        (Ok(()), [one]) => Told::good(format!("{} was told to {what}.", plain(one))),
        (Ok(()), all) => Told::good(format!("{} processes were told to {what}.", all.len())),
        (Err(error), _) => Told::bad(refused(&error)),
    };
    Ok(told.at(&uri))
}
