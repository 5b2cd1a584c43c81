//! All that a job may ask for at once, while processes are killed, frozen and stopped, replies get
//! lost and scripts are forgotten. Afterwards the books are looked at: every job has come to the end
//! that it had to, and nothing is left of it, no lock, no share of a limit, no delivery.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use roustabout::engine::{Client, Failed, Job, JobContext, Payload, Retry, State, Stop, inspect};
use serde::{Deserialize, Serialize};

use crate::child::{Book, Child, Note, Setup, diary};
use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{Server, client, eventually};

const HOUR: Duration = Duration::from_secs(3_600);

/// How a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Way {
    Ends,
    Steps,
    Snoozes,
    Fails,
    GivesUp,
    IsLate,
    IsCancelled,
}

const WAYS: [Way; 7] =
    [Way::Ends, Way::Steps, Way::Snoozes, Way::Fails, Way::GivesUp, Way::IsLate, Way::IsCancelled];

/// What happens to what.
const FAULTS: [Fault; 3] = [Fault::Close, Fault::Mute, Fault::Delay];
const KINDS: [Kind; 8] = [
    Kind::Register,
    Kind::Fetch,
    Kind::Adopt,
    Kind::Ending,
    Kind::Checkpoint,
    Kind::Beat,
    Kind::Requeue,
    Kind::Leave,
];

/// One of a number at a time, in a limited queue, under the eyes of whoever asks.
#[derive(Serialize, Deserialize)]
pub struct Anything {
    number: u32,
    way: Way,
}

impl Job for Anything {
    type App = Book;
    const CLASS: &'static str = "Anything";
    const QUEUE: &'static str = "any";
    const RETRY: Retry = Retry::Times(1);
    const RETRY_QUEUE: Option<&'static str> = Some("again");
    const UNIQUE_FOR: Option<Duration> = Some(HOUR);
    const STATUS_FOR: Option<Duration> = Some(HOUR);

    fn unique_by(&self) -> impl Serialize {
        self.number
    }

    fn retry_in(_: u32) -> Option<Duration> {
        Some(Duration::from_millis(50))
    }

    fn on_death(self, death: &Failed) -> Option<Payload> {
        Payload::of(&Note { name: format!("will of {}", death.jid) }).ok()
    }

    async fn perform(self, cx: JobContext<Book>) -> anyhow::Result<()> {
        cx.message(format!("{:?}", self.way));
        match self.way {
            Way::Ends => cx.result(self.number),
            Way::Steps => steps(&cx, 10).await,
            Way::IsCancelled => steps(&cx, u64::MAX).await,
            Way::Snoozes if cx.app.first(cx.jid()).await? => {
                Err(Stop::Snooze(Duration::from_millis(100)).into())
            }
            Way::Snoozes => Ok(()),
            Way::Fails => anyhow::bail!("as it has to"),
            Way::GivesUp => Err(Stop::Kill.into()),
            Way::IsLate => cx.app.note("late".into()).await,
        }
    }
}

async fn steps(cx: &JobContext<Book>, all: u64) -> anyhow::Result<()> {
    for step in cx.cursor::<u64>().await?.unwrap_or(0)..all {
        tokio::time::sleep(Duration::from_millis(20)).await;
        cx.progress(step + 1, all);
        cx.checkpoint(step + 1).await?;
    }
    Ok(())
}

/// What was enqueued.
#[derive(Default)]
struct Books {
    jobs: HashMap<String, Way>,
    refused: usize,
}

impl Books {
    /// One of each way; and of each another one, which is not needed.
    async fn enqueue(&mut self, client: &Client, round: u32) {
        for (at, way) in WAYS.into_iter().enumerate() {
            let number = round * WAYS.len() as u32 + at as u32;
            for _ in 0..2 {
                let mut payload = Payload::of(&Anything { number, way }).unwrap();
                if way == Way::IsLate {
                    payload.set("expires_in_secs", 0);
                }
                let enqueued = client.push(payload).await.unwrap();
                if enqueued.existed() {
                    self.refused += 1;
                } else {
                    self.jobs.insert(enqueued.jid().to_owned(), way);
                }
            }
        }
    }

    async fn cancel(&self, server: &Server) {
        let redis = server.redis();
        for (jid, _) in self.jobs.iter().filter(|(_, way)| **way == Way::IsCancelled) {
            inspect::cancel(&redis, jid).await.unwrap();
        }
    }

