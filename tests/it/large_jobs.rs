//! Jobs of 5 MB, several at once: more than any reply or request is meant for, and still jobs.
//! The server hangs up on whoever asks for more than a few of them in one reply, as a slow line
//! would in effect: what takes longer than its deadline once does so at every attempt.

use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{Payload, Registry, WorkerOptions};
use serde_json::value::RawValue;

use crate::child::{Child, noted, notes};
use crate::lost_replies::held;
use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{Diary, Running, Server, brisk, eventually};

const LARGE: usize = 5 << 20;
const MANY: usize = 10;

job!(Flaky { text: String }, |this, cx| {
    anyhow::ensure!(this.text.chars().count() == LARGE / 2, "cut");
    cx.app.note(format!("attempt {}", cx.attempt()));
    anyhow::ensure!(cx.attempt() > 1, "no luck");
    Ok(())
});
job!(Waits { text: String }, |this, cx| {
    cx.app.note(format!("waits with {}", this.text.len()));
    while cx.app.count("open") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
});

fn registry(diary: &Diary) -> Registry<Diary> {
    Registry::new(diary.clone()).job::<Flaky>().job::<Waits>()
}

fn options() -> WorkerOptions {
    let shutdown_timeout = Duration::from_millis(500);
    let (beat, ttl) = (Duration::from_secs(5), Duration::from_secs(20));
    WorkerOptions { concurrency: MANY, shutdown_timeout, beat, ttl, ..brisk() }
}

async fn strict() -> Server {
    Server::with(&["--save", "", "--client-output-buffer-limit", "normal 24mb 24mb 0"]).await
}

