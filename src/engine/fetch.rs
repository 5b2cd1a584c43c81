//! Taking jobs: one script call for many, over all queues that may have some.

use std::collections::HashSet;
use std::sync::Arc;

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd, pipe};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::delivery::Delivery;
use super::errors::{breaks_connection, code, unfit};
use super::finish::{Finisher, removal};
use super::inflight::Inflight;
use super::keys;
use super::limits::Alarms;
use super::lookout::Lookout;
use super::refusals::Refusals;
use super::scripts;
use super::serving::Serving;
use super::session::{Lease, Session};
use super::suspects;
use super::taken::Taken;
use super::wakes::Dirty;

/// Jobs at most per call.
pub(crate) const MAX_JOBS: usize = 1_000;
/// Payload bytes per call, about: it ends with the step that reaches this.
const MAX_BYTES: usize = 4 << 20;
/// Jobs at most per RPOP and HSET inside the call, since Lua can hand over some thousand words
/// only; and in its first step, which shows how large they are: few if the last ones were large.
const MAX_STEP: usize = 500;
const FIRST_STEP: std::ops::RangeInclusive<usize> = 2..=16;

/// Takes jobs from the queues that this process serves.
pub(crate) struct Fetcher {
    session: Arc<Session>,
    inflight: Arc<Inflight>,
    finisher: Arc<Finisher>,
    decided: mpsc::UnboundedReceiver<Vec<Arc<Delivery>>>,
    serving: Serving,
    alarms: Alarms,
    batch: u64,
    first_step: usize,
    lookout: Lookout,
    refusals: Refusals,
    rest: Instant,
    /// Whether it was said that some names cannot be served.
    said: bool,
}

impl Fetcher {
    pub(crate) fn new(
        session: Arc<Session>,
        inflight: Arc<Inflight>,
        finisher: Arc<Finisher>,
        decided: mpsc::UnboundedReceiver<Vec<Arc<Delivery>>>,
        serving: Serving,
    ) -> Fetcher {
        let refusals = session.redis.complaints().about("hand out jobs");
        session.process.serves(serving.queues());
        Fetcher {
            session,
            inflight,
            finisher,
            decided,
            serving,
            alarms: Alarms::default(),
            batch: 0,
            first_step: *FIRST_STEP.start(),
            lookout: Lookout::new(),
            refusals,
            rest: Instant::now(),
            said: false,
        }
    }

