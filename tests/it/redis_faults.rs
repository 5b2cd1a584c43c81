//! Redis has its bad days: it dies and comes back, drops its clients, forgets the scripts,
//! falls silent, is not there at the start. With all of them each job still runs exactly once.

use std::time::Duration;

use roustabout::engine::{Registry, Retry, WorkerOptions};

use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually, open};

// every tenth job fails, for good, every tenth saves cursors
job!(Work { n: usize } retry Retry::Times(0), |this, cx| {
    cx.app.note(this.n);
    tokio::time::sleep(Duration::from_millis(10)).await;
    match this.n % 10 {
        0 => anyhow::bail!("no luck"),
        5 => {
            let from: usize = cx.cursor().await?.unwrap_or(0);
            cx.checkpoint(from + 1).await
        }
        _ => Ok(()),
    }
});

fn worker(server: &Server, diary: &Diary) -> Running {
    let options = WorkerOptions { concurrency: 10, ttl: Duration::from_secs(3), ..brisk() };
    Running::start(options, server.redis(), Registry::new(diary.clone()).job::<Work>())
}

/// Two workers through a load of jobs, disturbed again and again while it lasts.
async fn each_runs_once(
    mut server: Server,
    jobs: usize,
    mut disturb: impl AsyncFnMut(&mut Server),
) {
    let diary = Diary::default();
    let workers = [worker(&server, &diary), worker(&server, &diary)];
    client(&server).enqueue_all((0..jobs).map(|n| Work { n })).await.unwrap();
    let mut disturbances = 0;
    while diary.len() < jobs * 3 / 4 {
        let wanted = (diary.len() + fastrand::usize(1..100)).min(jobs);
        eventually("some have run", async || diary.len() >= wanted).await;
        disturb(&mut server).await;
        disturbances += 1;
    }
    eventually("all have run", async || diary.len() >= jobs).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    for worker in workers {
        worker.stop().await;
    }
    assert!(disturbances > 1, "{disturbances}");
    let mut lines = diary.lines();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((lines.len(), diary.len()), (jobs, jobs));
    assert_eq!(server.query::<usize>("ZCARD dead").await, jobs / 10);
    let left = "EXISTS retry queue:default roustabout:rescues roustabout:owners";
    assert_eq!(server.query::<u32>(left).await, 0);
    assert!(server.query::<Vec<String>>("KEYS it-*").await.is_empty());
    assert_eq!(server.query::<usize>("GET stat:processed").await, jobs);
}

async fn durable() -> Server {
    Server::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_dies_and_comes_back_at_once() {
    each_runs_once(durable().await, 1_000, async |server| {
        server.kill();
        server.launch();
        server.answers().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stays_away_for_longer_than_any_record_lives() {
    each_runs_once(durable().await, 300, async |server| {
        server.kill();
        tokio::time::sleep(Duration::from_secs(4)).await;
        server.launch();
        server.answers().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_drops_its_clients() {
    each_runs_once(Server::start().await, 2_000, async |server| {
        let dropped: u32 = server.query("CLIENT KILL TYPE normal").await;
        assert!(dropped < 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_forgets_the_scripts() {
    each_runs_once(Server::start().await, 2_000, async |server| {
        server.query::<()>("SCRIPT FLUSH").await;
    })
    .await;
}

// what waits at the server is executed when it wakes, long after the worker hung up
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_falls_silent_for_longer_than_any_record_lives() {
    each_runs_once(Server::start().await, 300, async |server| {
        server.query::<()>("CLIENT PAUSE 5000 ALL").await;
        server.answers().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_falls_silent_for_longer_than_a_deadline() {
    each_runs_once(Server::start().await, 300, async |server| {
        server.query::<()>("CLIENT PAUSE 2500 ALL").await;
        server.answers().await;
    })
    .await;
}

#[tokio::test]
async fn it_is_not_there_at_the_start() {
    let (mut server, diary) = (durable().await, Diary::default());
    client(&server).enqueue(Work { n: 1 }).await.unwrap();
    server.kill();
    let redis = server.redis();
    let registry = Registry::new(diary.clone()).job::<Work>();
    let worker = Running::start(brisk(), redis.clone(), registry);
    eventually("it says why", async || redis.status().is_err()).await;
    server.launch();
    eventually("it recovers", async || diary.len() == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn it_is_not_there_until_the_end() {
    let mut server = durable().await;
    server.kill();
    let worker = worker(&server, &Diary::default());
    worker.stop().await;
}

#[tokio::test]
async fn it_wants_another_password() {
    let (server, diary) = (Server::start().await, Diary::default());
    client(&server).enqueue(Work { n: 1 }).await.unwrap();
    let () = server.query("ACL SETUSER worker on >right ~* &* +@all").await;
    let redis = open(&server.url().replace("unix://", "unix://worker:wrong@localhost"));
    let registry = Registry::new(diary.clone()).job::<Work>();
    let worker = Running::start(brisk(), redis.clone(), registry);
    let refused = async || redis.status().is_err_and(|reason| reason.contains("WRONGPASS"));
    eventually("it says why", refused).await;
    let () = server.query("ACL SETUSER worker >wrong").await;
    eventually("it recovers", async || diary.len() == 1).await;
    let () = server.query("ACL SETUSER worker resetpass").await;
    let () = server.query("CLIENT KILL USER worker").await;
    client(&server).enqueue(Work { n: 2 }).await.unwrap();
    eventually("it is shut out", refused).await;
    let () = server.query("ACL SETUSER worker >wrong").await;
    eventually("it recovers again", async || diary.len() == 2).await;
    worker.stop().await;
}
