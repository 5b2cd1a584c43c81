//! What `INFO` says about the server, as far as we care. A managed server may hide parts of it;
//! what is missing counts as fine.

use std::collections::HashMap;

/// Facts about the Redis or Valkey server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerInfo {
    /// `Redis 7.0.15` or `Valkey 8.0.1`; empty if unknown.
    pub version: String,
    /// Bytes in use.
    pub used_memory: u64,
    /// Bytes at most; 0 = no limit of its own.
    pub maxmemory: u64,
    /// What happens at the limit; jobs need `noeviction`. Empty if unknown.
    pub policy: String,
    /// Whether every write goes to a file, in words.
    pub durability: &'static str,
    /// Connections in use.
    pub clients: u64,
    /// Connections at most; 0 if unknown.
    pub maxclients: u64,
    /// Whether it only follows another one, and takes no writes.
    pub replica: bool,
    loading: bool,
    release: Option<(bool, u32, u32)>,
}

impl ServerInfo {
    /// Reads the reply of `INFO`.
    pub fn parse(text: &str) -> ServerInfo {
        let facts: HashMap<&str, &str> =
            text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let text = |name| facts.get(name).copied().unwrap_or_default();
        let number = |name| text(name).parse().unwrap_or(0);
        let (brand, version) = match (text("valkey_version"), text("redis_version")) {
            ("", version) => ("Redis", version),
            (version, _) => ("Valkey", version),
        };
        ServerInfo {
            version: if version.is_empty() { String::new() } else { format!("{brand} {version}") },
            used_memory: number("used_memory"),
            maxmemory: number("maxmemory"),
            policy: text("maxmemory_policy").to_owned(),
            durability: durability(text("aof_enabled"), text("rdb_last_save_time")),
            clients: number("connected_clients"),
            maxclients: number("maxclients"),
            replica: text("role") == "slave",
            loading: text("loading") == "1",
            release: release(brand == "Valkey", version),
        }
    }

    /// The facts that decide whether jobs are safe there and whether connections last, in one
    /// line for the log at boot.
    pub fn summary(&self) -> String {
        let or =
            |text: &str, missing: &str| if text.is_empty() { missing } else { text }.to_owned();
        let version = or(&self.version, "a server of unknown version");
        let policy = or(&self.policy, "eviction policy unknown");
        let most = match self.maxclients {
            0 => String::new(),
            most => format!(" of {most}"),
        };
        let Self { durability, clients, .. } = self;
        format!("{version}, {durability}, {policy}, {clients}{most} connections")
    }

    /// Whether the server may throw away jobs when it is full.
    pub fn evicts(&self) -> bool {
        !self.policy.is_empty() && self.policy != "noeviction"
    }

    /// Why this server can never serve us, if so.
    pub(crate) fn too_old(&self) -> Option<String> {
        let (valkey, major, minor) = self.release?;
        let wanted = if valkey { (7, 2) } else { (7, 0) };
        let old = (major, minor) < wanted;
        old.then(|| format!("{} is too old: Redis 7.0 or Valkey 7.2 at least", self.version))
    }

    /// Why this server cannot serve us now, if so.
    /// For readers a replica is ready.
    pub(crate) fn not_ready(&self, reads: bool) -> Option<String> {
        let reason = match (self.loading, self.replica && !reads) {
            (true, _) => "the server is loading its data (LOADING)",
            (_, true) => "the server is a read-only replica (READONLY)",
            _ => return None,
        };
        Some(reason.to_owned())
    }
}

fn durability(aof: &str, last_save: &str) -> &'static str {
    match (aof, last_save) {
        ("1", _) => "append-only file",
        ("", "") => "durability unknown",
        _ => "no append-only file", // whether snapshots are configured is not in INFO
    }
}

fn release(valkey: bool, version: &str) -> Option<(bool, u32, u32)> {
    let mut parts = version.split('.').map(str::parse);
    Some((valkey, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let check = |text: &str| ServerInfo::parse(text).too_old().is_some();
        assert!(check("redis_version:6.2.14\r\n"));
        assert!(!check("redis_version:7.0.0\r\n"));
        assert!(!check("redis_version:7.2.4\r\nvalkey_version:7.2.5\r\n"));
        assert!(!check("redis_version:7.2.4\r\nvalkey_version:8.0.1\r\n"));
        assert!(!check(""));
        assert!(!check("redis_version:unstable\r\n"));
    }

    #[test]
    fn facts() {
        let info = ServerInfo::parse(
            "redis_version:7.0.15\r\nrole:slave\r\nmaxmemory:26214400\r\naof_enabled:1\r\nmaxclients:20\r\n",
        );
        assert_eq!(info.version, "Redis 7.0.15");
        assert_eq!(
            (info.maxmemory, info.durability, info.maxclients),
            (26_214_400, "append-only file", 20)
        );
        assert_eq!(
            info.summary(),
            "Redis 7.0.15, append-only file, eviction policy unknown, 0 of 20 connections"
        );
        assert!(info.not_ready(false).is_some() && info.not_ready(true).is_none() && info.replica);
    }

    #[test]
    fn no_reply_does_harm() {
        let words = ["redis_version", "valkey_version", ":", ":", "\r\n", "7.", ".", "role", "é"];
        super::super::arbitrary::rounds(1_000, |rng| {
            let info = ServerInfo::parse(&super::super::arbitrary::words(rng, &words));
            assert!(!info.summary().is_empty());
            let _ = (info.too_old(), info.not_ready(false));
        });
    }
}
