//! One Redis connection that comes back: shared by everything in the process, because small
//! plans count connections.
//!
//! The crate's own connection manager repeats neither the tracking nor the registration after a
//! reconnect, so the keeping is ours: connect, check the server, publish, wait for the end,
//! again. A reply that does not come in time ends the connection: whoever waits learns of it,
//! and what became of the request is decided at the next registration (`session.rs`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, ProtocolVersion, PushInfo, RedisError,
    RedisResult, ScriptInvocation,
};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::address::Address;
use super::clock::Clock;
use super::server::ServerInfo;
use super::tls::TlsVerify;
use super::wakes::Wakes;

/// Where Redis is and how long to wait for it.
#[derive(Clone)]
pub struct RedisOptions {
    address: Address,
    /// How long a request may take, waiting for a connection included, before it is an error
    /// (and the connection, if there was one, is taken for dead). Default 5 s.
    pub deadline: Duration,
    /// The longest pause between two attempts to connect. Default 3 s: it must stay well under
    /// the heartbeat's lifetime, or peers would take us for dead after an outage.
    pub max_backoff: Duration,
}

impl RedisOptions {
    /// Takes a `redis://`, `rediss://` or `unix://` URL apart. The error says what is wrong with
    /// it and never repeats any of it.
    pub fn parse(url: &str, verify: TlsVerify) -> Result<RedisOptions, String> {
        Ok(RedisOptions {
            address: Address::parse(url, verify)?,
            deadline: Duration::from_secs(5),
            max_backoff: Duration::from_secs(3),
        })
    }
}

/// A handle on the connection; clones share it.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    options: RedisOptions,
    state: watch::Sender<State>,
    wakes: Arc<Wakes>,
    clock: Clock,
}

/// Nobody asks any more: without this, the pings would keep the socket open for ever.
impl Drop for Inner {
    fn drop(&mut self) {
        if let State::Up(connection) = &*self.state.borrow() {
            connection.kill();
        }
    }
}

#[derive(Clone)]
enum State {
    /// No connection, and why.
    Down(Arc<str>),
    /// There never will be one, and why (the server is too old).
    Unusable(Arc<str>),
    Up(Connection),
}

/// One established connection. Numbers count up; a request that must not be repeated on another
/// connection holds on to this one.
#[derive(Clone)]
pub(crate) struct Connection {
    requests: MultiplexedConnection,
    /// Counts the connections of this process's handle, from 1.
    pub(crate) number: u64,
    /// Whether the server tells us of changes; else we have to poll.
    pub(crate) tracking: bool,
    driver: AbortHandle,
    deadline: Duration,
}

impl Connection {
    /// Closes the socket; every request under way on it ends with an error. Dropping handles
    /// would not do that, ending the crate's driver does.
    pub(crate) fn kill(&self) {
        self.driver.abort();
    }

    /// Sends one command. Never drop this future half-way where the reply matters.
    pub(crate) async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        let mut requests = self.requests.clone();
        self.bounded(cmd.query_async(&mut requests)).await
    }

    /// Sends several commands in one write.
    pub(crate) async fn pipe<T: FromRedisValue>(&self, pipe: &Pipeline) -> RedisResult<T> {
        let mut requests = self.requests.clone();
        self.bounded(pipe.query_async(&mut requests)).await
    }

    /// Runs a script, loading it if the server does not know it.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        let mut requests = self.requests.clone();
        self.bounded(script.invoke_async(&mut requests)).await
    }

    async fn bounded<T>(&self, reply: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let result = match timeout(self.deadline, reply).await {
            Ok(result) => result,
            Err(_) => Err(error("no reply in time")),
        };
        if let Err(error) = &result
            && breaks_connection(error)
        {
            self.kill();
        }
        result
    }
}

impl Redis {
    /// Begins to connect in the background and returns at once. Needs a tokio runtime.
    pub fn connect(options: RedisOptions) -> Redis {
        Redis::with_clock(options, Clock::default())
    }

    /// A second connection of the same process shares the clock of the first.
    pub(crate) fn with_clock(options: RedisOptions, clock: Clock) -> Redis {
        let state = watch::Sender::new(State::Down("not connected yet".into()));
        let wakes = Arc::default();
        let inner = Arc::new(Inner { options, state, wakes, clock });
        tokio::spawn(keep(Arc::downgrade(&inner)));
        Redis { inner }
    }

