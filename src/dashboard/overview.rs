//! The first page: what has run, what waits, what is wrong.

use axum::response::Response;
use maud::{Markup, html};
use tokio::time::timeout;

use super::chart::charts;
use super::entries::addressed;
use super::history::{Range, bars};
use super::page::Section;
use super::seen;
use super::seen::Seen;
use super::trouble::Trouble;
use super::words::{bytes, count, lasting, name};
use crate::engine::inspect::{Figures, Queue};

/// So many queues are named in a warning.
const NAMED: usize = 5;

pub(super) async fn show(seen: Seen) -> Result<Response, Trouble> {
    let range = Range::parse(seen.query.get("range"));
    let bars = timeout(seen::PATIENCE, bars(&seen.redis, range, seen.now())).await;
    let bars = bars.unwrap_or_else(|_| Ok(Vec::new()))?;
    let content = html! {
        (problems(&seen.figures))
        (totals(&seen.figures))
        (live(&seen))
        section .card {
            div .row {
                h2 { "History" }
                nav .tabs aria-label="Range" {
                    @for (other, title) in Range::ALL {
                        a href=(format!("/dashboard?range={}", other.word()))
                            aria-current=[(other == range).then_some("true")] { (title) }
                    }
                }
            }
            div id="history" data-live { (charts(&bars, range.each())) }
        }
        section .card { h2 { "Redis" } (server(&seen)) }
        section .card { h2 { "Other events" } (counters(&seen.figures)) }
    };
    Ok(seen.page(Section::Overview, "Overview", content))
}

/// What somebody should do something about, with the page where it can be done.
fn problems(figures: &Figures) -> Markup {
    let queues = &figures.queues;
    let waiting = || queues.all.iter().filter(|queue| queue.size > 0);
    let unserved: Vec<&Queue> = waiting().filter(|queue| queue.served_by == 0).collect();
    let paused: Vec<&Queue> = waiting().filter(|queue| queue.paused).collect();
    let overdue = figures.retry.overdue.max(figures.scheduled.overdue);
    html! {
        div id="problems" data-live {
            @if queues.processes.all.is_empty() {
                p .banner { "No worker process is alive: nothing runs. Start one, or scale it up." }
            } @else {
                @if !unserved.is_empty() {
                    p .banner { "Jobs wait that no process serves, in " (names(&unserved)) ": see the setting QUEUES." }
                }
                @if overdue > 60.0 {
                    p .banner { "Jobs have been due for " (lasting(overdue)) " and nobody moved them to their queues: are all processes quiet?" }
                }
            }
            @if !paused.is_empty() {
                p .banner .mild { "Jobs wait in queues that are paused: " (names(&paused)) "." }
            }
        }
    }
}

/// The first of them, with the pages of their jobs.
fn names(queues: &[&Queue]) -> Markup {
    html! {
        @for (place, queue) in queues.iter().take(NAMED).enumerate() {
            @if place > 0 { ", " }
            a href=(addressed("queues", &queue.name)) { (name(&queue.name)) }
        }
        @if queues.len() > NAMED { " and " (queues.len() - NAMED) " more" }
    }
}

/// The numbers on top.
fn totals(figures: &Figures) -> Markup {
    let processes = &figures.queues.processes;
    let (waiting, busy, places) = (figures.queues.waiting(), processes.busy(), processes.places());
    let latency = longest_wait(figures);
    let tile = |title: &str, number: u64, more: String, bad: bool| {
        html! {
            div .tile .bad[bad] { dt { (title) } dd .wide[number >= 1_000_000] { (count(number)) } dd .more { (more) } }
        }
    };
    let today = |number: u64| format!("{} today", count(number));
    html! {
        dl .tiles id="totals" data-live {
            (tile("processed", figures.processed, today(figures.processed_today), false))
            (tile("failed", figures.failed, today(figures.failed_today), false))
            (tile("busy", busy as u64, format!("of {} places", count(places as u64)), false))
            (tile("waiting", waiting as u64, format!("longest {}", lasting(latency)), false))
            (tile("scheduled", figures.scheduled.jobs as u64, String::new(), false))
            (tile("retries", figures.retry.jobs as u64, String::new(), false))
            (tile("dead", figures.dead as u64, String::new(), figures.dead > 0))
        }
    }
}

/// In any queue that is not paused, in seconds.
fn longest_wait(figures: &Figures) -> f64 {
    let queues = figures.queues.all.iter().filter(|queue| !queue.paused);
    queues.filter_map(|queue| queue.latency).fold(0.0, f64::max)
}

/// The last minutes, which the script draws from the numbers that each fetch of the page brings.
fn live(seen: &Seen) -> Markup {
    let figures = &seen.figures;
    html! {
        section .card .scripted hidden {
            div .row { h2 { "Now" } p .faint id="rates" { "The first numbers come in some seconds." } }
            figure {
                figcaption {
                    span .key .processed { "runs a second" } " " span .key .failed { "failed" }
                    span .most id="liverate" {}
                }
                svg viewBox="0 0 600 100" preserveAspectRatio="none" role="img" aria-label="Runs a second, the last five minutes" { polyline .line id="line-runs" {} polyline .line .failed id="line-failed" {} }
            }
            figure {
                figcaption { span .key .latency { "longest wait in a queue" } span .most id="livewait" {} }
                svg viewBox="0 0 600 60" preserveAspectRatio="none" role="img" aria-label="Longest wait, the last five minutes" { polyline .line .latency id="line-latency" {} }
                p .axis { span { "5 minutes ago" } span { "now" } }
            }
            data id="figures" data-live data-now=(seen.now()) data-processed=(figures.processed)
                data-failed=(figures.failed) data-latency=(longest_wait(figures)) {}
        }
    }
}

fn server(seen: &Seen) -> Markup {
    let server = &seen.server;
    let or = |text: &str| if text.is_empty() { "not told".to_owned() } else { text.to_owned() };
    let of = |used: String, most: Option<String>| match most {
        Some(most) => format!("{used} of {most}"),
        None => used,
    };
    let memory =
        of(bytes(server.used_memory), (server.maxmemory > 0).then(|| bytes(server.maxmemory)));
    let clients =
        of(count(server.clients), (server.maxclients > 0).then(|| count(server.maxclients)));
    let share = |what: &str, used: u64, most: u64| {
        html! {
            @if most > 0 { meter aria-label=(what) min="0" max="1" high="0.8" optimum="0" value=(format!("{:.3}", used as f64 / most as f64)) {} }
        }
    };
    html! {
        dl .facts id="server" data-live {
            div { dt { "version" } dd { (or(&server.version)) } }
            div { dt { "memory" } dd { (memory) " " (share("Memory in use", server.used_memory, server.maxmemory)) } }
            div { dt { "eviction policy" } dd { (or(&server.policy)) } }
            div { dt { "connections" } dd { (clients) " " (share("Connections in use", server.clients, server.maxclients)) } }
            div { dt { "writes to disk" } dd { (or(server.durability)) } }
        }
    }
}

fn counters(figures: &Figures) -> Markup {
    html! {
        dl .facts id="counters" data-live {
            @for (event, number) in &figures.counters {
                div { dt { (name(event)) } dd { (count(*number)) } }
            }
            @if figures.counters.is_empty() { p .faint { "Nothing out of the ordinary has happened." } }
        }
    }
}
