//! The part of a process that runs jobs: the whole of `worker`, and with `WORKER_EMBEDDED` a part of
//! `web`.

use crate::app::App;
use crate::config::Config;
use crate::engine::{Exit, Lifecycle, Worker, WorkerOptions};
use crate::notices::Notices;
use crate::{boot, jobs, trace};

/// Runs a program that runs jobs, and sees to it that the notices of its end get out.
pub fn run(
    config: &Config,
    main: impl AsyncFnOnce(&Notices) -> Result<Exit, String>,
) -> Result<Exit, String> {
    let notices = Notices::start(config).map_err(|error| format!("no notices: {error:#}"))?;
    let ended = boot::run(main(&notices));
    if let Ok(exit) = &ended {
        notices.end(*exit);
    }
    ended
}

/// Runs jobs until the lifecycle stops.
pub async fn work(
    options: WorkerOptions,
    app: App,
    lifecycle: Lifecycle,
    notices: &Notices,
) -> Result<Exit, String> {
    notices.follow(&lifecycle);
    let notices = notices.clone();
    let worker = Worker::new(options, app.redis.clone(), jobs::registry(app))
        .middleware(trace::run)
        .notices(move |notice| notices.tell(notice));
    worker.run(lifecycle).await.map_err(|error| format!("{error:#}"))
}
