//! A mini plan's 25 MB, filled to the brim with somebody else's data, and every byte that becomes
//! free is taken at once. What is there already goes its way: it is fetched, saves, fails, ends, is
//! given back at a stop and taken back from the dead; nobody is taken for dead.

use std::time::{Duration, Instant};

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use roustabout::engine::{Client, EnqueueError, Registry, WorkerOptions};
use tokio::task::JoinHandle;

use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

// by its number: works, fails once, saves cursors
job!(Paced { n: usize, millis: u64 }, |this, cx| {
    let attempt = cx.attempt();
    cx.app.note(format!("{}/{attempt}", this.n));
    let mut at = cx.cursor::<u64>().await?.unwrap_or(0);
    while at < this.millis {
        let step = (this.millis - at).min(20);
        tokio::time::sleep(Duration::from_millis(step)).await;
        at += step;
        if this.n % KINDS == 2 {
            cx.checkpoint(at).await?;
        }
    }
    anyhow::ensure!(this.n % KINDS != 1 || attempt > 1, "no luck the first time");
    Ok(())
});
// outlasts its workers
job!(Endless {}, |_this, cx| {
    cx.app.note("endless");
    while cx.app.count("enough") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
});

const KINDS: usize = 5;
const JOBS: usize = 400;
const WORKERS: usize = 2;
const CONCURRENCY: usize = 5;
/// How often each worker is stopped and another one takes its place.
const STOPS: u32 = 3;

/// What was seen in a full Redis.
#[derive(Debug)]
pub struct Seen {
    pub jobs: usize,
    pub refused: usize,
    pub given_back: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes"]
async fn for_ten_minutes() {
    println!("{:?}", brimful(Duration::from_secs(600)).await);
}

/// Works off a stock of jobs in about this time, in a server without a free byte.
pub async fn brimful(duration: Duration) -> Seen {
    let limit = ["--save", "", "--maxmemory", "25mb", "--maxmemory-policy", "noeviction"];
    let (server, diary) = (Server::with(&limit).await, Diary::default());
    let client = client(&server);
    // the endless one has a place of its own, and what is given back takes its time again
    let places = (WORKERS * CONCURRENCY - 1) as u64;
    let millis = duration.as_millis() as u64 * places / JOBS as u64 * 3 / 4;
    client.enqueue(Endless {}).await.unwrap();
    client.enqueue_all((0..JOBS).map(|n| Paced { n, millis })).await.unwrap();
    // a job of a process long dead
    let () = server.query("HSET roustabout:inflight:ghost 1:1:default {\"class\":\"Paced\",\"args\":[400,0],\"jid\":\"400\"}").await;
    let () = server.query("SADD roustabout:owners ghost").await;
    let filler = fill(server.connect().await);
    eventually("it is full", async || refuses(&client).await).await;
    let mut refused = 0;
    let mut workers = [(); WORKERS].map(|()| Some(worker(&server, &diary)));
    for _ in 0..STOPS {
        for place in &mut workers {
            let until = Instant::now() + duration / (STOPS * WORKERS as u32);
            while Instant::now() < until {
                refused += usize::from(refuses(&client).await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            place.take().expect("it runs").stop().await;
            *place = Some(worker(&server, &diary));
        }
    }
    let ghost =
        async || server.query::<Option<u32>>("HGET roustabout:counters rescued").await == Some(1);
    eventually("all have run", async || diary.count(&format!("{}/1", JOBS - 1)) == 1).await;
    eventually("the ghost's job is back", ghost).await;
    filler.abort();
    finish(&server, &diary).await;
    for worker in workers {
        worker.expect("it runs").stop().await;
    }
    check(&server, &diary, refused).await
}

fn worker(server: &Server, diary: &Diary) -> Running {
    let registry = Registry::new(diary.clone()).job::<Paced>().job::<Endless>();
    let (concurrency, shutdown_timeout) = (CONCURRENCY, Duration::from_millis(100));
    let options = WorkerOptions { concurrency, shutdown_timeout, ttl: TTL, ..brisk() };
    Running::start(options, server.redis(), registry)
}

const TTL: Duration = Duration::from_secs(3);

async fn refuses(client: &Client) -> bool {
    let enqueued = client.enqueue(Paced { n: usize::MAX, millis: 0 }).await;
    enqueued == Err(EnqueueError::Full)
}

/// Takes every byte that is left, again and again.
fn fill(mut connection: MultiplexedConnection) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut n = 0;
        loop {
            for size in [100_000, 1_000, 10] {
                let mut taken: RedisResult<()> = Ok(());
                while taken.is_ok() {
                    n += 1;
                    let mut set = redis::cmd("SET");
                    set.arg(format!("foreign:{n}")).arg("x".repeat(size));
                    taken = set.query_async(&mut connection).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

/// There is room again: what failed runs once more, and the long one may end.
async fn finish(server: &Server, diary: &Diary) {
    let () = server.query("CONFIG SET maxmemory 0").await;
    diary.note("enough");
    eventually("all is done", async || {
        let () = server.query("ZUNIONSTORE retry 1 retry WEIGHTS 0").await;
        held(server).await == 0 && server.query::<u32>("EXISTS retry queue:default").await == 0
    })
    .await;
}

async fn check(server: &Server, diary: &Diary, refused: usize) -> Seen {
    let mut lines = diary.lines();
    lines.retain(|line| !line.starts_with(&usize::MAX.to_string()));
    let starts = |n: usize| {
        let mark = format!("{n}/");
        lines.iter().filter(|line| line.starts_with(&mark)).count()
    };
    let (mut restarts, mut once) = (0, 0);
    for n in 0..=JOBS {
        let wanted = if n % KINDS == 1 { 2 } else { 1 };
        assert!(starts(n) >= wanted, "{n} is lost");
        restarts += starts(n) - wanted;
        once += wanted;
    }
    restarts += diary.count("endless") - 1;
    // every stop gives back at most what ran
    let stops = STOPS as usize * WORKERS;
    assert!(restarts <= stops * CONCURRENCY, "{restarts} of {once}");
    assert!(diary.count("endless") > 1 && refused > 0, "{refused}");
    assert_eq!(server.query::<u32>("HGET roustabout:counters rescued").await, 1, "the ghost's");
    assert_eq!(server.query::<Option<u32>>("HGET roustabout:counters lost_leases").await, None);
    assert_eq!(server.query::<u32>("EXISTS dead processes").await, 0);
    Seen { jobs: once, refused, given_back: restarts }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mini_plan_works_on() {
    let seen = brimful(Duration::from_secs(8)).await;
    assert!(seen.jobs > JOBS && seen.refused > 10 && seen.given_back > 0, "{seen:?}");
}
