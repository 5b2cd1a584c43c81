//! Taking jobs: one script call for many, over all queues that may have some.

use std::collections::HashSet;
use std::sync::Arc;

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd, from_redis_value, pipe};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::delivery::{Delivery, Field};
use super::errors::{breaks_connection, code, unfit};
use super::finish::Finisher;
use super::inflight::Inflight;
use super::keys;
use super::lookout::Lookout;
use super::queues::{QueueList, Resolved, shuffle};
use super::refusals::Refusals;
use super::scripts;
use super::session::{Lease, Session};
use super::suspects;
use super::wakes::Dirty;

/// Jobs at most per call.
pub(crate) const MAX_JOBS: usize = 1_000;
/// Payload bytes per call, about: it ends with the step that reaches this.
const MAX_BYTES: usize = 4 << 20;
/// Jobs at most per RPOP and HSET inside the call, since Lua can hand over some thousand words
/// only; and in its first step, which shows how large they are: few if the last ones were large.
const MAX_STEP: usize = 500;
const FIRST_STEP: std::ops::RangeInclusive<usize> = 2..=16;
/// Queues per call, for the same reason; the others stay dirty and come next.
const MAX_QUEUES: usize = 1_000;

/// Takes jobs from the queues that this process serves.
pub(crate) struct Fetcher {
    session: Arc<Session>,
    inflight: Arc<Inflight>,
    finisher: Arc<Finisher>,
    decided: mpsc::UnboundedReceiver<Vec<Arc<Delivery>>>,
    list: QueueList,
    known: HashSet<String>,
    serving: Vec<Resolved>,
    batch: u64,
    first_step: usize,
    lookout: Lookout,
    refusals: Refusals,
    rest: Instant,
    /// Whether it was said that some names cannot be served.
    said: bool,
}

/// What a fetch brought.
#[derive(Default)]
struct Taken {
    deliveries: Vec<Arc<Delivery>>,
    /// The queues that may have more. The others are empty, and will be heard of.
    rest: Vec<String>,
    /// Some jobs have outlived their processes; perhaps these.
    rescues: bool,
}

impl Fetcher {
    /// `known`: queues to reckon with even if nobody has pushed to them in Sidekiq's way.
    pub(crate) fn new(
        session: Arc<Session>,
        inflight: Arc<Inflight>,
        finisher: Arc<Finisher>,
        decided: mpsc::UnboundedReceiver<Vec<Arc<Delivery>>>,
        list: QueueList,
        known: impl IntoIterator<Item = String>,
    ) -> Fetcher {
        let known: HashSet<String> = known.into_iter().collect();
        let refusals = session.redis.complaints().about("hand out jobs");
        let mut fetcher = Fetcher {
            session,
            inflight,
            finisher,
            decided,
            list,
            known,
            serving: Vec::new(),
            batch: 0,
            first_step: *FIRST_STEP.start(),
            lookout: Lookout::new(),
            refusals,
            rest: Instant::now(),
            said: false,
        };
        fetcher.resolve();
        fetcher
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
                self.read(reply, &queues)
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
            write.add_command(self.finisher.removal(&riders));
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
        let mut fetch = cmd("EVALSHA");
        fetch.arg(scripts::FETCH.get_hash()).arg(queues.len());
        for name in queues {
            fetch.arg(keys::queue(name));
        }
        fetch.arg(self.session.identity()).arg(lease.number);
        fetch.arg(&self.session.inflight_key).arg(self.batch);
        fetch.arg(permits).arg(self.first_step).arg(MAX_STEP).arg(MAX_BYTES).arg(keys::RESCUES);
        fetch.arg(queues);
        fetch
    }

    fn read(&self, reply: Vec<Value>, queues: &[String]) -> Taken {
        let mut words = reply.into_iter();
        let rescues = words.next() == Some(Value::Int(1));
        let empty: HashSet<usize> =
            words.next().and_then(|list| from_redis_value(list).ok()).unwrap_or_default();
        let rest = queues.iter().enumerate().filter(|(k, _)| !empty.contains(&(k + 1)));
        let rest = rest.map(|(_, name)| keys::queue(name)).collect();
        let mut deliveries = Vec::with_capacity(words.len());
        while let (Some(Value::Int(queue)), Some(Value::Int(jobs))) = (words.next(), words.next()) {
            let queue: Arc<str> = queues[queue as usize - 1].as_str().into();
            for raw in words.by_ref().take(jobs as usize) {
                let Value::BulkString(raw) = raw else {
                    continue;
                };
                let field = Field { batch: self.batch, index: deliveries.len() as u32 + 1 };
                deliveries.push(Delivery::new(field, queue.clone(), raw));
            }
        }
        Taken { deliveries, rest, rescues }
    }

    /// The queues to look at now, in the order in which to take from them.
    async fn candidates(&mut self, lease: &Lease, dirty: &Dirty) -> RedisResult<Vec<String>> {
        let mut fresh = HashSet::new();
        for key in &dirty.queues {
            let name = key.strip_prefix(keys::QUEUE_PREFIX).unwrap_or(key);
            if !self.known.contains(name) {
                self.known.insert(name.to_owned());
                fresh.insert(name.to_owned());
            }
        }
        // a name that we added to the set ourselves: that write ended its tracking without a word
        let added = !fresh.is_empty();
        if dirty.all || dirty.names || added {
            fresh.extend(self.read_names(lease).await?);
        }
        if !fresh.is_empty() {
            self.resolve();
        }
        let wanted = |queue: &Resolved| {
            dirty.all || fresh.contains(&queue.name) || dirty.queues.contains(&queue.key)
        };
        let mut queues: Vec<&Resolved> = self.serving.iter().filter(|q| wanted(q)).collect();
        if self.list.weighted() {
            shuffle(&mut queues, |queue| queue.weight);
        }
        let rest = queues.split_off(queues.len().min(MAX_QUEUES));
        self.session.redis.wakes().put_back(rest.into_iter().map(|queue| queue.key.clone()));
        Ok(queues.into_iter().map(|queue| queue.name.clone()).collect())
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
        let names = names.into_iter().flatten();
        Ok(names.filter(|name| self.known.insert(name.clone())).collect())
    }

    fn resolve(&mut self) {
        let known: Vec<String> = self.known.iter().cloned().collect();
        self.serving = self.list.resolve(&known);
        self.session.process.serves(&self.serving);
    }
}
