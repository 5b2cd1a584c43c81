//! Keeps a connection to Redis: connects, checks the server, publishes, waits for the end, again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisError, RedisResult};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::clock::Clock;
use super::connection::{Connection, Shared, State};
use super::errors::{headline, reason};
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
                watch_over(&connection, &clock, driver, &mut outage, loud).await;
                "the connection was lost".into()
            }
        };
        let Some(strong) = shared.upgrade() else {
            return;
        };
        outage.begin(&strong, &reason);
        strong.state.send_replace(State::Down(reason));
        let pause = outage.pause(strong.options.max_backoff);
        drop(strong);
        sleep(pause).await;
    }
}

/// How long a connection must live before it counts as recovered: a server that accepts and
/// closes again is not back.
const SETTLED: Duration = Duration::from_secs(1);
/// Managed servers close what is idle for 300 s, some sooner.
const PING_EVERY: Duration = Duration::from_secs(25);

async fn watch_over(
    connection: &Connection,
    clock: &Clock,
    mut driver: Driver,
    outage: &mut Outage,
    loud: bool,
) {
    if timeout(SETTLED, &mut driver.0).await.is_ok() {
        return;
    }
    outage.over(loud);
    while timeout(PING_EVERY, &mut driver.0).await.is_err() {
        // the ping, and of use besides: without an answer the connection ends
        let asked = Instant::now();
        if let Ok(time) = connection.query(&redis::cmd("TIME")).await {
            clock.set(time, asked.elapsed());
        }
    }
}

/// One outage: logged once when it begins and once when it is over, tried ever more slowly. A
/// headline that was not told yet is told in between: a server that comes back with another
/// password waits for a person, one that is merely away does not.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    told: Vec<&'static str>,
    attempts: u32,
}

impl Outage {
    fn begin(&mut self, shared: &Shared, reason: &str) {
        self.since.get_or_insert_with(Instant::now);
        let headline = headline(reason);
        if self.told.contains(&headline) {
            return;
        }
        self.told.push(headline);
        let address = &shared.options.address;
        match shared.loud {
            true => tracing::warn!(%address, reason, "{headline}"),
            false => tracing::debug!(%address, reason, "a second connection is not to be had"),
        }
    }

    fn over(&mut self, loud: bool) {
        if let Some(since) = self.since.take().filter(|_| loud) {
            let seconds = (since.elapsed() - SETTLED.min(since.elapsed())).as_secs_f32();
            tracing::info!("Redis is back after {seconds:.1} s");
        }
        self.told.clear();
        self.attempts = 0;
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
    let (requests, driver, resp3) = match handshake(shared, ProtocolVersion::RESP3).await {
        Ok((requests, driver)) => (requests, driver, true),
        Err(error) if lacks_resp3(&error) => {
            let (requests, driver) = handshake(shared, ProtocolVersion::RESP2).await?;
            (requests, driver, false)
        }
        Err(error) => return Err(error.into()),
    };
    let abort = driver.0.abort_handle();
    let deadline = shared.options.deadline;
    let killed = Arc::default();
    let mut connection =
        Connection { requests, number, tracking: false, driver: abort, killed, deadline };
    check(&connection, &shared.clock).await?;
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
) -> RedisResult<(MultiplexedConnection, Driver)> {
    let address = &shared.options.address;
    let stream = address.open().await?;
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

/// Is this a server to work with? A replica or one that still loads is not, for now.
async fn check(connection: &Connection, clock: &Clock) -> Result<(), Refusal> {
    let mut facts = redis::pipe();
    facts.cmd("INFO").cmd("TIME");
    let asked = Instant::now();
    let (info, time): (String, (i64, i64)) = connection.pipe(&facts).await?;
    let info = ServerInfo::parse(&info);
    if let Some(reason) = info.too_old() {
        return Err(Refusal::Never(reason));
    }
    if let Some(reason) = info.not_ready() {
        return Err(Refusal::Later(reason));
    }
    clock.set(time, asked.elapsed());
    Ok(())
}

fn lacks_resp3(error: &RedisError) -> bool {
    let text = error.to_string();
    error.code().is_some_and(|code| code != "NOAUTH")
        && (text.contains("HELLO") || text.contains("unknown command") || text.contains("NOPROTO"))
}
