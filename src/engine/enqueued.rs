//! What a caller gets for a job.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

/// A job that is enqueued: its jid, as which this can be used, and whether it was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    jid: String,
    existed: bool,
}

impl Enqueued {
    /// It is there by this push, or, if another job of the same kind has its lock, it is that one.
    pub(crate) fn new(jid: String, holder: Option<String>) -> Enqueued {
        let existed = holder.is_some();
        Enqueued { jid: holder.unwrap_or(jid), existed }
    }

    /// The job's id; of the one that was there before, if so.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// Whether nothing was enqueued because a job of the same kind (see `Job::UNIQUE_FOR`) waits
    /// or runs already.
    pub fn existed(&self) -> bool {
        self.existed
    }
}

impl Deref for Enqueued {
    type Target = str;

    fn deref(&self) -> &str {
        &self.jid
    }
}

impl fmt::Display for Enqueued {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.jid)
    }
}

/// As its jid.
impl Serialize for Enqueued {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.jid)
    }
}

impl From<Enqueued> for String {
    fn from(enqueued: Enqueued) -> String {
        enqueued.jid
    }
}