    /// When a queue whose starts were used up may start the next one.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        self.alarms.next()
    }

    /// Resolves when the next fetch makes sense: some time after one that was refused.
    pub(crate) async fn rested(&self) {
        sleep_until(self.rest).await;
    }

    /// Takes up to `permits` jobs from the queues that changed, or from all with `full`.
    /// Do not drop this future: a request without a reader of its reply strands its jobs until
    /// the next registration.
    pub(crate) async fn fetch(
        &mut self,
        lease: &Lease,
        permits: usize,
        full: bool,
    ) -> Vec<Arc<Delivery>> {
        let mut dirty = self.session.redis.wakes().take();
        dirty.all |= full;
        dirty.queues.extend(self.alarms.due(Instant::now()));
        match self.candidates(lease, &dirty).await {
            Err(error) => {
                self.refused(&error);
                self.session.redis.wakes().everything();
                Vec::new()
            }
            Ok(queues) if queues.is_empty() => Vec::new(),
            Ok(queues) => self.take(lease, queues, permits.min(MAX_JOBS)).await,
        }
    }

    async fn take(
        &mut self,
        lease: &Lease,
        queues: Vec<String>,
        permits: usize,
    ) -> Vec<Arc<Delivery>> {
        self.batch += 1;
        self.inflight.awaits(self.batch);
        let fetch = self.command(lease, &queues, permits);
        let wakes = self.session.redis.wakes().clone();
        let taken = match self.ask(lease, &fetch).await {
            Ok(Some(reply)) => {
                self.refusals.passed();
                Taken::read(reply, &queues, self.batch, &self.serving)
            }
            Ok(None) => {
                self.session.renew_if(lease.number); // it is gone: nothing was taken
                let rest = queues.iter().map(|name| keys::queue(name)).collect();
                Taken { rest, ..Taken::default() }
            }
            Err(error) => {
                wakes.put_back(queues.into_iter().map(|name| keys::queue(&name)));
                return self.decide(lease, error).await;
            }
        };
        self.inflight.enter(&taken.deliveries);
        if let Some(largest) = taken.deliveries.iter().map(|delivery| delivery.raw.len()).max() {
            let (few, many) = FIRST_STEP.into_inner();
            self.first_step = (MAX_BYTES / many / largest.max(1)).clamp(few, many);
        }
        if taken.rescues {
            suspects::find(&self.session, &taken.deliveries).await;
        }
        if !taken.rest.is_empty() {
            wakes.put_back(taken.rest);
        }
        taken.waits.into_iter().for_each(|(key, until)| self.alarms.set(key, until));
        taken.deliveries
    }

    /// Either the reply is lost, and with it the knowledge whether the script ran: the connection
    /// is closed, so the next registration fences it off and sees what it did. Or the script ended
    /// with an error, perhaps after it had taken some: that too a registration sees.
    async fn decide(&mut self, lease: &Lease, error: RedisError) -> Vec<Arc<Delivery>> {
        self.refused(&error);
        self.inflight.doubts(self.batch);
        if breaks_connection(&error) {
            lease.connection.kill();
        }
        self.session.renew();
        let decided = self.decided.recv().await.unwrap_or_default();
        decided.iter().for_each(|delivery| self.serving.mark(delivery));
        suspects::find(&self.session, &decided).await;
        decided
    }

    fn refused(&mut self, error: &RedisError) {
        self.rest = Instant::now() + self.refusals.note(error);
    }

    /// A script that the server does not know is loaded first.
    async fn ask(&mut self, lease: &Lease, fetch: &Cmd) -> RedisResult<Option<Vec<Value>>> {
        match self.request(lease, fetch).await {
            Err(error) if code(&error).as_deref() == Some("NOSCRIPT") => {
                lease.connection.load(&scripts::FETCH).await?;
                self.request(lease, fetch).await
            }
            answer => answer,
        }
    }

    /// One write: the removal of what has ended in the meantime, then the fetch.
    async fn request(&mut self, lease: &Lease, fetch: &Cmd) -> RedisResult<Option<Vec<Value>>> {
        self.finisher.expect_fetch(false);
        let riders = self.finisher.board();
        let mut write = pipe();
        if !riders.is_empty() {
            write.add_command(removal(&self.session, &riders));
        }
        write.add_command(fetch.clone());
        let mut replies = match self.lookout.reply(lease.connection.each(&mut write)).await {
            Ok(replies) => replies.into_iter(),
            Err(error) => {
                self.finisher.arrived(riders, Err(error.clone()));
                return Err(error);
            }
        };
        if !riders.is_empty() {
            let removed = replies.next().unwrap_or(Ok(Value::Nil));
            let removed = removed.and_then(|n| usize::from_redis_value(n).map_err(|e| unfit(&e)));
            self.finisher.arrived(riders, removed);
        }
        let taken = replies.next().unwrap_or(Ok(Value::Nil))?;
        Option::from_redis_value(taken).map_err(|error| unfit(&error))
    }

    fn command(&self, lease: &Lease, queues: &[String], permits: usize) -> Cmd {
        let limits = queues.iter().enumerate();
        let limits = limits.filter_map(|(k, name)| Some((k + 1, name, self.serving.limit(name)?)));
        let sets = limits.clone().filter(|(.., limit)| limit.running.is_some());
        let sets: Vec<String> = sets.map(|(_, name, _)| keys::running(name)).collect();
        let mut fetch = cmd("EVALSHA");
        fetch.arg(scripts::FETCH.get_hash()).arg(queues.len() + 1 + sets.len());
        for name in queues {
            fetch.arg(keys::queue(name));
        }
        fetch.arg(keys::PAUSED).arg(sets);
        fetch.arg(self.session.identity()).arg(lease.number);
        fetch.arg(&self.session.inflight_key).arg(self.batch);
        fetch.arg(permits).arg(self.first_step).arg(MAX_STEP).arg(MAX_BYTES).arg(keys::RESCUES);
        fetch.arg(queues.len()).arg(queues);
        limits.for_each(|(k, name, limit)| {
            fetch.arg(k).arg(&limit.words(name));
        });
        fetch
    }

    /// The queues to look at now, in the order in which to take from them.
    async fn candidates(&mut self, lease: &Lease, dirty: &Dirty) -> RedisResult<Vec<String>> {
        let fresh = match self.serving.outdated(dirty) {
            true => self.read_names(lease).await?,
            false => HashSet::new(),
        };
        let (queues, rest) = self.serving.choose(dirty, &fresh);
        self.session.redis.wakes().put_back(rest);
        Ok(queues)
    }

    /// Reads the set of names (which also arms its tracking); returns those that are new.
    async fn read_names(&mut self, lease: &Lease) -> RedisResult<HashSet<String>> {
        let mut read = cmd("SMEMBERS");
        read.arg(keys::QUEUES);
        let names: Vec<Vec<u8>> = lease.connection.query(&read).await?;
        // a name that is not UTF-8 cannot be in `QUEUES` either, nor in any payload
        let (names, odd): (Vec<_>, Vec<_>) =
            names.into_iter().map(String::from_utf8).partition(Result::is_ok);
        if let Some(Err(odd)) = odd.first()
            && !std::mem::replace(&mut self.said, true)
        {
            let queue = odd.as_bytes().escape_ascii().to_string();
            tracing::warn!(queue, "a queue whose name is not UTF-8 is not served");
        }
        let fresh = self.serving.names(names.into_iter().flatten().collect());
        if fresh.is_some() {
            self.session.process.serves(self.serving.queues());
        }
        Ok(fresh.unwrap_or_default())
    }
}
