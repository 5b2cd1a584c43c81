//! The dashboard: the pages under `/dashboard`, made on the server out of `engine::inspect`. One
//! file a page; `page` is the frame around them, `seen` what all of them show, `told` what became
//! of a click, `words` how numbers and times are written.
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
use axum::routing::get;

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
        .route("/dashboard/scheduled", get(jobs::scheduled).post(jobs::edit_scheduled))
        .route("/dashboard/retries", get(jobs::retries).post(jobs::edit_retries))
        .route("/dashboard/dead", get(jobs::dead).post(jobs::edit_dead))
        .route("/dashboard/jobs/{jid}", get(job::show).post(job::edit))
        .route("/dashboard/cron", get(cron::show).post(cron::steer))
        .route("/dashboard/classes", get(classes::show))
        .route("/dashboard/style.css", get(assets::style))
        .route("/dashboard/script.js", get(assets::script))
        .route("/dashboard/{*rest}", get(trouble::nowhere).post(trouble::nowhere))
        .layer(DefaultBodyLimit::max(FORM))
        .with_state(desk)
}