    /// Every job has come to its end, and those that had to are in the dead set, each once, and
    /// have left their will.
    async fn close(&self, server: &Server) {
        let client = client(server);
        let dead = dead(server).await;
        let wills: HashSet<String> = diary(server).await.into_iter().collect();
        assert_eq!(dead.len(), dead.iter().collect::<HashSet<_>>().len(), "buried twice");
        for jid in &dead {
            assert!(wills.contains(&format!("will of {jid}")), "no will of {jid}");
        }
        for (jid, way) in &self.jobs {
            let buried = dead.contains(jid);
            let ends = match way {
                Way::Fails | Way::GivesUp => (State::Dead, true),
                Way::IsLate | Way::IsCancelled => (State::Dead, false),
                _ if buried => (State::Dead, true), // it was there at too many deaths
                _ => (State::Done, false),
            };
            let status = client.status(jid).await.unwrap().expect("a status");
            assert!(
                (status.state, buried) == ends || (buried && status.state == State::Dead),
                "{jid} {way:?}: {status:?}"
            );
        }
    }
}

async fn dead(server: &Server) -> Vec<String> {
    let dead: Vec<String> = server.query("ZRANGE dead 0 -1").await;
    let jid = |raw: &String| Payload::parse(raw.as_bytes()).unwrap().jid();
    dead.iter().map(jid).collect()
}

/// Jobs that have not ended; in one step, because they move.
async fn waiting(server: &Server) -> usize {
    const COUNT: &str = "local n = redis.call('EXISTS', unpack(ARGV)) \
                         for _, key in ipairs(redis.call('KEYS', 'roustabout:inflight:*')) do \
                           n = n + redis.call('HLEN', key) \
                         end \
                         return n";
    let mut count = redis::cmd("EVAL");
    count.arg(COUNT).arg(0).arg(&[
        "queue:any",
        "queue:again",
        "queue:default",
        "retry",
        "schedule",
    ]);
    count.query_async(&mut server.connect().await).await.unwrap()
}

fn fault<T: Copy>(all: &[T]) -> T {
    all[fastrand::usize(..all.len())]
}

/// One thing that happens in operation.
async fn strike(server: &Server, children: &mut [Child], setups: &[Setup], round: usize) {
    let at = round % children.len();
    match fastrand::usize(..8) {
        0..3 => {
            children[at].kill();
            children[at] = setups[at].start();
        }
        3 => {
            // for longer than its record lives
            children[at].signal("STOP");
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..4_000))).await;
            children[at].signal("CONT");
        }
        4 => {
            let leaves = std::mem::replace(&mut children[at], setups[at].start());
            leaves.stop().await;
        }
        5 => server.query("SCRIPT FLUSH").await,
        6 => {
            let () = server.query("CONFIG SET maxmemory 1").await;
            children[at].kill();
            children[at] = setups[at].start();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..2_000))).await;
            server.query("CONFIG SET maxmemory 0").await
        }
        _ => {
            let _: usize = server.query("CLIENT KILL TYPE normal SKIPME yes").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_job_that_has_ended() {
    let rounds = std::env::var("EVERYTHING_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let server = Server::start().await;
    let proxy = Proxy::start(&server).await;
    let limits = Some("any:6,again:2,any:200/s".to_owned());
    let cron = Some("* * * * *".to_owned());
    let grace = Duration::from_millis(300);
    let direct = Setup { limits, cron, grace, ..Setup::new(&server) };
    let setups = [direct.clone(), Setup { url: proxy.url(), ..direct.clone() }, direct];
    let mut children = [setups[0].start(), setups[1].start(), setups[2].start()];
    let (mut books, client) = (Books::default(), client(&server));
    for round in 0..rounds {
        proxy.chaos(30);
        proxy.arm(fault(&KINDS), fault(&FAULTS));
        books.enqueue(&client, round as u32).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..600))).await;
        strike(&server, &mut children, &setups, round).await;
        books.cancel(&server).await;
    }
    proxy.chaos(0);
    proxy.disarm();
    proxy.release();
    eventually("all has ended", async || waiting(&server).await == 0).await;
    books.close(&server).await;
    for left in ["unique", "running", "inflight"] {
        let left: Vec<String> = server.query(&format!("KEYS roustabout:{left}:*")).await;
        assert_eq!(left, [""; 0]);
    }
    assert!(books.refused > 0);
    for child in children {
        child.stop().await;
    }
}
