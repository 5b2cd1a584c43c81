//! Lists of jobs: the schedule, the retry set, the dead set, with search, order, pages and what can
//! be done with the ticked ones or with all that match.

use std::time::{Duration, Instant};

use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};

use super::click::Click;
use super::entries::{SHORT, arguments, linked};
use super::fields::Fields;
use super::outcomes::{capital, label, summed_up, verb};
use super::page::Section;
use super::paging::{PAGE, link, pages, sought};
use super::seen::Seen;
use super::told::Told;
use super::trouble::{Trouble, refused};
use super::words::{count, jobs, name, text, when};
use crate::engine::inspect::{self, DEAD_AT_MOST, Edit, Found, Page, Place, Set, Sort, Want};
use crate::text::plain;

/// Longer, and a platform's router gives a request up (Heroku: 30 s).
const AT_WORK: Duration = Duration::from_secs(20);

/// The pages that this file has, and what stands on them.
struct Kind {
    section: Section,
    title: &'static str,
    path: &'static str,
    /// The column of times.
    time: &'static str,
    none: &'static str,
    edits: &'static [Edit],
}

fn kind(set: Set) -> Kind {
    match set {
        Set::Scheduled => Kind {
            section: Section::Scheduled,
            title: "Scheduled",
            path: "/dashboard/scheduled",
            time: "runs",
            none: "No job waits for its time.",
            edits: &[Edit::Retry, Edit::Kill, Edit::Delete],
        },
        Set::Retries => Kind {
            section: Section::Retries,
            title: "Retries",
            path: "/dashboard/retries",
            time: "next attempt",
            none: "No failed job waits for its next attempt.",
            edits: &[Edit::Retry, Edit::Kill, Edit::Delete],
        },
        Set::Dead => Kind {
            section: Section::Dead,
            title: "Dead",
            path: "/dashboard/dead",
            time: "died",
            none: "No job is given up.",
            edits: &[Edit::Retry, Edit::Delete],
        },
    }
}

/// The orders, as the address names them.
const SORTS: [(&str, Sort); 6] = [
    ("first", Sort::Time { last_first: false }),
    ("last", Sort::Time { last_first: true }),
    ("class", Sort::Class),
    ("queue", Sort::Queue),
    ("failures", Sort::Failures),
    ("error", Sort::Error),
];

fn sort(word: &str, set: Set) -> Sort {
    let known = SORTS.iter().find(|(known, _)| *known == word);
    known.map_or(Sort::Time { last_first: set == Set::Dead }, |(_, sort)| *sort)
}

pub(super) async fn show(seen: Seen, set: Set) -> Result<Response, Trouble> {
    let kind = kind(set);
    let want = Want {
        search: seen.query.get("search").to_owned(),
        sort: sort(seen.query.get("sort"), set),
        from: sought(&seen.query),
        count: PAGE,
    };
    let page = inspect::page(&seen.redis, set, &want).await?;
    let content = html! {
        form .row role="search" method="get" action=(kind.path) {
            input type="search" name="search" value=(want.search) placeholder="class, jid, argument, error …" aria-label="Search";
            button { "Search" }
            @if !want.search.is_empty() { a href=(kind.path) { "show all" } }
        }
        section .card id="jobs" data-live {
            @if page.unsorted {
                p .banner .mild { "There are too many jobs to sort them like that: narrow the search. They are by time." }
            }
            @if page.jobs.is_empty() {
                p .empty { @match (page.total, page.matching) {
                    (0, _) => (kind.none), (_, 0) => "Nothing matches.", _ => "The list ends before this page.",
                } }
                (pages(&seen.uri, want.from, page.jobs.len(), page.matching))
            } @else {
                form method="post" action=(seen.uri) {
                    (buttons(set, &page, &want.search))
                    table .rows { (head(&kind, &seen.uri)) tbody { @for job in &page.jobs { (row(job, set, page.now)) } } }
                    (pages(&seen.uri, want.from, page.jobs.len(), page.matching))
                }
            }
        }
    };
    Ok(seen.page(kind.section, kind.title, content))
}

