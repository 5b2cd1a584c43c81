//! The part of a process that runs jobs: the whole of `worker`, and with `WORKER_EMBEDDED` a part of
//! `web`.

use crate::app::App;
use crate::config::Config;
use crate::engine::{Exit, Lifecycle, Worker, WorkerOptions};
use crate::health::Health;
use crate::notices::Notices;
use crate::{boot, jobs, trace};

/// What looks at a worker from threads of its own, which a stuck runtime does not stop.
pub struct Watchers {
    notices: Notices,
    health: Health,
}

/// Runs a program that runs jobs, and sees to it that the notices of its end get out.
pub fn run(
    config: &Config,
    main: impl AsyncFnOnce(&Watchers) -> Result<Exit, String>,
) -> Result<Exit, String> {
    let health = Health::open(config.health_port)?;
    let notices = Notices::start(config).map_err(|error| format!("no notices: {error:#}"))?;
    let watchers = Watchers { notices, health };
    let ended = boot::run(main(&watchers));
    if let Ok(exit) = &ended {
        watchers.notices.end(*exit);
    }
    ended
}

/// Runs jobs until the lifecycle stops.
pub async fn work(
    options: WorkerOptions,
    app: App,
    lifecycle: Lifecycle,
    watchers: &Watchers,
) -> Result<Exit, String> {
    if !app.webhooks.signs() {
        tracing::warn!("WEBHOOK_SECRET is not set: webhooks are delivered without a signature");
    }
    watchers.notices.follow(&lifecycle);
    let notices = watchers.notices.clone();
    let worker = Worker::new(options, app.redis.clone(), jobs::registry(app))
        .middleware(trace::run)
        .notices(move |notice| notices.tell(notice));
    watchers.health.watch(&lifecycle, worker.meter());
    worker.run(lifecycle).await.map_err(|error| format!("{error:#}"))
}
