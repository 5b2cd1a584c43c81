//! The last act of a stopping worker: what did not finish goes back to the head of its queue,
//! and the process signs off.

use std::sync::Arc;

use redis::RedisResult;

use super::connection::Connection;
use super::delivery::Delivery;
use super::endings::Ending;
use super::finish::{removal, settlement};
use super::inflight::Inflight;
use super::keys;
use super::retry::Fate;
use super::scripts;
use super::session::Session;
use super::status::State;
use super::track;

/// Deliveries and bytes at most per step.
const STEP: usize = 500;
const STEP_BYTES: usize = 4 << 20;

/// Gives back until Redis has confirmed everything; returns the number of jobs.
pub(crate) async fn run(session: &Session, inflight: &Inflight) -> u64 {
    let mut failed = 0;
    let mut given_back = 0;
    loop {
        let lease = session.lease_after(failed).await;
        match all(&lease.connection, session, inflight).await {
            Ok(moved) => return given_back + moved,
            Err((moved, error)) => {
                tracing::debug!(%error, "giving back failed, trying again");
                given_back += moved;
                failed = lease.number;
                lease.connection.kill();
            }
        }
    }
}

/// Gives back once, over any connection, and first what the finisher did not get to send: the
/// session's connection and the runtime do not answer.
pub(crate) async fn at_once(
    connection: &Connection,
    session: &Session,
    inflight: &Inflight,
) -> RedisResult<u64> {
    let done = |delivery| Ending::new(delivery, Fate::Done { traces: None });
    let (plain, others): (Vec<_>, Vec<_>) =
        inflight.done().into_iter().map(done).partition(Ending::is_plain);
    if !plain.is_empty() {
        connection.query::<()>(&removal(session, &plain)).await?;
    }
    for ending in &others {
        connection.run::<()>(&settlement(session, ending)).await?;
    }
    all(connection, session, inflight).await.map_err(|(_, error)| error)
}

async fn all(
    connection: &Connection,
    session: &Session,
    inflight: &Inflight,
) -> Result<u64, (u64, redis::RedisError)> {
    let mut moved = 0;
    // first of all the lease, so that no fetch that is still on its way takes anything
    leave(connection, session).await.map_err(|error| (moved, error))?;
    let mut rest = inflight.busy();
    rest.retain(|delivery| !delivery.left_behind());
    while !rest.is_empty() {
        let step = rest.split_off(rest.len() - step(&rest));
        await_again(connection, session, &step).await.map_err(|error| (moved, error))?;
        let back = requeue(connection, session, &step).await.map_err(|error| (moved, error))?;
        inflight.remove(step.iter().map(|delivery| delivery.field));
        moved += back;
    }
    leave(connection, session).await.map_err(|error| (moved, error))?;
    Ok(moved)
}

/// Whoever asks how far they are learns that they wait again. Before they go: afterwards somebody
/// may have them already.
async fn await_again(
    connection: &Connection,
    session: &Session,
    step: &[Arc<Delivery>],
) -> RedisResult<()> {
    let asked = step.iter().filter(|delivery| delivery.status_for().is_some());
    let asked: Vec<Arc<Delivery>> = asked.cloned().collect();
    match asked.is_empty() {
        true => Ok(()),
        false => track::write(connection, session, &asked, State::Queued).await,
    }
}

/// How many, from the newest on, go into one step.
fn step(rest: &[Arc<Delivery>]) -> usize {
    let mut bytes = 0;
    let fitting = rest.iter().rev().take(STEP).take_while(|delivery| {
        let fits = bytes < STEP_BYTES;
        bytes += delivery.raw.len();
        fits
    });
    fitting.count()
}

/// Newest first: each goes to the very head, so the oldest ends up as the next to run.
async fn requeue(
    connection: &Connection,
    session: &Session,
    step: &[Arc<Delivery>],
) -> RedisResult<u64> {
    let mut script = scripts::REQUEUE.prepare_invoke();
    script.arg(&session.inflight_key).arg(&session.anyway());
    script.arg(keys::QUEUES).arg(keys::QUEUE_PREFIX);
    script.arg(keys::RESCUES).arg(0).arg(keys::RUNNING_PREFIX).arg(session.identity());
    for delivery in step.iter().rev() {
        script.arg(delivery.name()).arg("").arg("");
    }
    connection.run(&script).await
}

async fn leave(connection: &Connection, session: &Session) -> RedisResult<i64> {
    let identity = session.identity();
    let mut script = scripts::LEAVE.prepare_invoke();
    script.arg(identity).arg(&session.inflight_key).arg(keys::OWNERS).arg(keys::PROCESSES);
    script.arg(&session.anyway()).arg(keys::work(identity)).arg(keys::workers(identity));
    script.arg(keys::beats(identity));
    connection.run(&script).await
}
