//! Where a delivery stands in the in-flight hash.

use std::fmt;

/// The place of a delivery in the in-flight hash: which fetch brought it, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) batch: u64,
    pub(crate) index: u32,
}

/// The name of a field of an in-flight hash, `BATCH:INDEX:QUEUE`, taken apart.
pub(crate) fn split_name(name: &str) -> Option<(Field, &str)> {
    let mut parts = name.splitn(3, ':');
    let (batch, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((Field { batch, index }, parts.next()?))
}

impl Field {
    /// How the set of what is in progress in a queue points to it.
    pub(crate) fn member(self, identity: &str) -> String {
        format!("{self}:{identity}")
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.batch, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_split() {
        assert_eq!(split_name("1:2:a:b"), Some((Field { batch: 1, index: 2 }, "a:b")));
        for bad in ["", "1", "1:2", "x:2:a", "1:-2:a", "1::a"] {
            assert!(split_name(bad).is_none());
        }
    }
}
