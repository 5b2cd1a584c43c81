//! Who this process is, in the form that Sidekiq's API and Web UI read.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::jid::random_hex;
use super::options::WorkerOptions;
use super::payload::Seconds;
use super::queues::Resolved;

/// The identity of a worker process and what it tells about itself.
pub(crate) struct Process {
    /// `HOST:PID:NONCE`; on a PaaS host names and pids repeat, the nonce does not.
    pub(crate) identity: String,
    info: Mutex<Value>,
    concurrency: usize,
    /// Whether the queues have weights, or a strict order.
    weighted: bool,
    pub(crate) embedded: bool,
}

/// What changes from beat to beat.
pub(crate) struct Vitals {
    pub(crate) now: f64,
    pub(crate) busy: usize,
    pub(crate) quiet: bool,
    pub(crate) rtt_micros: u128,
}

/// So many queues are told, the first ones: each beat writes them, and nobody reads more.
const TOLD: usize = 100;

impl Process {
    pub(crate) fn new(options: &WorkerOptions, started_at: f64) -> Process {
        let &WorkerOptions { concurrency, embedded, .. } = options;
        let hostname = hostname();
        let pid = std::process::id();
        let identity = format!("{hostname}:{pid}:{}", random_hex::<6>());
        let info = json!({
            "hostname": hostname,
            "started_at": Seconds(started_at),
            "pid": pid,
            "tag": env!("CARGO_PKG_NAME"),
            "concurrency": concurrency,
            "queues": [],
            "weights": [],
            "capsules": {},
            "labels": [],
            "identity": identity,
            "version": env!("CARGO_PKG_VERSION"),
            "embedded": embedded,
        });
        let (info, weighted) = (Mutex::new(info), options.queues.weighted());
        Process { identity, info, concurrency, weighted, embedded }
    }

    /// Which queues it serves from now on: with patterns there are new ones at times.
    pub(crate) fn serves(&self, queues: &[Resolved]) {
        let queues = &queues[..queues.len().min(TOLD)];
        let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        let weight = |queue: &Resolved| if self.weighted { queue.weight } else { 0 };
        let weights: BTreeMap<&str, u32> =
            queues.iter().map(|queue| (queue.name.as_str(), weight(queue))).collect();
        let mode = if self.weighted { "weighted" } else { "strict" };
        let mut info = self.info();
        info["queues"] = json!(names);
        info["weights"] = json!([weights]);
        info["capsules"] = json!({ "default": {
            "concurrency": self.concurrency, "mode": mode, "weights": weights
        } });
    }

    fn info(&self) -> MutexGuard<'_, Value> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The heartbeat record: fields and values in turn. Which of them a reader wants depends on
    /// its version, so all are written.
    pub(crate) fn record(&self, vitals: &Vitals) -> Vec<String> {
        let fields = [
            ("info", self.info().to_string()),
            ("concurrency", self.concurrency.to_string()),
            ("busy", vitals.busy.to_string()),
            ("beat", format!("{:.6}", vitals.now)),
            ("quiet", vitals.quiet.to_string()),
            ("rss", resident_kib().to_string()),
            ("rtt_us", vitals.rtt_micros.to_string()),
        ];
        fields.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

/// `DYNO` (`worker.1`) where the platform gives one, else the machine's name.
fn hostname() -> String {
    let dyno = std::env::var("DYNO").ok().filter(|dyno| !dyno.is_empty());
    let name = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = dyno.or_else(name).or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "localhost".to_owned())
}

/// Resident memory of this process in KiB; 0 where the system does not tell.
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_what_every_sidekiq_reads() {
        let queue = |name: &str| Resolved { name: name.into(), key: String::new(), weight: 7 };
        let options = WorkerOptions { embedded: true, ..WorkerOptions::default() };
        let process = Process::new(&options, 1_700_000_000.0);
        process.serves(&[queue("a"), queue("b")]);
        let vitals = Vitals { now: 1_700_000_001.5, busy: 2, quiet: false, rtt_micros: 90 };
        let record = process.record(&vitals);
        let value = |name: &str| &record[record.iter().position(|word| word == name).unwrap() + 1];
        let info: Value = serde_json::from_str(value("info")).unwrap();
        assert_eq!(info["capsules"]["default"]["mode"], "strict");
        assert_eq!(info["weights"], json!([{"a": 0, "b": 0}]));
        assert!(value("info").contains("\"started_at\":1700000000.0"));
        assert_eq!(
            (value("quiet").as_str(), value("beat").as_str()),
            ("false", "1700000001.500000")
        );
        assert_eq!(
            (&info["identity"], &info["embedded"]),
            (&json!(process.identity), &json!(true))
        );
    }
}
