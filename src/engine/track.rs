//! Tells how far running jobs are, for those who ask by jid. A job only notes it; a few times a
//! second all that is new goes to Redis in one request, however many steps it was.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use tokio::time::sleep;

use super::connection::Connection;
use super::delivery::Delivery;
use super::keys;
use super::scripts;
use super::session::Session;
use super::status::{Report, State, fields};

/// Between two requests. A person cannot tell it from at once.
const PAUSE: Duration = Duration::from_millis(250);

/// Brings the news to Redis, for the life of the process.
pub(crate) async fn run(session: Arc<Session>) {
    let mut refusals = session.redis.complaints().about("note how far jobs are");
    loop {
        let changed = session.tracker.take();
        if changed.is_empty() {
            session.tracker.news().await;
            continue;
        }
        match running(&session, &changed).await {
            Ok(()) => refusals.passed(),
            Err(error) => {
                changed.iter().for_each(|delivery| session.tracker.note(delivery));
                sleep(refusals.note(&error)).await;
            }
        }
        sleep(PAUSE).await;
    }
}

async fn running(session: &Session, changed: &[Arc<Delivery>]) -> RedisResult<()> {
    let connection = session.redis.connection().await?;
    write(&connection, session, changed, State::Running).await
}

/// Writes that they are in this state, and what else they have to tell.
pub(crate) async fn write(
    connection: &Connection,
    session: &Session,
    changed: &[Arc<Delivery>],
    state: State,
) -> RedisResult<()> {
    let now = session.redis.clock().now();
    let mut script = scripts::TRACK.prepare_invoke();
    script.arg(&session.inflight_key);
    for delivery in changed {
        let Some(status_for) = delivery.status_for() else { continue };
        let report = Report { state, draft: delivery.draft() };
        let fields = fields(report, now);
        script.arg(delivery.name()).arg(keys::status(delivery.jid())).arg(status_for);
        script.arg(2 * fields.len());
        for (name, value) in fields {
            script.arg(name).arg(value);
        }
    }
    connection.run(&script).await
}