    /// Sends one command on the shared connection. An error if there is no connection or no
    /// reply in time; after an error the command may or may not have been executed.
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        self.connection().await?.query(cmd).await
    }

    /// Sends several commands in one write; errors as `query`.
    pub async fn pipe<T: FromRedisValue>(&self, pipe: &Pipeline) -> RedisResult<T> {
        self.connection().await?.pipe(pipe).await
    }

    /// `Err` with the reason while there is no connection; the reason is safe to show.
    pub fn status(&self) -> Result<(), String> {
        match &*self.inner.state.borrow() {
            State::Up(_) => Ok(()),
            State::Down(reason) | State::Unusable(reason) => Err(reason.to_string()),
        }
    }

    /// Resolves once there is a connection; an error if there never will be one.
    pub async fn up(&self) -> anyhow::Result<()> {
        self.newer_than(0).await.map(drop)
    }

    /// Facts about the server, fresh from it.
    pub async fn server_info(&self) -> RedisResult<ServerInfo> {
        let text: String = self.query(&redis::cmd("INFO")).await?;
        Ok(ServerInfo::parse(&text))
    }

    /// One line about the server and the way to it, for the log at boot; a warning follows if it
    /// may throw jobs away.
    pub async fn introduce(&self) {
        let Ok(info) = self.server_info().await else { return };
        let address = &self.inner.options.address;
        tracing::info!("{}, {}", info.summary(), address.protection());
        if address.unverified() {
            tracing::warn!(
                "REDIS_TLS_VERIFY=none: the connection is encrypted, but anybody could be the server"
            );
        }
        if info.evicts() {
            tracing::warn!(
                policy = info.policy,
                "the server throws keys away when it is full, jobs too: set maxmemory-policy to noeviction"
            );
        }
    }

    /// A connection with a higher number than this, as soon as there is one.
    pub(crate) async fn newer_than(&self, number: u64) -> anyhow::Result<Connection> {
        let mut changes = self.inner.state.subscribe();
        let wanted = |state: &State| match state {
            State::Up(connection) => connection.number > number,
            State::Unusable(_) => true,
            State::Down(_) => false,
        };
        let state = changes.wait_for(wanted).await?.clone();
        match state {
            State::Up(connection) => Ok(connection),
            State::Down(reason) | State::Unusable(reason) => Err(anyhow::anyhow!("{reason}")),
        }
    }

    /// The connection, waited for up to the deadline.
    pub(crate) async fn connection(&self) -> RedisResult<Connection> {
        match timeout(self.inner.options.deadline, self.newer_than(0)).await {
            Ok(Ok(connection)) => Ok(connection),
            _ => Err(unavailable(self.status().err().unwrap_or_default())),
        }
    }

    pub(crate) fn wakes(&self) -> &Arc<Wakes> {
        &self.inner.wakes
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub(crate) fn options(&self) -> &RedisOptions {
        &self.inner.options
    }
}

/// Connects, publishes, waits for the end, again; ends when the last handle is gone.
async fn keep(inner: Weak<Inner>) {
    let mut outage = Outage::default();
    let mut number = 0;
    loop {
        let Some(strong) = inner.upgrade() else {
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
                drop(strong);
                watch_over(&connection, driver, &mut outage).await;
                "the connection was lost".into()
            }
        };
        let Some(strong) = inner.upgrade() else {
            return;
        };
        outage.log_down(&strong.options.address, &reason);
        strong.state.send_replace(State::Down(reason));
        let pause = outage.pause(strong.options.max_backoff);
        drop(strong);
        sleep(pause).await;
    }
}

/// How long a connection must live before it counts as recovered: a server that accepts and
/// closes again is not back.
const SETTLED: Duration = Duration::from_secs(1);
/// Managed servers close what is idle for 300 s.
const PING_EVERY: Duration = Duration::from_secs(60);

async fn watch_over(connection: &Connection, mut driver: JoinHandle<()>, outage: &mut Outage) {
    if timeout(SETTLED, &mut driver).await.is_ok() {
        return;
    }
    outage.over();
    while timeout(PING_EVERY, &mut driver).await.is_err() {
        let _: RedisResult<()> = connection.query(&redis::cmd("PING")).await; // kills if unanswered
    }
}

/// One outage: logged once when it begins and once when it is over, tried ever more slowly.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    attempts: u32,
}

