//! What the pages work with: the connection of the process, and where that lacks a server that
//! takes writes, one of their own to read from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::trouble::Trouble;
use crate::engine::Redis;
use crate::engine::inspect::Known;

/// A connection is often only about to be replaced: a refusal may have cost it.
const RECONNECTS: Duration = Duration::from_secs(1);

/// What the pages work with.
#[derive(Clone)]
pub struct Desk {
    /// The server that all processes share.
    pub(super) redis: Redis,
    /// What the settings say of queues, and Redis does not.
    pub(super) known: Arc<Known>,
    /// While that server takes no writes.
    reader: Arc<Mutex<Option<Redis>>>,
}

impl Desk {
    /// Over this connection.
    pub fn new(redis: Redis, known: Arc<Known>) -> Desk {
        Desk { redis, known, reader: Arc::default() }
    }

    /// What can be read from: the process's own connection, or, where there is but a replica, one
    /// of the pages'.
    pub(super) async fn to_read(&self) -> Result<Redis, Trouble> {
        if self.lock().is_none() {
            let _ = timeout(RECONNECTS, self.redis.up()).await;
        }
        let lacks = self.redis.status().err();
        let reader = {
            let mut reader = self.lock();
            match lacks {
                Some(_) => reader.get_or_insert_with(|| self.redis.reader()).clone(),
                None => {
                    *reader = None;
                    return Ok(self.redis.clone());
                }
            }
        };
        match timeout(RECONNECTS, reader.up()).await {
            Ok(Ok(())) => Ok(reader),
            _ => Err(Trouble::Away(lacks.unwrap_or_default())),
        }
    }

    /// Whether there is a server that takes writes; or why not.
    pub(super) async fn writable(&self) -> Result<(), String> {
        let _ = timeout(RECONNECTS, self.redis.up()).await;
        self.redis.status()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Redis>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
