//! One Redis connection that comes back: shared by everything in the process, because small
//! plans count connections. The crate's own connection manager repeats neither the tracking nor
//! the registration after a reconnect, so the keeping is ours (`connect.rs`).

use std::sync::Arc;

use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::Address;
use super::clock::Clock;
use super::connect::keep;
use super::connection::{Connection, RedisOptions, Shared, State};
use super::errors::unavailable;
use super::refusals::Complaints;
use super::server::ServerInfo;
use super::wakes::Wakes;

/// A handle on the connection; clones share it.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

impl Redis {
    /// Begins to connect in the background and returns at once. Needs a tokio runtime.
    pub fn connect(options: RedisOptions) -> Redis {
        Redis::open(options, Clock::default(), true)
    }

    /// A second connection of the same process: with the same clock, and silent about outages,
    /// which the first one reports.
    pub(crate) fn second(&self) -> Redis {
        Redis::open(self.shared.options.clone(), self.shared.clock.clone(), false)
    }

    /// A connection of its own to look at what is there, also while that is a read-only replica,
    /// to which no other connects. Silent about outages.
    pub fn reader(&self) -> Redis {
        let options = RedisOptions { replica: true, ..self.shared.options.clone() };
        Redis::open(options, self.shared.clock.clone(), false)
    }

    fn open(options: RedisOptions, clock: Clock, loud: bool) -> Redis {
        let redis = Redis::having(options, clock, loud, State::New);
        redis.spawn(keep(Arc::downgrade(&redis.shared)));
        redis
    }

    /// A handle without a server, for a test of something that has one and does not use it: every
    /// request is an error at once. Needs a tokio runtime.
    pub fn absent() -> Redis {
        let none = State::Unusable("there is no Redis in this test".into());
        Redis::having(
            RedisOptions::at(Address::of_socket("/dev/null".into())),
            Clock::default(),
            false,
            none,
        )
    }

    fn having(options: RedisOptions, clock: Clock, loud: bool, state: State) -> Redis {
        let (state, wakes) = (watch::Sender::new(state), Arc::default());
        let (complaints, runtime) = (Complaints::default(), Handle::current());
        let shared = Shared { options, state, wakes, clock, complaints, runtime, loud };
        Redis { shared: Arc::new(shared) }
    }

    /// Runs it where the connection is kept: as long as that, whoever asks from which runtime.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.runtime.spawn(task);
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
        self.shared.state.borrow().lack().map_or(Ok(()), |reason| Err(reason.to_owned()))
    }

    /// Resolves once there is a connection; an error if there never will be one.
    pub async fn up(&self) -> anyhow::Result<()> {
        self.newer_than(0).await.map(drop)
    }

    /// Resolves once the first attempt to connect is over, whatever came of it.
    pub async fn tried(&self) {
        let mut changes = self.shared.state.subscribe();
        let _ = changes.wait_for(|state| !matches!(state, State::New)).await; // we hold the sender
    }

    /// Facts about the server, fresh from it.
    pub async fn server_info(&self) -> RedisResult<ServerInfo> {
        let text: String = self.query(&redis::cmd("INFO")).await?;
        Ok(ServerInfo::parse(&text))
    }

    /// The time in epoch seconds as the server has it: the same for all processes, however wrong a
    /// machine's own clock is. Before the first connection it is this machine's.
    pub fn now(&self) -> f64 {
        self.shared.clock.now()
    }

    /// One line about the server and the way to it, for the log at boot; a warning follows if it
    /// may throw jobs away.
    pub async fn introduce(&self) {
        let Ok(info) = self.server_info().await else { return };
        let address = &self.shared.options.address;
        tracing::info!("{}, {}", info.summary(), address.protection());
        if let Some(pin) = address.unverified() {
            tracing::warn!(
                "REDIS_TLS_VERIFY=none: the connection is encrypted, but anybody could be the server. To accept only the one of now, set REDIS_TLS_VERIFY={pin}"
            );
        }
        if info.evicts() {
            tracing::warn!(
                policy = info.policy,
                "the server throws keys away when it is full, jobs too: set maxmemory-policy to noeviction"
            );
        }
    }

    /// A connection with a higher number than this, as soon as there is one. What is sent on one
    /// that was killed would be in doubt for nothing.
    pub(crate) async fn newer_than(&self, number: u64) -> anyhow::Result<Connection> {
        let mut changes = self.shared.state.subscribe();
        let wanted = |state: &State| match state {
            State::Up(connection) => connection.number > number && !connection.killed(),
            State::Unusable(_) => true,
            State::New | State::Down(_) => false,
        };
        let state = changes.wait_for(wanted).await?.clone();
        match state {
            State::Up(connection) => Ok(connection),
            none => Err(anyhow::anyhow!("{}", none.lack().unwrap_or_default())),
        }
    }

    /// Resolves once this connection is known to have ended.
    pub(crate) async fn ended(&self, number: u64) {
        let mut changes = self.shared.state.subscribe();
        let gone = |state: &State| !matches!(state, State::Up(up) if up.number == number);
        let _ = changes.wait_for(gone).await; // cannot fail: we hold the sender
    }

    /// The connection if it is there at this moment.
    pub(crate) fn at_hand(&self) -> Option<Connection> {
        match &*self.shared.state.borrow() {
            State::Up(connection) if !connection.killed() => Some(connection.clone()),
            _ => None,
        }
    }

    /// The connection, waited for up to the deadline.
    pub(crate) async fn connection(&self) -> RedisResult<Connection> {
        match self.at_hand() {
            Some(connection) => Ok(connection),
            None => self.connection_after(0).await,
        }
    }

    /// The one after that with this number, waited for up to the deadline.
    pub(crate) async fn connection_after(&self, number: u64) -> RedisResult<Connection> {
        match timeout(self.shared.options.deadline, self.newer_than(number)).await {
            Ok(Ok(connection)) => Ok(connection),
            _ => Err(unavailable(self.status().err().unwrap_or_default())),
        }
    }

    pub(crate) fn wakes(&self) -> &Arc<Wakes> {
        &self.shared.wakes
    }

    pub(crate) fn complaints(&self) -> &Complaints {
        &self.shared.complaints
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }
}

/// Waits for something until a point in time; `None` when it has passed.
pub(crate) async fn until<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    timeout_at(deadline, future).await.ok()
}
