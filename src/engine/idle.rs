//! Whether there is nothing left to do: for a worker that is to run until then.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::{RedisResult, pipe};
use tokio::time::sleep;

use super::keys;
use super::queues::QueueList;
use super::redis::Redis;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks at the queues that a worker serves, and at what all workers have in hand.
pub(crate) struct Idle {
    /// A connection of its own: what is read on the worker's wakes the worker.
    pub(crate) redis: Redis,
    pub(crate) list: QueueList,
    /// Queues to reckon with even if nobody has named them.
    pub(crate) known: Vec<String>,
}

type Names = BTreeSet<Vec<u8>>;

/// Which queues, processes and paused queues there are.
type Seen = (Names, Names, Names);

impl Idle {
    /// Resolves when the queues are empty and nothing runs.
    pub(crate) async fn reached(&self) {
        let mut seen = Default::default();
        loop {
            // an error: Redis is away, so nobody knows
            if let Ok((there, names)) = self.look(&seen).await {
                if there == 0 && names == seen {
                    return;
                }
                seen = names;
            }
            sleep(PAUSE).await;
        }
    }

    /// How many of the lists and hashes of these queues and processes are there, but for paused
    /// ones, and which there are by now: all at the same moment, since jobs move between them.
    async fn look(&self, (queues, owners, paused): &Seen) -> RedisResult<(usize, Seen)> {
        let text = |name: &Vec<u8>| String::from_utf8(name.clone()).ok();
        let names: Vec<String> = queues.iter().filter_map(text).chain(self.known.clone()).collect();
        let mut look = pipe();
        look.atomic().cmd("EXISTS").arg(keys::PROBE);
        let served = self.list.resolve(&names).into_iter();
        let served = served.filter(|queue| !paused.contains(queue.name.as_bytes()));
        look.arg(served.map(|queue| queue.key).collect::<Vec<_>>());
        look.arg(owners.iter().filter_map(text).map(|it| keys::inflight(&it)).collect::<Vec<_>>());
        look.cmd("SMEMBERS").arg(keys::QUEUES).cmd("SMEMBERS").arg(keys::OWNERS);
        look.cmd("SMEMBERS").arg(keys::PAUSED);
        let (there, queues, owners, paused) = self.redis.pipe(&look).await?;
        Ok((there, (queues, owners, paused)))
    }
}
