//! After an outage every record has expired, and whoever comes back first finds all the others
//! gone. It must not take their jobs away from them.

use std::time::Duration;

use roustabout::engine::{Registry, WorkerOptions};

use crate::lost_replies::held;
use crate::proxy::Proxy;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Gate {}, |_this, cx| {
    cx.app.note("start");
    while cx.app.count("open") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
});

const TTL: Duration = Duration::from_secs(3);

fn options() -> WorkerOptions {
    WorkerOptions { ttl: TTL, ..brisk() }
}

/// Beats of a process so far; 0 if it has no record.
async fn beats(server: &Server, identity: &str) -> u32 {
    server.query::<Option<u32>>(&format!("HGET {identity} beats")).await.unwrap_or(0)
}

/// A job of a process that is gone, and a worker that has to tell by the beats of others.
async fn judged(server: &Server) -> (Running, Diary) {
    let diary = Diary::default();
    let job = r#"{"class":"Gate","args":[],"jid":"1"}"#;
    let () = server.query(&format!("HSET roustabout:inflight:ghost 1:1:default {job}")).await;
    let () = server.query("SADD roustabout:owners ghost").await;
    let options = WorkerOptions { ttl: Duration::from_secs(600), ..brisk() };
    let registry = Registry::new(diary.clone()).job::<Gate>();
    diary.note("open");
    (Running::start(options, server.redis(), registry), diary)
}

#[tokio::test]
async fn a_process_just_started_takes_over_what_others_have_seen() {
    let server = Server::start().await;
    let (now, _): (u64, u64) = server.query("TIME").await;
    let since = (now - 601) * 1_000;
    let () = server.query(&format!("SET roustabout:unbroken {since} EX 300")).await;
    let (worker, diary) = judged(&server).await; // long before it could know by itself
    eventually("the orphan runs", async || diary.count("start") == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn nobody_is_dead_until_beats_have_come_through_for_a_lifetime() {
    let server = Server::start().await;
    let (now, _): (u64, u64) = server.query("TIME").await;
    let later = (now + 3_600) * 1_000; // the server's clock was set back since
    let () = server.query(&format!("SET roustabout:unbroken {later} EX 300")).await;
    let (worker, diary) = judged(&server).await;
    eventually("it registers", async || server.query::<u32>("SCARD processes").await == 1).await;
    let processes: Vec<String> = server.query("SMEMBERS processes").await;
    eventually("it has swept", async || beats(&server, &processes[0]).await > 15).await;
    assert_eq!((held(&server).await, diary.count("start")), (1, 0));
    let since: u64 = server.query("GET roustabout:unbroken").await;
    assert!(since < later, "it counts from now on");
    worker.stop().await;
}

async fn the_first_back_leaves_the_others_alone(away: Duration) {
    let durable = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    let (mut server, diary) = (Server::with(&durable).await, Diary::default());
    let proxy = Proxy::start(&server).await;
    let registry = || Registry::new(diary.clone()).job::<Gate>();
    let slow = Running::start(options(), proxy.redis(), registry());
    client(&server).enqueue(Gate {}).await.unwrap();
    eventually("it runs", async || diary.count("start") == 1).await;
    let before: Vec<String> = server.query("SMEMBERS processes").await;
    let quick = Running::start(options(), server.redis(), registry());
    eventually("two", async || server.query::<u32>("SCARD processes").await == 2).await;
    let both: Vec<String> = server.query("SMEMBERS processes").await;
    let quick_one = both.iter().find(|identity| !before.contains(identity)).unwrap();
    // for long enough to be sure that a silent peer is dead
    eventually("it has beaten", async || beats(&server, quick_one).await > 20).await;

    server.kill();
    proxy.shut(true);
    tokio::time::sleep(away).await;
    server.launch();
    server.answers().await;
    let exists = format!("EXISTS {}", before[0]);
    eventually("one is gone", async || server.query::<u32>(&exists).await == 0).await;
    let known = beats(&server, quick_one).await;
    eventually("the other is back", async || beats(&server, quick_one).await > known + 2).await;
    proxy.shut(false);
    eventually("both are", async || server.query::<u32>(&exists).await == 1).await;
    assert_eq!(held(&server).await, 1);
    diary.note("open");
    eventually("it is done", async || held(&server).await == 0).await;
    slow.stop().await;
    quick.stop().await;
    assert_eq!(diary.count("start"), 1);
    assert_eq!(server.query::<u32>("EXISTS queue:default roustabout:counters").await, 0);
}

#[tokio::test]
async fn after_more_than_a_lifetime() {
    the_first_back_leaves_the_others_alone(TTL + Duration::from_secs(1)).await;
}

// the one's record may have expired while the other's is just alive
#[tokio::test]
async fn after_almost_a_lifetime() {
    the_first_back_leaves_the_others_alone(TTL.saturating_sub(Duration::from_millis(400))).await;
}
