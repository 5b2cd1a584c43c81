//! A worker whose wall clock is minutes off, or jumps while it runs. What is due, when a retry
//! comes, who is alive and how old things are goes by the server's clock alone.
//!
//! libfaketime bends the clock of the worker's process (`apt-get install faketime`); where it is
//! not installed, these tests say so and pass.

use std::path::PathBuf;
use std::time::Duration;

use crate::child::{Child, Gate, Nap, Note, Setup, noted, notes};
use crate::lost_replies::held;
use crate::support::{Server, client, eventually};

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

fn library() -> Option<String> {
    let dirs = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].into_iter().map(PathBuf::from);
    let machines = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut places = dirs.chain(machines.map(|entry| entry.path())).map(|dir| dir.join(LIBRARY));
    let found = places.find(|path| path.exists()).map(|path| path.display().to_string());
    if found.is_none() {
        eprintln!("SKIPPED: no libfaketime here (apt-get install faketime)");
    }
    found
}

/// A worker whose wall clock is off by this (`+10m`), if clocks can be bent here.
fn off_by(setup: &Setup, skew: &str) -> Option<Child> {
    let vars = [("LD_PRELOAD", library()?), ("FAKETIME", skew.to_owned())];
    Some(bent(setup, &vars))
}

/// A worker whose wall clock goes by what stands in this file.
fn by_file(setup: &Setup, file: &std::path::Path) -> Option<Child> {
    let file = file.display().to_string();
    let vars = [("LD_PRELOAD", library()?), ("FAKETIME_TIMESTAMP_FILE", file)];
    Some(bent(setup, &vars))
}

