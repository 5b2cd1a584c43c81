//! The dashboard: the pages under `/dashboard`, made on the server out of `engine::inspect`. One
//! file a page; `page` is the frame around them, `seen` what all of them show, `click` and
//! `told` what a button asks for and what became of it, `words` how numbers and times are written.
//!
//! A page works without JavaScript. The script fetches the page that is open once more every few
//! seconds and puts the parts marked `data-live` in the place of the old ones; so there is nothing
//! that only it can show but the chart of the last minutes.
//!
//! Every action is a POST to the page it is on, which answers with a redirect to that page. Who may
//! come in is decided before (`routes::operator`): that refuses what another site's page sends, too.

mod assets;
mod busy;
mod chart;
mod classes;
mod click;
mod cron;
mod desk;
mod entries;
mod fields;
mod history;
mod job;
mod jobs;
mod outcomes;
mod overview;
mod page;
mod paging;
mod processes;
mod queues;
mod seen;
mod told;
mod trouble;
mod words;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Redirect;
use axum::routing::{MethodRouter, get};

use crate::engine::inspect::Set;

pub use desk::Desk;

/// Bytes of a form at most: some thousand ticked jobs.
const FORM: usize = 256 * 1024;

/// All pages, to be put behind a guard.
pub fn router<S: Clone + Send + Sync + 'static>(desk: Desk) -> Router<S> {
    Router::new()
        .route("/dashboard", get(overview::show))
        .route("/dashboard/", get(async || Redirect::permanent("/dashboard")))
        .route("/dashboard/queues", get(queues::show).post(queues::steer))
        .route("/dashboard/queues/{name}", get(queues::one))
        .route("/dashboard/busy", get(busy::show).post(busy::steer))
        .route("/dashboard/processes", get(processes::show).post(processes::steer))
        .route("/dashboard/scheduled", list(Set::Scheduled))
        .route("/dashboard/retries", list(Set::Retries))
        .route("/dashboard/dead", list(Set::Dead))
        .route("/dashboard/jobs/{jid}", get(job::show).post(job::edit))
        .route("/dashboard/cron", get(cron::show).post(cron::steer))
        .route("/dashboard/classes", get(classes::show))
        .route("/dashboard/style.css", get(assets::style))
        .route("/dashboard/script.js", get(assets::script))
        .route("/dashboard/{*rest}", get(trouble::nowhere).post(trouble::nowhere))
        .layer(DefaultBodyLimit::max(FORM))
        .with_state(desk)
}

/// The page of a set, and its buttons.
fn list(set: Set) -> MethodRouter<Desk> {
    get(async move |seen| jobs::show(seen, set).await)
        .post(async move |click| jobs::edit(click, set).await)
}
