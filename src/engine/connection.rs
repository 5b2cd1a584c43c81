//! One established connection to Redis, and what is shared about it. A reply that does not come in
//! time ends the connection: whoever waits learns of it, and what became of the request is
//! decided at the next registration (`session.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::address::Address;
use super::clock::Clock;
use super::errors::{breaks_connection, error};
use super::tls::TlsVerify;
use super::wakes::Wakes;

/// Where Redis is and how long to wait for it.
#[derive(Clone)]
pub struct RedisOptions {
    pub(crate) address: Address,
    /// How long a request may wait for a connection, and then for its reply, before it is an
    /// error (and the connection, if there was one, is taken for dead). Default 5 s.
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

/// What the handles and the keeper of a connection share.
pub(crate) struct Shared {
    pub(crate) options: RedisOptions,
    pub(crate) state: watch::Sender<State>,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) clock: Clock,
    /// Whether losing the connection is worth more than a debug line.
    pub(crate) loud: bool,
}

/// Nobody asks any more: without this, the pings would keep the socket open for ever.
impl Drop for Shared {
    fn drop(&mut self) {
        if let State::Up(connection) = &*self.state.borrow() {
            connection.kill();
        }
    }
}

/// What became of the last attempt to connect.
#[derive(Clone)]
pub(crate) enum State {
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
    pub(crate) requests: MultiplexedConnection,
    /// Counts the connections of this process's handle, from 1.
    pub(crate) number: u64,
    /// Whether the server tells us of changes; else we have to poll.
    pub(crate) tracking: bool,
    pub(crate) driver: AbortHandle,
    pub(crate) killed: Arc<AtomicBool>,
    pub(crate) deadline: Duration,
}

impl Connection {
    /// Closes the socket; every request under way on it ends with an error. Dropping handles
    /// would not do that, ending the crate's driver does.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        self.driver.abort();
    }

    /// Whether this is its end, though the keeper may not know of it yet.
    pub(crate) fn killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
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
