//! The frame around every page: head, navigation, banner.

use axum::http::{HeaderName, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::{ADDRESSES, POLICY};
use super::seen::Seen;
use super::told::Told;
use super::words::count;

/// What the app is called.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The pages of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Queues,
    Busy,
    Processes,
    Scheduled,
    Retries,
    Dead,
    Cron,
    Classes,
}

impl Section {
    const ALL: [(Section, &str, &str); 9] = [
        (Section::Overview, "Overview", "/dashboard"),
        (Section::Queues, "Queues", "/dashboard/queues"),
        (Section::Busy, "Busy", "/dashboard/busy"),
        (Section::Processes, "Processes", "/dashboard/processes"),
        (Section::Scheduled, "Scheduled", "/dashboard/scheduled"),
        (Section::Retries, "Retries", "/dashboard/retries"),
        (Section::Dead, "Dead", "/dashboard/dead"),
        (Section::Cron, "Cron", "/dashboard/cron"),
        (Section::Classes, "Classes", "/dashboard/classes"),
    ];

    /// How many there are of what the page lists, if that is worth knowing everywhere.
    fn number(self, seen: &Seen) -> Option<usize> {
        let figures = &seen.figures;
        let processes = &figures.queues.processes;
        match self {
            Section::Queues => Some(figures.queues.waiting()),
            Section::Busy => Some(processes.busy()),
            Section::Processes => Some(processes.all.len()),
            Section::Scheduled => Some(figures.scheduled.jobs),
            Section::Retries => Some(figures.retry.jobs),
            Section::Dead => Some(figures.dead),
            Section::Overview | Section::Cron | Section::Classes => None,
        }
    }
}

/// A page with all there is around it.
pub(super) fn full(
    seen: &Seen,
    section: Section,
    title: &str,
    warnings: &[String],
    told: Option<&Told>,
    content: Markup,
) -> Response {
    let links = html! {
        @for (other, name, address) in Section::ALL {
            @let number = other.number(seen);
            a href=(address) aria-current=[(other == section).then_some("page")] {
                (name)
                @if let Some(number) = number {
                    " " span .badge .zero[number == 0] { (count(number as u64)) }
                }
            }
        }
    };
    let above = html! {
        div id="warnings" data-live {
            @for warning in warnings { p .banner role="alert" { (warning) } }
        }
        @if let Some(told) = told {
            p .told .bad[!told.good] role="status" { (told.text) }
        }
    };
    let mut response = render(title, links, html! { (above) (content) });
    if told.is_some() {
        Told::forget(response.headers_mut());
    }
    response
}

/// A page of which nothing is known but what it says; one that is only away is tried again.
pub(super) fn bare(title: &str, away: bool, content: Markup) -> Response {
    let content = html! { div data-away[away] data-still[!away] { (content) } };
    let links = html! {
        @for (_, name, address) in Section::ALL { a href=(address) { (name) } }
    };
    render(title, links, content)
}

fn render(title: &str, links: Markup, content: Markup) -> Response {
    let [style, script] = &*ADDRESSES;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · " (NAME) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(style);
                script src=(script) defer {}
            }
            body {
                a .skip href="#content" { "To the content" }
                header {
                    a .brand href="/dashboard" { (NAME) }
                    nav id="nav" data-live aria-label="Pages" { (links) }
                    p .live hidden { label { input type="checkbox" id="follow" checked; " live" } }
                }
                main id="content" tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
            }
        }
    };
    let headers: [(HeaderName, &str); 1] = [(header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, Html(page.into_string())).into_response()
}
