//! A load of jobs, worker processes, and somebody who disturbs them while it lasts; then peace,
//! the last jobs, and the judgement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::child::{Post, Setup};
use crate::fleet::Fleet;
use crate::ledger::{Ledger, Sign};
use crate::lost_replies::held;
use crate::producer::{Producer, Pushed};
use crate::support::{PATIENCE, Server};
use crate::toil;
use crate::verdict::{Account, Verdict, judge};

/// How a campaign goes.
pub struct Plan {
    /// The server under attack.
    pub server: Server,
    /// The way of the workers to it, if not the straight one.
    pub url: Option<String>,
    /// The engine's own times instead of short ones.
    pub unhurried: bool,
    pub concurrency: usize,
    pub graces: Vec<Duration>,
    /// At least so many jobs, so many a second.
    pub jobs: usize,
    pub pace: f64,
    /// Says where it is, every few seconds, under this name.
    pub talks: Option<&'static str>,
}

impl Plan {
    /// A small load and short times.
    pub fn brisk(server: Server, jobs: usize, pace: f64) -> Plan {
        let (graces, concurrency) = (vec![Duration::from_millis(40), Duration::from_secs(2)], 2);
        Plan { server, url: None, unhurried: false, concurrency, graces, jobs, pace, talks: None }
    }
}

/// What whoever disturbs has to do with.
pub struct Field {
    pub server: Server,
    pub ledger: Ledger,
    pub fleet: Fleet,
}

impl Field {
    /// Notes that Redis, or the way to it, is disturbed for as long as this takes.
    pub async fn disturbed(&mut self, disturb: impl AsyncFnOnce(&mut Field)) {
        self.ledger.mark(Sign::Fault, "redis").await;
        disturb(self).await;
        self.ledger.mark(Sign::Healed, "redis").await;
    }
}

/// Four workers under a load, disturbed again and again until all is enqueued and at least
/// `times` times. Returns the verdict and how often it was.
pub async fn campaign(
    plan: Plan,
    times: usize,
    mut disturb: impl AsyncFnMut(&mut Field, usize),
) -> (Verdict, usize) {
    let Plan { server, url, unhurried, concurrency, graces, jobs, pace, talks } = plan;
    let archive = Server::start().await;
    let ledger = Ledger::on(archive.redis());
    let post = Some(Post { name: String::new(), ledger: archive.url() });
    let url = url.unwrap_or_else(|| server.url());
    let setup = Setup { url, concurrency, unhurried, post, ..Setup::new(&server) };
    let fleet = Fleet::start(setup, &graces, ledger.clone(), 4);
    let mut field = Field { server, ledger, fleet };
    let producer = Producer::start(field.server.redis(), pace);
    let talking = talks.map(|name| talk(name, field.ledger.clone(), producer.pushed.clone()));
    let mut number = 0;
    while producer.count() < jobs || number < times {
        disturb(&mut field, number).await;
        number += 1;
    }
    let pushed = producer.end().await;
    let verdict = peace(&mut field, pushed, if unhurried { 5_000 } else { 200 }).await;
    drop(talking);
    (verdict, number)
}

/// Lets everything come to its end, and judges.
async fn peace(field: &mut Field, pushed: Pushed, beat: u64) -> Verdict {
    let Field { server, ledger, fleet } = field;
    fleet.thaw_all(server).await;
    drained(server, ledger).await;
    fleet.alone(server).await;
    fleet.end().await;
    let record = ledger.read().await;
    let names = |jobs: &[(String, u32)]| jobs.iter().map(|(jid, _)| jid.clone()).collect();
    let counter = async |name: &str| -> u64 {
        let ask = format!("HGET roustabout:counters {name}");
        server.query::<Option<u64>>(&ask).await.unwrap_or(0)
    };
    let account = Account {
        enqueued: names(&pushed.certain),
        doubtful: names(&pushed.doubtful),
        buried: buried(server).await,
        rescued: counter("rescued").await,
        interrupted: counter("interrupted").await,
        given_back: fleet.given_back(),
        processed: server.query::<Option<u64>>("GET stat:processed").await.unwrap_or(0),
        beat,
    };
    let mut verdict = judge(&record, &account);
    // who buries may die before the beat that brings the number
    if counter("poisoned").await > account.buried.len() as u64 {
        verdict.wrong.push(format!("more counted as poisoned than {:?}", account.buried));
    }
    leftovers(server, &mut verdict).await;
    let jobs = pushed.certain.iter().filter(|(jid, _)| !account.buried.contains(jid));
    for (jid, steps) in jobs.filter(|(_, steps)| *steps > 0) {
        let done: u32 = ledger.ask(&["SCARD", &toil::done(jid)]).await;
        if done != *steps {
            verdict.wrong.push(format!("{jid} did {done} of its {steps} steps"));
        }
    }
    tell(&verdict, fleet);
    verdict
}