fn bent(setup: &Setup, vars: &[(&str, String)]) -> Child {
    let mut all: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (*name, &**value)).collect();
    all.extend([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
    setup.start_with(&all)
}

async fn now(server: &Server) -> f64 {
    let (seconds, micros): (u64, u64) = server.query("TIME").await;
    seconds as f64 + micros as f64 / 1e6
}

/// What a round trip on a busy machine leaves unknown about the server's clock.
const BLUR: f64 = 0.2;

/// Schedules a note and waits for it: it must not come early, by the server's clock.
async fn is_on_time(server: &Server, name: &str, delay: Duration) {
    let jobs = client(server);
    eventually("the clocks are known", async || jobs.enqueue(Nap { millis: 0 }).await.is_ok())
        .await;
    jobs.enqueue_in(delay, Note { name: name.into() }).await.unwrap();
    let entry: Vec<(String, f64)> = server.query("ZRANGE schedule 0 -1 WITHSCORES").await;
    let due = entry.into_iter().find(|(job, _)| job.contains(name)).expect("scheduled").1;
    notes(server, name).await;
    let ran = now(server).await;
    assert!(ran >= due - BLUR, "{name} ran {} s early", due - ran);
}

/// A job fails: when it will be tried again, in seconds from now, and how long ago it failed.
async fn retry_and_failure(server: &Server) -> (f64, f64) {
    let () = server.query(r#"LPUSH queue:default {"class":"Nobody","args":[],"jid":"1"}"#).await;
    eventually("it failed", async || server.query::<u32>("ZCARD retry").await == 1).await;
    let entry: Vec<(String, f64)> = server.query("ZRANGE retry 0 -1 WITHSCORES").await;
    let now = now(server).await;
    let job: serde_json::Value = serde_json::from_str(&entry[0].0).unwrap();
    // Sidekiq 8 writes milliseconds, earlier ones seconds
    let failed = job["failed_at"].as_f64().unwrap();
    let failed = if failed > 1e11 { failed / 1_000.0 } else { failed };
    (entry[0].1 - now, now - failed)
}

async fn all_goes_by_the_server(skew: &str) {
    let server = Server::start().await;
    let soon = now(&server).await as u64 + 300;
    let cron = Some(format!("{} {} * * *", soon / 60 % 60, soon / 3_600 % 24));
    let Some(child) = off_by(&Setup { cron, ..Setup::new(&server) }, skew) else { return };
    let identity = child.identity(&server).await;
    is_on_time(&server, "soon", Duration::from_secs(2)).await;
    let (retry, failure) = retry_and_failure(&server).await;
    assert!((0.0..120.0).contains(&retry) && (-1.0..30.0).contains(&failure), "{retry} {failure}");
    let record: f64 = server.query(&format!("HGET {identity} beat")).await;
    let info: String = server.query(&format!("HGET {identity} info")).await;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let (now, started) = (now(&server).await, info["started_at"].as_f64().unwrap());
    assert!(
        (now - record).abs() < 30.0 && (now - started).abs() < 60.0,
        "{now} {record} {started}"
    );
    let slot: Option<f64> = server.query("HGET cron_job:roustabout:cron last_slot").await;
    assert!(slot.is_some_and(|slot| slot < now), "{slot:?}");
    assert_eq!(noted(&server, "cron").await, 0);
    child.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_fast() {
    all_goes_by_the_server("+10m").await;
}

#[tokio::test]
async fn a_clock_that_is_slow() {
    all_goes_by_the_server("-10m").await;
}

#[tokio::test]
async fn running_jobs_are_as_old_as_they_are() {
    let server = Server::start().await;
    let Some(child) = off_by(&Setup::new(&server), "+10m") else { return };
    let identity = child.identity(&server).await;
    client(&server).enqueue(Gate { name: "long".into() }).await.unwrap();
    notes(&server, "start long").await;
    let work = format!("HVALS {identity}:work");
    let shown = async || server.query::<Vec<String>>(&work).await;
    eventually("it is shown", async || !shown().await.is_empty()).await;
    let entry: serde_json::Value = serde_json::from_str(&shown().await[0]).unwrap();
    let age = now(&server).await - entry["run_at"].as_f64().unwrap();
    assert!((-1.0..30.0).contains(&age), "{age}");
    let () = server.query("SET test:gate open").await;
    child.stop().await;
}

#[tokio::test]
async fn nobody_is_taken_for_dead_by_another_clock() {
    let server = Server::start().await;
    let setup = Setup { concurrency: 1, ..Setup::new(&server) };
    let Some(fast) = off_by(&setup, "+10m") else { return };
    let (slow, right) = (off_by(&setup, "-10m").expect("as before"), setup.start());
    for child in [&fast, &slow, &right] {
        child.identity(&server).await;
    }
    let jobs = client(&server);
    for name in ["one", "two", "three"] {
        jobs.enqueue(Gate { name: name.into() }).await.unwrap();
        notes(&server, &format!("start {name}")).await;
    }
    // twice the lifetime of a record
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((held(&server).await, server.query::<u32>("SCARD processes").await), (3, 3));
    let () = server.query("SET test:gate open").await;
    eventually("all is done", async || held(&server).await == 0).await;
    for child in [fast, slow, right] {
        child.stop().await;
    }
    assert_eq!(server.query::<u32>("EXISTS roustabout:counters roustabout:rescues").await, 0);
}

/// What a jump of the server's clock does: whatever has a lifetime is gone at once.
const EXPIRE: &str = "for _, identity in ipairs(redis.call('SMEMBERS', 'processes')) do \
                      redis.call('DEL', identity) end return redis.call('DEL', 'roustabout:unbroken')";

#[tokio::test]
async fn the_servers_clock_jumps() {
    let server = Server::start().await;
    let setup = Setup { concurrency: 1, ..Setup::new(&server) };
    let children: Vec<Child> = (0..4).map(|_| setup.start()).collect();
    for (n, child) in children.iter().enumerate() {
        child.identity(&server).await;
        client(&server).enqueue(Gate { name: n.to_string() }).await.unwrap();
        notes(&server, &format!("start {n}")).await;
    }
    for _ in 0..4 {
        // beats have come through for a lifetime, so each may judge
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut jump = redis::cmd("EVAL");
        jump.arg(EXPIRE).arg(0);
        let () = jump.query_async(&mut server.connect().await).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let () = server.query("SET test:gate open").await;
    eventually("all is done", async || held(&server).await == 0).await;
    for (n, child) in children.into_iter().enumerate() {
        assert_eq!(noted(&server, &format!("start {n}")).await, 1);
        child.stop().await;
    }
    assert_eq!(server.query::<u32>("EXISTS roustabout:rescues queue:default").await, 0);
}

#[tokio::test]
async fn a_clock_that_jumps() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clock");
    std::fs::write(&file, "+0").unwrap();
    // between two beats, five seconds apart, nobody asks the server for the time
    let setup = Setup { unhurried: true, ..Setup::new(&server) };
    let Some(child) = by_file(&setup, &file) else { return };
    let identity = child.identity(&server).await;
    let peer = Setup { unhurried: true, ..Setup::new(&server) }.start();
    peer.identity(&server).await;
    peer.signal("TSTP"); // it takes no jobs and looks for the dead
    client(&server).enqueue(Gate { name: "long".into() }).await.unwrap();
    notes(&server, "start long").await;
    for (n, jump) in ["+10m", "-10m", "+0"].into_iter().enumerate() {
        std::fs::write(&file, jump).unwrap();
        is_on_time(&server, &format!("due {n}"), Duration::from_secs(2)).await;
    }
    assert_eq!(server.query::<u32>(&format!("EXISTS {identity}")).await, 1);
    let () = server.query("SET test:gate open").await;
    eventually("all is done", async || held(&server).await == 0).await;
    assert_eq!(noted(&server, "start long").await, 1);
    child.stop().await;
    peer.stop().await;
    assert_eq!(server.query::<u32>("EXISTS roustabout:counters roustabout:rescues").await, 0);
}
