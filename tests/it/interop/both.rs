//! Ruby and Rust workers side by side.

use roustabout::engine::{Payload, Registry};
use serde_json::{Value, json};

use super::ruby::{self, Worker};
use crate::child::{Note, Setup, diary, noted};
use crate::support::{Diary, Running, Server, brisk, client, eventually};

const QUEUES: [&str; 2] = ["default", "low"];

#[tokio::test]
async fn every_job_runs_once_in_the_calm_case() {
    if !ruby::is_here() {
        return;
    }
    let server = Server::start().await;
    let jobs = client(&server);
    let ruby = Worker::start(&server, 5, &QUEUES).await;
    let rust = Setup { concurrency: 5, ..Setup::new(&server) }.start();
    rust.identity(&server).await;
    let count = 2_000;
    for n in (0..count).step_by(20) {
        // many at a time: one alone always goes to Ruby, whose blocked BRPOP is served first
        let names = (n + 2..n + 20).map(|n| Note { name: n.to_string() });
        jobs.enqueue_all(names).await.unwrap();
        let alone = |n: u32| Payload::new("Note", json!([n.to_string()])).queue("low");
        jobs.push(alone(n)).await.unwrap();
        let later = server_time(&server).await + f64::from(n % 7) / 10.0;
        jobs.push(alone(n + 1).with("at", later)).await.unwrap();
    }
    eventually("all ran", async || diary(&server).await.len() >= count as usize).await;
    rust.stop().await;
    let mut lines: Vec<u32> =
        diary(&server).await.iter().map(|line| line.parse().unwrap()).collect();
    lines.sort();
    assert_eq!(lines, (0..count).collect::<Vec<_>>());
    let done = ruby.log().lines().filter(|line| line.contains("done")).count();
    assert!(done > 0 && done < count as usize, "both took part: {done} ran in Ruby");
    assert_eq!(server.query::<u32>("EXISTS retry dead schedule").await, 0);
}

async fn server_time(server: &Server) -> f64 {
    let (seconds, micros): (u64, u64) = server.query("TIME").await;
    seconds as f64 + micros as f64 / 1e6
}

job!(Handover { to: String }, |this, cx| {
    anyhow::ensure!(this.to == "rust", "not in Rust");
    cx.app.note("handover in rust");
    Ok(())
});

/// The one entry of the retry set, and its bytes.
async fn failed(server: &Server) -> (String, Value) {
    eventually("it failed", async || server.query::<u32>("ZCARD retry").await == 1).await;
    let raw: Vec<String> = server.query("ZRANGE retry 0 -1").await;
    (raw[0].clone(), serde_json::from_str(&raw[0]).expect("JSON"))
}

/// Makes it due.
async fn retry_now(server: &Server, raw: &str) {
    let mut add = redis::cmd("ZADD");
    add.arg("retry").arg(1).arg(raw);
    let () = add.query_async(&mut server.connect().await).await.expect("added");
}

fn ours(server: &Server, diary: &Diary) -> Running {
    Running::start(brisk(), server.redis(), Registry::new(diary.clone()).job::<Handover>())
}

#[tokio::test]
async fn what_failed_in_ruby_is_tried_again_by_us() {
    if !ruby::is_here() {
        return;
    }
    let (server, diary) = (Server::start().await, Diary::default());
    let payload = Payload::new("Handover", json!(["rust"])).with("backtrace", 3);
    client(&server).push(payload.with("cattr", json!({"a": 1.0}))).await.unwrap();
    let ruby = Worker::start(&server, 1, &QUEUES).await;
    let (raw, entry) = failed(&server).await;
    drop(ruby);
    assert_eq!(
        (&entry["error_class"], &entry["retry_count"]),
        (&json!("ArgumentError"), &json!(0))
    );
    assert!(entry["error_backtrace"].is_string());
    let rust = ours(&server, &diary);
    retry_now(&server, &raw).await;
    eventually("it runs here", async || diary.count("handover in rust") == 1).await;
    rust.stop().await;
    assert_eq!(server.query::<u32>("EXISTS retry dead").await, 0);
}

#[tokio::test]
async fn what_failed_with_us_is_tried_again_in_ruby() {
    if !ruby::is_here() {
        return;
    }
    let (server, diary) = (Server::start().await, Diary::default());
    let payload = Payload::new("Handover", json!(["ruby"])).with("backtrace", true);
    client(&server).push(payload.with("cattr", json!({"a": 1.0}))).await.unwrap();
    let rust = ours(&server, &diary);
    let (raw, entry) = failed(&server).await;
    rust.stop().await;
    assert_eq!((&entry["error_class"], &entry["retry_count"]), (&json!("Error"), &json!(0)));
    assert!(entry["error_backtrace"].is_string());
    retry_now(&server, &raw).await;
    let _ruby = Worker::start(&server, 1, &QUEUES).await;
    eventually("it runs there", async || noted(&server, "handover in ruby").await == 1).await;
    assert_eq!(server.query::<u32>("EXISTS retry dead").await, 0);
}
