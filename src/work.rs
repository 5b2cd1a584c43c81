//! The part of a process that runs jobs: the whole of `worker`, and with `WORKER_EMBEDDED` a part of
//! `web`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::app::App;
use crate::config::Config;
use crate::engine::{Exit, Lifecycle, QueueList, Redis, Worker, WorkerOptions, inspect};
use crate::health::Health;
use crate::notices::Notices;
use crate::text::plain;
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

/// So many queues are named in a warning.
const NAMED: usize = 10;
/// The longest grace that ends before Heroku's KILL.
const LATEST: Duration = Duration::from_secs(28);

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
    if std::env::var_os("DYNO").is_some() && options.shutdown_timeout > LATEST {
        tracing::warn!("SHUTDOWN_TIMEOUT is above 28: the platform kills 30 s after TERM (R12)");
    }
    tokio::spawn(beside_ruby(app.redis.clone(), options.queues.clone()));
    watchers.notices.follow(&lifecycle);
    let notices = watchers.notices.clone();
    let worker = Worker::new(options, app.redis.clone(), jobs::registry(app))
        .middleware(trace::run)
        .notices(move |notice| notices.tell(notice));
    watchers.health.watch(&lifecycle, worker.meter());
    worker.run(lifecycle).await.map_err(|error| format!("{error:#}"))
}

/// A worker that takes all queues takes those of Ruby's workers, too, and does not know their jobs.
async fn beside_ruby(redis: Redis, queues: QueueList) {
    if redis.up().await.is_err() {
        return;
    }
    let Ok(seen) = inspect::processes(&redis).await else { return };
    let ruby = seen.all.iter().filter(|process| !process.ours);
    let shared = ruby.flat_map(|process| &process.queues).filter(|name| queues.takes(name));
    let shared: BTreeSet<String> = shared.map(|name| plain(name)).collect();
    if !shared.is_empty() {
        let shared = shared.into_iter().take(NAMED).collect::<Vec<_>>().join(",");
        tracing::warn!(
            queues = shared,
            "Ruby's workers serve these queues, too: a job that only they know fails here. Set QUEUES to your own"
        );
    }
}
