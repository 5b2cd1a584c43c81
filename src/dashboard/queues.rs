//! The queues: what waits, who serves them, pause and resume; and the jobs of one of them.

use axum::response::Response;
use maud::{Markup, html};

use super::click::Click;
use super::entries::{addressed, arguments, linked};
use super::fields::Named;
use super::page::Section;
use super::paging::{PAGE, pages, sought};
use super::seen::Seen;
use super::told::Told;
use super::trouble::{Trouble, refused};
use super::words::{count, lasting, name, when};
use crate::engine::inspect::{self, Queue};
use crate::text::{about, plain};

/// So many processes are named with a queue that they serve.
const NAMED: usize = 20;

pub(super) async fn show(seen: Seen) -> Response {
    let (queues, from) = (&seen.figures.queues.all, sought(&seen.query));
    let content = html! {
        section .card id="queues" data-live {
            @if queues.is_empty() {
                p .empty { "No queue yet: it comes with its first job." }
            } @else {
                table .rows {
                    (head())
                    tbody { @for queue in queues.iter().skip(from).take(PAGE) { (row(queue, &seen)) } }
                }
                (pages(&seen.uri, from, PAGE, queues.len()))
            }
        }
    };
    seen.page(Section::Queues, "Queues", content)
}

fn head() -> Markup {
    html! {
        thead { tr {
            th { "queue" } th .number { "waiting" } th .number { "oldest waits" } th .number { "running" }
            th { "served by" } th { "limits" } th { "" }
        } }
    }
}

fn row(queue: &Queue, seen: &Seen) -> Markup {
    let processes = seen.figures.queues.processes.all.iter();
    let mut serving = processes.filter(|process| process.queues.contains(&queue.name));
    let served = match queue.served_by {
        1 => "1 process".to_owned(),
        many => format!("{many} processes"),
    };
    html! {
        tr {
            td data-label="queue" {
                a href=(addressed("queues", &queue.name)) { (name(&queue.name)) }
                @if queue.paused { " " span .state .mild { "paused" } }
            }
            td .number data-label="waiting" { (count(queue.size as u64)) }
            td .number data-label="oldest waits" { @if let Some(seconds) = queue.latency { (lasting(seconds)) } }
            td .number data-label="running" { (count(queue.running as u64)) }
            td data-label="served by" {
                @if queue.served_by == 0 { span .state .bad[queue.size > 0] .mild[queue.size == 0] { "nobody" } }
                @else {
                    details data-key=(format!("served {}", queue.name)) {
                        summary { (served) }
                        @for process in serving.by_ref().take(NAMED) { div { (name(&process.identity)) } }
                        @if serving.next().is_some() { div .faint { "and more" } }
                    }
                }
            }
            td data-label="limits" { (limits(queue)) }
            td { form method="post" action="/dashboard/queues" {
                input type="hidden" name="queue" value=(queue.name);
                @if queue.paused {
                    button name="action" value="resume" aria-label=(format!("Resume {}", plain(&queue.name))) { "Resume" }
                } @else {
                    button name="action" value="pause" aria-label=(format!("Pause {}", plain(&queue.name))) { "Pause" }
                }
            } }
        }
    }
}

fn limits(queue: &Queue) -> Markup {
    html! {
        @if let Some(most) = queue.at_once {
            div { (queue.held) " of " (most) " at once " meter aria-label="At once" min="0" max=(most) value=(queue.held) {} }
        }
        @if let Some((most, seconds, used)) = queue.starts {
            div { (used) " of " (most) " starts in " (about(seconds)) }
        }
        @if queue.held > 0 && queue.at_once.is_none() {
            div { (queue.held) " at once (a limit of the workers; QUEUE_LIMITS here lacks it)" }
        }
    }
}

/// Pause or resume.
pub(super) async fn steer(Click { desk, uri, form }: Click) -> Result<Response, Trouble> {
    let queue = form.get("queue");
    let (steered, what) = match form.get("action") {
        "pause" => {
            (inspect::pause(&desk.redis, queue).await, "paused: no worker takes another job of it")
        }
        "resume" => (inspect::resume(&desk.redis, queue).await, "resumed"),
        _ => return Err(Trouble::Bad("Pause or resume?".to_owned())),
    };
    let told = match steered {
        Ok(_) => Told::good(format!("{} is {what}.", plain(queue))),
        Err(error) => Told::bad(refused(&error)),
    };
    Ok(told.at(&uri))
}

/// The jobs that wait in one, the next one first.
pub(super) async fn one(Named(queue): Named, seen: Seen) -> Result<Response, Trouble> {
    let from = sought(&seen.query);
    let (total, jobs) = inspect::waiting(&seen.redis, &queue, from, PAGE).await?;
    let now = seen.now();
    let known: Vec<&Queue> = seen.figures.queues.all.iter().filter(|it| it.name == queue).collect();
    let content = html! {
        section .card id="queue" data-live {
            @if !known.is_empty() {
                table .rows { (head()) tbody { @for queue in &known { (row(queue, &seen)) } } }
            }
        }
        section .card id="jobs" data-live {
            @if jobs.is_empty() { p .empty { "Nothing waits here." } } @else {
                table .rows {
                    thead { tr { th .number { "" } th { "class" } th { "arguments" } th { "enqueued" } } }
                    tbody { @for (place, job) in jobs.iter().enumerate() {
                        tr {
                            td .number data-label="place" { (count((from + place + 1) as u64)) }
                            td data-label="class" { (linked(&job.entry)) }
                            td .long data-label="arguments" { (arguments(job.args().as_deref(), &job.entry.jid)) }
                            td data-label="enqueued" { @if let Some(since) = job.entry.enqueued_at { (when(now, since)) } }
                        }
                    } }
                }
            }
            (pages(&seen.uri, from, jobs.len(), total))
        }
    };
    let title = format!("Queue {}", plain(&queue));
    Ok(seen.page(Section::Queues, &title, content))
}
