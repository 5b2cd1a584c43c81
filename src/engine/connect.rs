//! Keeps a connection to Redis: connects, checks the server, publishes, waits for the end, again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisError, RedisResult};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::clock::Clock;
use super::connection::{Connection, Shared, State};
use super::errors::{breaks_connection, greeting, headline, reason};
use super::gauge::{Gauge, Written};
use super::keys;
use super::server::ServerInfo;

/// Connects, publishes, waits for the end, again; ends when the last handle is gone.
pub(crate) async fn keep(shared: Weak<Shared>) {
    let mut outage = Outage::default();
    let mut number = 0;
    loop {
        let Some(strong) = shared.upgrade() else {
            return;
        };
        let attempt = open(&strong, number + 1);
        let reason: Arc<str> = match timeout(strong.options.deadline, attempt).await {
            Err(_) => "no answer in time".into(),
            Ok(Err(Refusal::Later(reason))) => reason.into(),
            Ok(Err(Refusal::Never(reason))) => {
                strong.state.send_replace(State::Unusable(reason.into()));
                return;
            }
            Ok(Ok((connection, driver))) => {
                number += 1;
                strong.wakes.everything();
                strong.state.send_replace(State::Up(connection.clone()));
                let (loud, clock) = (strong.loud, strong.clock.clone());
                drop(strong);
                watch_over(&connection, &clock, driver, &mut outage, loud).await
            }
        };
        let Some(strong) = shared.upgrade() else {
            return;
        };
        outage.goes_on(&strong, number, &reason);
        strong.state.send_replace(State::Down(reason));
        let longest = strong.options.max_backoff;
        let pause = match strong.loud {
            true => outage.pause(longest),
            // where places are few, the first connection is to have the next one: by then it tries
            false => longest.mul_f64(1.0 + fastrand::f64() / 2.0),
        };
        drop(strong);
        sleep(pause).await;
    }
}

/// How long a connection must live before it counts as recovered: a server that accepts and
/// closes again is not back.
const SETTLED: Duration = Duration::from_secs(1);
/// Managed servers close what is idle for 300 s, some sooner.
const PING_EVERY: Duration = Duration::from_secs(25);

/// Resolves when the connection has ended, with the reason.
async fn watch_over(
    connection: &Connection,
    clock: &Clock,
    mut driver: Driver,
    outage: &mut Outage,
    loud: bool,
) -> Arc<str> {
    if timeout(SETTLED, &mut driver.0).await.is_err() {
        outage.over(loud);
        while timeout(PING_EVERY, &mut driver.0).await.is_err() {
            // the ping, and of use besides: without an answer the connection ends
            let asked = Instant::now();
            if let Ok(time) = connection.query(&redis::cmd("TIME")).await {
                clock.set(time, asked.elapsed());
            }
        }
    }
    connection.given_up().unwrap_or("the connection was closed").into()
}

/// One outage: logged once when it begins and once when it is over, tried ever more slowly. A
/// connection that comes back at once is worth one line, and only then. A headline that was not
/// told yet is told in between: a server that comes back with another password waits for a
/// person, one that is merely away does not.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    /// Why the connection was lost, until it is known why it does not come back.
    lost: Option<Arc<str>>,
    told: Vec<&'static str>,
    attempts: u32,
}

impl Outage {
    /// A connection ended, or an attempt failed. `number`: of the last connection, 0 if there
    /// was none yet.
    fn goes_on(&mut self, shared: &Shared, number: u64, reason: &Arc<str>) {
        if self.since.is_none() && number > 0 {
            self.lost = Some(reason.clone());
        } else {
            self.lost = None;
            self.say(shared, reason);
        }
        self.since.get_or_insert_with(Instant::now);
    }

    fn say(&mut self, shared: &Shared, reason: &str) {
        let headline = headline(reason);
        if self.told.contains(&headline) {
            return tracing::debug!(reason, "still no connection");
        }
        self.told.push(headline);
        let address = &shared.options.address;
        match shared.loud {
            true => tracing::warn!(%address, reason, "{headline}"),
            false => tracing::debug!(%address, reason, "a second connection is not to be had"),
        }
    }