fn buttons(set: Set, page: &Page, search: &str) -> Markup {
    let kind = kind(set);
    let all = match search {
        "" if page.total == 1 => "the 1 job".to_owned(),
        "" => format!("all {}", jobs(page.total)),
        _ if page.matching == 1 => "1 job that matches".to_owned(),
        _ => format!("{} that match", jobs(page.matching)),
    };
    html! {
        div .row {
            span .faint { "Selected:" }
            @for edit in kind.edits {
                button name="action" value=(verb(*edit)) .grave[*edit == Edit::Delete] { (label(*edit, Some(set))) }
            }
            details .sure data-key="all" {
                summary { (capital(&all)) "…" }
                @if kind.edits.contains(&Edit::Kill) && page.matching > DEAD_AT_MOST {
                    p .bad-text { "Dead, " (count(DEAD_AT_MOST as u64)) " of them are kept: the others are gone for good." }
                }
                div .row { @for edit in kind.edits {
                    button name="action" value=(format!("{}-all", verb(*edit))) .grave[*edit != Edit::Retry] { (label(*edit, Some(set))) " " (all) }
                } }
            }
        }
    }
}

fn head(kind: &Kind, uri: &Uri) -> Markup {
    let by = |word: &str, title: &str| html! { a href=(link(uri, &[("sort", word), ("from", "")])) { (title) } };
    let last_first = Fields::parse(uri.query().unwrap_or_default().as_bytes());
    let time = match (last_first.get("sort"), kind.section) {
        ("last", _) | ("", Section::Dead) => "first",
        _ => "last",
    };
    html! {
        thead { tr {
            th .tick { input type="checkbox" data-all aria-label="All of this page"; }
            th { (by(time, kind.time)) }
            th { (by("class", "class")) }
            th { (by("queue", "queue")) }
            th { "arguments" }
            @if kind.section != Section::Scheduled {
                th .number { (by("failures", "failures")) }
                th { (by("error", "error")) }
            }
        } }
    }
}

fn row(job: &Found, set: Set, now: f64) -> Markup {
    let (entry, at) = (&job.entry, at(job));
    let value = format!("{at}|{}", entry.jid);
    html! {
        tr {
            td .tick { input type="checkbox" name="job" value=(value) aria-label=(format!("{} {}", plain(&entry.class), plain(&entry.jid))); }
            td data-label=(kind(set).time) { (when(now, at)) }
            td data-label="class" { (linked(entry)) }
            td data-label="queue" { (name(&entry.queue)) }
            td .long data-label="arguments" { (arguments(job.args().as_deref(), &value)) }
            @if set != Set::Scheduled {
                td .number data-label="failures" { (entry.failures) " of " (job.retries()) }
                td .long data-label="error" { @if let Some((class, message)) = &entry.error {
                    span .bad-text { (name(class)) } ": " bdi { (text(message, SHORT)) }
                } }
            }
        }
    }
}

fn at(job: &Found) -> f64 {
    if let Place::Set { at, .. } = job.place { at } else { 0.0 }
}

/// Retries, kills or deletes the ticked ones, or all that the page's search finds.
pub(super) async fn edit(click: Click, set: Set) -> Result<Response, Trouble> {
    let Click { desk, uri, form } = &click;
    let (word, all) = match form.get("action").strip_suffix("-all") {
        Some(word) => (word, true),
        None => (form.get("action"), false),
    };
    let edit = kind(set).edits.iter().copied().find(|edit| verb(*edit) == word);
    let edit = edit.ok_or_else(|| Trouble::Bad("Retry, kill or delete?".to_owned()))?;
    let edited = if all {
        let query = Fields::parse(uri.query().unwrap_or_default().as_bytes());
        let until = Some(Instant::now() + AT_WORK);
        inspect::edit_all(&desk.redis, edit, set, query.get("search"), until, |_, _| ()).await
    } else {
        let ticked: Vec<(f64, String)> = form.all("job").filter_map(ticked).collect();
        if ticked.is_empty() {
            return Ok(Told::bad("Tick some jobs first.").at(uri));
        }
        match inspect::pick_all(&desk.redis, set, &ticked).await {
            Ok(found) => inspect::edit_each(&desk.redis, edit, found).await,
            Err(error) => Err(error),
        }
    };
    let told = match edited {
        Ok(edited) => summed_up(edit, &edited),
        Err(error) => Told::bad(refused(&error)),
    };
    Ok(told.at(uri))
}

/// `TIME|JID`, as the boxes have it.
fn ticked(value: &str) -> Option<(f64, String)> {
    let (at, jid) = value.split_once('|')?;
    Some((at.parse().ok()?, jid.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_names_a_job_to_the_last_bit() {
        let at = 1_700_000_000.123_456_7;
        assert_eq!(ticked(&format!("{at}|a|b")), Some((at, "a|b".to_owned())));
        assert_eq!((ticked("x|a"), ticked("1")), (None, None));
    }
}
