//! One established connection to Redis, and what is shared about it. A reply that does not come in
//! time ends the connection: whoever waits learns of it, and what became of the request is
//! decided at the next registration (`session.rs`).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Script, ScriptInvocation, Value,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::address::Address;
use super::clock::Clock;
use super::errors::{breaks_connection, code, error, reason, unfit, unsent};
use super::gauge::Written;
use super::refusals::Complaints;
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
    /// Whether a server that takes no writes will do: to look at, not to work with.
    pub(crate) replica: bool,
}

impl RedisOptions {
    /// Takes a `redis://`, `rediss://` or `unix://` URL apart. The error says what is wrong with
    /// it and never repeats any of it.
    pub fn parse(url: &str, verify: TlsVerify) -> Result<RedisOptions, String> {
        Address::parse(url, verify).map(RedisOptions::at)
    }

    pub(crate) fn at(address: Address) -> RedisOptions {
        let (deadline, max_backoff) = (Duration::from_secs(5), Duration::from_secs(3));
        RedisOptions { address, deadline, max_backoff, replica: false }
    }

    /// Where it is, for messages: host and port or a path, nothing secret.
    pub fn place(&self) -> String {
        self.address.to_string()
    }
}

/// What the handles and the keeper of a connection share.
pub(crate) struct Shared {
    pub(crate) options: RedisOptions,
    pub(crate) state: watch::Sender<State>,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) clock: Clock,
    pub(crate) complaints: Complaints,
    /// Where the connection is kept.
    pub(crate) runtime: Handle,
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
    /// The first attempt is not over.
    New,
    /// No connection, and why.
    Down(Arc<str>),
    /// There never will be one, and why (the server is too old).
    Unusable(Arc<str>),
    Up(Connection),
}

impl State {
    /// Why there is no connection, if there is none.
    pub(crate) fn lack(&self) -> Option<&str> {
        match self {
            State::New => Some("not connected yet"),
            State::Down(reason) | State::Unusable(reason) => Some(reason),
            State::Up(_) => None,
        }
    }
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
    pub(crate) deadline: Duration,
    pub(crate) written: Written,
    /// Set when we ended it, with the reason if there is one to tell.
    pub(crate) end: Arc<OnceLock<Option<String>>>,
}

impl Connection {
    /// Closes the socket; every request under way on it ends with an error. Dropping handles
    /// would not do that, ending the crate's driver does.
    pub(crate) fn kill(&self) {
        let _ = self.end.set(None);
        self.driver.abort();
    }

    /// Whether both are the same.
    pub(crate) fn is(&self, other: &Connection) -> bool {
        Arc::ptr_eq(&self.end, &other.end)
    }

    /// Whether this is its end, though the keeper may not know of it yet.
    pub(crate) fn killed(&self) -> bool {
        self.end.get().is_some()
    }

    /// Why we gave it up, if we did.
    pub(crate) fn given_up(&self) -> Option<&str> {
        self.end.get()?.as_deref()
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

    /// The same, each with a reply of its own, whatever became of the others.
    pub(crate) async fn each(&self, pipe: &mut Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let replies: Vec<RedisResult<Value>> = self.pipe(pipe.ignore_errors()).await?;
        let errors = replies.iter().filter_map(|reply| reply.as_ref().err());
        errors.filter(|error| breaks_connection(error)).for_each(|error| self.give_up(error));
        Ok(replies)
    }

    /// Ends it after an error that no other request would fare better with.
    fn give_up(&self, error: &RedisError) {
        if code(error).is_some() {
            let _ = self.end.set(Some(reason(error)));
        }
        self.kill();
    }

    /// Runs a script, loading it if the server does not know it.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        let mut requests = self.requests.clone();
        self.bounded(script.invoke_async(&mut requests)).await
    }

    /// Makes a script known to the server.
    pub(crate) async fn load(&self, script: &Script) -> RedisResult<()> {
        let mut requests = self.requests.clone();
        let loaded = async { script.load_async(&mut requests).await.map(Value::SimpleString) };
        self.reply(loaded).await.map(drop)
    }

    /// A reply that is not what the asker expects (a missing value read as a number) is the asker's
    /// error alone: on this connection there are others.
    async fn bounded<T: FromRedisValue>(
        &self,
        reply: impl Future<Output = RedisResult<Value>>,
    ) -> RedisResult<T> {
        T::from_redis_value(self.reply(reply).await?).map_err(|error| unfit(&error))
    }

    async fn reply(&self, reply: impl Future<Output = RedisResult<Value>>) -> RedisResult<Value> {
        let written = self.written.bytes();
        let Ok(result) = timeout(self.deadline, reply).await else {
            let silence = error("no reply in time");
            let _ = self.end.set(Some(reason(&silence)));
            self.kill();
            return Err(silence);
        };
        if let Err(error) = &result
            && breaks_connection(error)
        {
            self.give_up(error);
            if code(error).is_none() && self.written.bytes() == written {
                return Err(unsent()); // the driver has ended, so nothing will be sent any more
            }
        }
        result
    }
}