impl Outage {
    fn log_down(&mut self, address: &Address, reason: &str) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!(%address, reason, "Redis is not reachable; trying until it is");
        }
    }

    fn over(&mut self) {
        if let Some(since) = self.since.take() {
            let seconds = (since.elapsed() - SETTLED.min(since.elapsed())).as_secs_f32();
            tracing::info!("Redis is back after {seconds:.1} s");
        }
        self.attempts = 0;
    }

    /// 25 ms, doubling up to the cap, with jitter so that a fleet does not come back as one.
    fn pause(&mut self, cap: Duration) -> Duration {
        let base = Duration::from_millis(25) * 2u32.pow(self.attempts.min(10));
        self.attempts += 1;
        base.min(cap).mul_f64(0.5 + fastrand::f64() / 2.0)
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

async fn open(inner: &Inner, number: u64) -> Result<(Connection, JoinHandle<()>), Refusal> {
    let (requests, driver, resp3) = match handshake(inner, ProtocolVersion::RESP3).await {
        Ok((requests, driver)) => (requests, driver, true),
        Err(error) if lacks_resp3(&error) => {
            let (requests, driver) = handshake(inner, ProtocolVersion::RESP2).await?;
            (requests, driver, false)
        }
        Err(error) => return Err(error.into()),
    };
    let abort = driver.abort_handle();
    let deadline = inner.options.deadline;
    let mut connection = Connection { requests, number, tracking: false, driver: abort, deadline };
    check(&connection, &inner.clock).await.inspect_err(|_| connection.kill())?;
    if resp3 {
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("NOLOOP");
        connection.tracking = connection.query::<()>(&tracking).await.is_ok();
    }
    Ok((connection, driver))
}

async fn handshake(
    inner: &Inner,
    protocol: ProtocolVersion,
) -> RedisResult<(MultiplexedConnection, JoinHandle<()>)> {
    let address = &inner.options.address;
    let stream = address.open().await?;
    // no response timeout of the crate's: it would drop a reply and keep the connection
    let mut config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    if protocol == ProtocolVersion::RESP3 {
        let wakes = inner.wakes.clone();
        config = config.set_push_sender(move |push: PushInfo| {
            wakes.heard(push);
            Ok::<(), ()>(())
        });
    }
    let info = address.handshake(protocol);
    let (requests, driver) = MultiplexedConnection::new_with_config(&info, stream, config).await?;
    Ok((requests, tokio::spawn(driver)))
}

/// Is this a server to work with? A replica or one that still loads is not, for now.
async fn check(connection: &Connection, clock: &Clock) -> Result<(), Refusal> {
    let mut facts = redis::pipe();
    facts.cmd("INFO").cmd("TIME");
    let (info, time): (String, (i64, i64)) = connection.pipe(&facts).await?;
    let info = ServerInfo::parse(&info);
    if let Some(reason) = info.too_old() {
        return Err(Refusal::Never(reason));
    }
    if let Some(reason) = info.not_ready() {
        return Err(Refusal::Later(reason));
    }
    clock.set(time);
    Ok(())
}

/// Errors after which this connection is of no use: the server will not serve us on it until
/// something changes, and a fresh one may reach another server.
fn breaks_connection(error: &RedisError) -> bool {
    const CODES: [&str; 8] = [
        "READONLY",
        "LOADING",
        "MASTERDOWN",
        "UNBLOCKED",
        "MISCONF",
        "NOREPLICAS",
        "NOAUTH",
        "WRONGPASS",
    ];
    let code = error.code().is_some_and(|code| CODES.contains(&code));
    code || error.is_io_error() || error.is_unrecoverable_error()
}

/// Whether the server may have executed a request that ended with this error.
pub(crate) fn in_doubt(error: &RedisError) -> bool {
    error.code().is_none() && !is_unavailable(error)
}

/// Whether Redis refused a write because it is full.
pub(crate) fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM") || error.to_string().contains("OOM command not allowed")
}

const UNAVAILABLE: &str = "Redis is not reachable";

pub(crate) fn is_unavailable(error: &RedisError) -> bool {
    error.to_string().contains(UNAVAILABLE)
}

fn unavailable(reason: String) -> RedisError {
    error(&format!("{UNAVAILABLE}: {reason}"))
}

fn error(text: &str) -> RedisError {
    RedisError::from(std::io::Error::other(text.to_owned()))
}

fn lacks_resp3(error: &RedisError) -> bool {
    let text = error.to_string();
    error.code().is_some()
        && (text.contains("HELLO") || text.contains("unknown command") || text.contains("NOPROTO"))
}

/// An error in words that help and give nothing away.
pub(crate) fn reason(error: &RedisError) -> String {
    match error.code() {
        Some("NOAUTH") => "the server wants a password (NOAUTH): put it into the URL".to_owned(),
        Some("WRONGPASS") => "the server refused user or password (WRONGPASS)".to_owned(),
        _ => {
            let text = error.to_string();
            match text.contains("certificate") {
                true => format!(
                    "{text} (a self-signed chain, as on Heroku, needs REDIS_TLS_VERIFY=none)"
                ),
                false => text,
            }
        }
    }
}

/// Waits for something until a point in time; `None` when it has passed.
pub(crate) async fn until<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    timeout_at(deadline, future).await.ok()
}
