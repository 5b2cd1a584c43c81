//! The cron lines: when each comes next, and a button that does not wait for it.

use axum::response::Response;
use maud::{Markup, html};

use super::Desk;
use super::click::Click;
use super::page::Section;
use super::paging::{PAGE, pages, sought};
use super::seen::Seen;
use super::told::Told;
use super::trouble::{Trouble, refused};
use super::words::{name, text, when};
use crate::engine::inspect::{self, CronEntry};
use crate::text::plain;

pub(super) async fn show(seen: Seen) -> Result<Response, Trouble> {
    let (lines, now) = (inspect::cron_lines(&seen.redis).await?, seen.now());
    let from = sought(&seen.query);
    let content = html! {
        section .card id="cron" data-live {
            @if lines.is_empty() {
                p .empty { "No cron line: they stand in src/jobs/mod.rs." }
            } @else {
                table .rows {
                    thead { tr { th { "name" } th { "when" } th { "class" } th { "last" } th { "next" } th { "" } } }
                    tbody { @for line in lines.iter().skip(from).take(PAGE) { (row(line, now)) } }
                }
                (pages(&seen.uri, from, PAGE, lines.len()))
            }
        }
    };
    Ok(seen.page(Section::Cron, "Cron", content))
}

fn row(line: &CronEntry, now: f64) -> Markup {
    let shown = plain(&line.name);
    let button = |action: &str, title: &str| {
        html! {
            button name="action" value=(action) aria-label=(format!("{title}: {shown}")) { (title) }
        }
    };
    html! {
        tr {
            td data-label="name" {
                (name(&line.name))
                @if !line.enabled { " " span .state .mild { "switched off" } }
                @if let Some(description) = &line.description { div .faint { (text(description, 200)) } }
            }
            td data-label="when" { code { (plain(&line.schedule)) } @if let Some(zone) = &line.zone { div .faint { (plain(zone)) } } }
            td data-label="class" { (name(&line.class)) }
            td data-label="last" { @match line.last { Some(last) => (when(now, last)), None => "never" } }
            td data-label="next" { @match line.next {
                Some(next) if line.enabled => (when(now, next)),
                _ => "–",
            } }
            td { form .row method="post" action="/dashboard/cron" {
                input type="hidden" name="line" value=(line.key);
                (button("run", "Run now"))
                @if line.enabled { (button("disable", "Switch off")) } @else { (button("enable", "Switch on")) }
            } }
        }
    }
}

/// Enqueues a line's job now, or switches the line off or on.
pub(super) async fn steer(Click { desk, uri, form }: Click) -> Result<Response, Trouble> {
    let line = form.get("line");
    let done = match form.get("action") {
        "run" => run(&desk, line).await,
        "enable" => switch(&desk, line, true).await,
        "disable" => switch(&desk, line, false).await,
        _ => return Err(Trouble::Bad("Run, switch off or on?".to_owned())),
    };
    Ok(done.unwrap_or_else(|| Told::bad("There is no such line any more.")).at(&uri))
}

async fn run(desk: &Desk, line: &str) -> Option<Told> {
    Some(match inspect::cron_run_now(&desk.redis, line).await {
        Ok(enqueued) => {
            let enqueued = enqueued?;
            let jid = plain(enqueued.jid());
            match enqueued.existed() {
                true => Told::bad(format!(
                    "Nothing was enqueued: one of its kind waits or runs, {jid}."
                )),
                false => Told::good(format!("Enqueued as {jid}. Its times stay as they are.")),
            }
        }
        Err(error) => Told::bad(format!("{error}.")),
    })
}

async fn switch(desk: &Desk, line: &str, on: bool) -> Option<Told> {
    match inspect::cron_enable(&desk.redis, line, on).await {
        Ok(false) => None,
        Ok(true) if on => Some(Told::good("Switched on.")),
        Ok(true) => Some(Told::good("Switched off, until somebody switches it on.")),
        Err(error) => Some(Told::bad(refused(&error))),
    }
}