/// Waits until no job is anywhere: as long as there is progress. Failed ones need not wait for
/// their time.
async fn drained(server: &Server, ledger: &Ledger) {
    let (mut seen, mut at) = (0, Instant::now());
    loop {
        let failed: Vec<String> = server.query("ZRANGE retry 0 -1").await;
        for member in failed {
            let mut hurry = redis::cmd("ZADD");
            hurry.arg("retry").arg("XX").arg(0).arg(member);
            let () = hurry.query_async(&mut server.connect().await).await.expect("an answer");
        }
        let waiting = "EXISTS queue:default queue:steps retry schedule";
        if server.query::<u32>(waiting).await == 0 && held(server).await == 0 {
            return;
        }
        let length = ledger.length().await;
        if length > seen {
            (seen, at) = (length, Instant::now());
        }
        assert!(at.elapsed() < PATIENCE, "jobs are left and none of them runs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The dead set: poison only, each with its deaths.
async fn buried(server: &Server) -> Vec<String> {
    let dead: Vec<String> = server.query("ZRANGE dead 0 -1").await;
    let jid = |payload: String| {
        let payload: serde_json::Value = serde_json::from_str(&payload).expect("JSON");
        assert_eq!(payload["error_class"], "Poison", "{payload}");
        let message = payload["error_message"].as_str().expect("a message");
        assert!(message.contains("died 3 times"), "{payload}");
        payload["jid"].as_str().expect("a jid").to_owned()
    };
    dead.into_iter().map(jid).collect()
}

/// What the keys of totals begin with, and those of the metrics of each class.
const COUNTS: [&str; 7] =
    ["stat:", "j|", "h|", "Toil-", "Steps-", "roustabout:runs", "roustabout:history:"];

/// Nothing of the engine's is left but its counters and what it remembers about names.
async fn leftovers(server: &Server, verdict: &mut Verdict) {
    let mut keys: Vec<String> = server.query("KEYS *").await;
    let kept =
        ["queues", "dead", "roustabout:counters", "roustabout:rescues", "roustabout:cron-keeper"];
    let passing = |key: &str| {
        // these expire; of a process that was killed nobody deletes them
        [":work", ":workers"].iter().any(|end| key.ends_with(end))
            || ["roustabout:beats:", "roustabout:unbroken", "roustabout:history:"]
                .iter()
                .any(|start| key.starts_with(start))
            || COUNTS.iter().any(|start| key.starts_with(start))
    };
    keys.retain(|key| !kept.contains(&key.as_str()) && !passing(key));
    let mut queues: Vec<String> = server.query("SMEMBERS queues").await;
    queues.sort_unstable();
    if !keys.is_empty() || queues != ["default", "steps"] {
        verdict.wrong.push(format!("left behind: {keys:?}, queues: {queues:?}"));
    }
}

/// The details of what is wrong, with the logs of those concerned.
fn tell(verdict: &Verdict, fleet: &Fleet) {
    for line in verdict.unexplained.iter().chain(&verdict.wrong).take(5) {
        eprintln!("{line}");
        for name in line.split('"').filter(|word| word.starts_with('w')) {
            eprintln!("--- {name}\n{}", fleet.log(name));
        }
    }
    for jid in verdict.lost.iter().take(5) {
        eprintln!("lost: {jid}");
    }
}

/// Ends with this.
struct Talking(JoinHandle<()>);

impl Drop for Talking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A line on stderr every few seconds.
fn talk(name: &'static str, ledger: Ledger, pushed: Arc<Mutex<Pushed>>) -> Talking {
    let began = Instant::now();
    Talking(tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let lines = ledger.length().await;
            let jobs = pushed.lock().expect("no panic").certain.len();
            let seconds = began.elapsed().as_secs();
            eprintln!("{name}: {seconds:3} s, {jobs} jobs enqueued, about {} runs", lines / 2);
        }
    }))
}