fn jobs(class: &str) -> Vec<Vec<u8>> {
    let text = "é".repeat(LARGE / 2);
    let job = |n| format!(r#"{{"class":"{class}","args":["{text}"],"jid":"{n}","z":1.50}}"#);
    (0..MANY).map(|n| job(n).into_bytes()).collect()
}

async fn push(server: &Server, jobs: &[Vec<u8>]) {
    let mut connection = server.connect().await;
    for job in jobs {
        let () = connection.lpush("queue:default", job).await.unwrap();
    }
}

/// The queue as it stands, the next to run first.
async fn queued(server: &Server) -> Vec<Vec<u8>> {
    let (mut connection, mut jobs) = (server.connect().await, Vec::new());
    for n in 1..=server.query::<isize>("LLEN queue:default").await {
        jobs.push(connection.lindex("queue:default", -n).await.unwrap());
    }
    jobs
}

/// What is in flight, oldest first.
async fn left_behind(server: &Server) -> Vec<Vec<u8>> {
    let key: Vec<String> = server.query("KEYS roustabout:inflight:*").await;
    let mut fields: Vec<String> = server.query(&format!("HKEYS {}", key[0])).await;
    fields.sort();
    let (mut connection, mut jobs) = (server.connect().await, Vec::new());
    for field in fields {
        jobs.push(connection.hget(&key[0], field).await.unwrap());
    }
    jobs
}

#[tokio::test]
async fn they_fail_and_are_tried_again_with_their_bytes_unchanged() {
    let (server, diary, jobs) = (strict().await, Diary::default(), jobs("Flaky"));
    push(&server, &jobs).await;
    let worker = Running::start(options(), server.redis(), registry(&diary));
    let waiting = async || server.query::<usize>("ZCARD retry").await;
    eventually("all wait", async || waiting().await == MANY).await;
    worker.stop().await;
    let raw = |job: &[u8], field| {
        let raw = Payload::parse(job).expect("a payload").get::<Box<RawValue>>(field);
        raw.expect(field).to_string()
    };
    let mut connection = server.connect().await;
    for n in 0..MANY as isize {
        let after: Vec<Vec<u8>> = connection.zrange("retry", n, n).await.unwrap();
        let jid: usize = raw(&after[0], "jid").trim_matches('"').parse().unwrap();
        assert_eq!(
            (raw(&after[0], "z"), raw(&after[0], "retry_count")),
            ("1.50".into(), "0".into())
        );
        assert!(raw(&after[0], "args") == raw(&jobs[jid], "args"), "other arguments");
    }
    let due = "for _, job in ipairs(redis.call('ZRANGE', 'retry', 0, -1)) do redis.call('ZADD', 'retry', 1, job) end";
    let () = redis::cmd("EVAL").arg(due).arg(0).query_async(&mut connection).await.unwrap();
    let worker = Running::start(options(), server.redis(), registry(&diary));
    eventually("all ran again", async || diary.count("attempt 2") == MANY).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    worker.stop().await;
    assert_eq!(diary.len(), 2 * MANY);
    assert_eq!(server.query::<u32>("EXISTS retry dead queue:default").await, 0);
}

#[tokio::test]
async fn they_are_given_back_as_they_were() {
    let (server, diary, jobs) = (strict().await, Diary::default(), jobs("Waits"));
    push(&server, &jobs).await;
    let worker = Running::start(options(), server.redis(), registry(&diary));
    eventually("all run", async || diary.len() == MANY).await;
    worker.stop().await;
    let mut all = queued(&server).await;
    if all.len() < MANY {
        // there was no time for more: the oldest are still in flight, for the reaper
        all.splice(..0, left_behind(&server).await);
    }
    assert!(all == jobs, "in the same order");
}

#[tokio::test]
async fn a_fetch_without_reply_is_made_good() {
    let (server, diary, jobs) = (strict().await, Diary::default(), jobs("Waits"));
    let proxy = Proxy::start(&server).await;
    proxy.arm(Kind::Fetch, Fault::Close);
    push(&server, &jobs).await;
    let worker = Running::start(options(), proxy.redis(), registry(&diary));
    eventually("all run", async || diary.len() == MANY).await;
    assert_eq!(proxy.struck(), 1);
    diary.note("open");
    eventually("all is done", async || held(&server).await == 0).await;
    worker.stop().await;
    assert_eq!(diary.len(), MANY + 1, "each once");
    assert!(queued(&server).await.is_empty());
}

#[tokio::test]
async fn they_come_back_from_a_process_that_died() {
    let (server, diary, jobs) = (strict().await, Diary::default(), jobs("Waits"));
    let mut connection = server.connect().await;
    for (n, job) in jobs.iter().enumerate() {
        let field = format!("1:{n}:default");
        let () = connection.hset("roustabout:inflight:ghost", field, job).await.unwrap();
    }
    let () = connection.sadd("roustabout:owners", "ghost").await.unwrap();
    let quick = WorkerOptions { beat: Duration::from_millis(500), ..brisk() };
    // serves another queue: it only brings them back
    let options = WorkerOptions { queues: "other".parse().unwrap(), ..quick };
    let worker = Running::start(options, server.redis(), registry(&diary));
    let forgotten = async || server.query::<u32>("SISMEMBER roustabout:owners ghost").await == 0;
    eventually("the dead process is forgotten", forgotten).await;
    worker.stop().await;
    assert!(queued(&server).await == jobs, "in the same order");
}

#[tokio::test]
async fn whoever_runs_them_goes_on_beating() {
    let (server, diary, jobs) = (strict().await, Diary::default(), jobs("Waits"));
    push(&server, &jobs).await;
    let worker = Running::start(brisk(), server.redis(), registry(&diary));
    let peer = WorkerOptions { queues: "other".parse().unwrap(), ..brisk() };
    let peer = Running::start(peer, server.redis(), registry(&diary));
    eventually("all run", async || diary.len() == MANY).await;
    // three lifetimes of the record
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    diary.note("open");
    eventually("all is done", async || held(&server).await == 0).await;
    worker.stop().await;
    peer.stop().await;
    assert_eq!(diary.len(), MANY + 1, "each once: {}", diary.len());
    assert_eq!(server.query::<u32>("EXISTS roustabout:counters").await, 0, "none rescued or lost");
}

#[tokio::test]
async fn they_outlive_a_kill() {
    let server = strict().await;
    let jobs: Vec<Vec<u8>> = jobs("Gate");
    let small = |n: usize, job: &[u8]| {
        let cargo = Payload::parse(job).expect("a payload").get::<Box<RawValue>>("args");
        let payload = Payload::new("Gate", serde_json::json!([n.to_string()]));
        payload.with("cargo", cargo).to_bytes()
    };
    let jobs: Vec<Vec<u8>> = jobs.iter().enumerate().map(|(n, job)| small(n, job)).collect();
    push(&server, &jobs).await;
    let mut child = Child::of(&server);
    for n in 0..MANY {
        notes(&server, &format!("start {n}")).await;
    }
    child.kill();
    assert_eq!(held(&server).await, MANY);
    let () = server.query("SET test:gate open").await;
    let child = Child::of(&server);
    for n in 0..MANY {
        notes(&server, &format!("end {n}")).await;
    }
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    child.stop().await;
    for n in 0..MANY {
        assert_eq!(noted(&server, &format!("start {n}")).await, 2, "started by each");
        assert_eq!(noted(&server, &format!("end {n}")).await, 1);
    }
    assert_eq!(server.query::<u32>("HGET roustabout:counters rescued").await, MANY as u32);
}