    /// The connection has lived for a while.
    fn over(&mut self, loud: bool) {
        self.told.clear();
        self.attempts = 0;
        let (lost, Some(since)) = (self.lost.take(), self.since.take()) else { return };
        let seconds = since.elapsed().saturating_sub(SETTLED).as_secs_f32();
        match lost {
            _ if !loud => {}
            Some(reason) => tracing::info!(
                reason = &*reason,
                "the connection to Redis was lost and is back after {seconds:.1} s"
            ),
            None => tracing::info!("Redis is back after {seconds:.1} s"),
        }
    }

    /// 25 ms, doubling up to the cap, with jitter so that a fleet does not come back as one.
    fn pause(&mut self, cap: Duration) -> Duration {
        let base = Duration::from_millis(25) * 2u32.pow(self.attempts.min(10));
        self.attempts += 1;
        base.min(cap).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// The crate's end of a connection. Dropped, it closes the socket; mere handles would not.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Refusal {
    Later(String),
    Never(String),
}

impl From<RedisError> for Refusal {
    fn from(error: RedisError) -> Self {
        Refusal::Later(reason(&error))
    }
}

async fn open(shared: &Shared, number: u64) -> Result<(Connection, Driver), Refusal> {
    let written = Written::default();
    let (requests, driver, resp3) = match handshake(shared, ProtocolVersion::RESP3, &written).await
    {
        Ok((requests, driver)) => (requests, driver, true),
        Err(error) if lacks_resp3(&error) => {
            let (requests, driver) = handshake(shared, ProtocolVersion::RESP2, &written).await?;
            (requests, driver, false)
        }
        Err(error) => return Err(Refusal::Later(greeting(&error))),
    };
    let abort = driver.0.abort_handle();
    let deadline = shared.options.deadline;
    let end = Arc::default();
    let mut connection =
        Connection { requests, number, tracking: false, driver: abort, deadline, written, end };
    let reads = shared.options.replica;
    check(&connection, &shared.clock, reads).await?;
    if !reads {
        writable(&connection).await?;
    }
    if resp3 {
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("NOLOOP");
        connection.tracking = connection.query::<()>(&tracking).await.is_ok();
    }
    Ok((connection, driver))
}

async fn handshake(
    shared: &Shared,
    protocol: ProtocolVersion,
    written: &Written,
) -> RedisResult<(MultiplexedConnection, Driver)> {
    let address = &shared.options.address;
    let stream = Gauge { stream: address.open().await?, written: written.clone() };
    // no response timeout of the crate's: it would drop a reply and keep the connection
    let mut config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    if protocol == ProtocolVersion::RESP3 {
        let wakes = shared.wakes.clone();
        config = config.set_push_sender(move |push: PushInfo| {
            wakes.heard(push);
            Ok::<(), ()>(())
        });
    }
    let info = address.handshake(protocol);
    let (requests, driver) = MultiplexedConnection::new_with_config(&info, stream, config).await?;
    Ok((requests, Driver(tokio::spawn(driver))))
}

/// Is this a server to work with, or at least to read from? A replica or one that still loads is
/// not, for now.
async fn check(connection: &Connection, clock: &Clock, reads: bool) -> Result<(), Refusal> {
    let mut facts = redis::pipe();
    facts.cmd("INFO").cmd("TIME");
    let asked = Instant::now();
    let (info, time): (String, (i64, i64)) = connection.pipe(&facts).await?;
    let info = ServerInfo::parse(&info);
    if let Some(reason) = info.too_old() {
        return Err(Refusal::Never(reason));
    }
    if let Some(reason) = info.not_ready(reads) {
        return Err(Refusal::Later(reason));
    }
    clock.set(time, asked.elapsed());
    Ok(())
}

/// A server may refuse writes for more reasons than `INFO` tells (too few replicas, a disk that is
/// full). It is asked by a removal, which one whose memory is full lets pass; a right that is
/// missing for it says nothing.
async fn writable(connection: &Connection) -> Result<(), Refusal> {
    let asked: RedisResult<()> = connection.query(redis::cmd("DEL").arg(keys::PROBE)).await;
    match asked {
        Err(error) if breaks_connection(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

fn lacks_resp3(error: &RedisError) -> bool {
    let text = error.to_string();
    error.code().is_some_and(|code| code != "NOAUTH")
        && (text.contains("HELLO") || text.contains("unknown command") || text.contains("NOPROTO"))
}
