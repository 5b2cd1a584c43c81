//! What Sidekiq's API does to entries of ours: each leaves one entry, in the right place, or
//! none. Ruby finds an entry again by writing it again, so its bytes must come out the same.

use std::time::Duration;

use roustabout::engine::{Payload, Registry, Retry};
use serde_json::{Value, json};

use super::bytes::odd;
use super::ruby::Session;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Fails { text: Value }, |_this, _cx| anyhow::bail!("no\u{2028}\u{7f}/<é>"));
job!(Dies { text: Value } retry Retry::Times(0), |_this, _cx| anyhow::bail!("no"));
job!(Waits { text: Value }, |_this, _cx| Ok(()));

const SETS: [&str; 3] = ["retry", "dead", "schedule"];

/// How many are where: retry, dead, schedule, queue.
async fn places(server: &Server) -> [u32; 4] {
    [
        server.query("ZCARD retry").await,
        server.query("ZCARD dead").await,
        server.query("ZCARD schedule").await,
        server.query("LLEN queue:default").await,
    ]
}

/// One entry in each set, written by a worker and a client of ours; their jids.
async fn entries(server: &Server) -> [String; 3] {
    let jobs = client(server);
    let registry = Registry::new(Diary::default()).job::<Fails>().job::<Dies>().job::<Waits>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let traced = |class| Payload::new(class, json!([{"text": odd()}])).with("backtrace", true);
    let failed = jobs.push(traced("Fails")).await.unwrap();
    let dead = jobs.push(traced("Dies").with("retry", 0)).await.unwrap();
    let later = jobs.enqueue_in(Duration::from_secs(3_600), Waits { text: odd() }).await.unwrap();
    eventually("all are there", async || places(server).await == [1, 1, 1, 0]).await;
    worker.stop().await;
    [failed, dead, later].map(String::from)
}

#[tokio::test]
async fn rescheduling_moves_the_one_entry() {
    let Some((server, mut ruby)) = Session::begin("api.rb").await else { return };
    let jids = entries(&server).await;
    assert_eq!(ruby.call::<Vec<String>>("restless", json!([])).await, [""; 0]);
    for (set, jid) in SETS.iter().zip(&jids) {
        let before: Vec<String> = server.query(&format!("ZRANGE {set} 0 -1")).await;
        let _: Value = ruby.call("change", json!([set, jid, "reschedule", 5_000_000_000u64])).await;
        let after: Vec<(String, f64)> =
            server.query(&format!("ZRANGE {set} 0 -1 WITHSCORES")).await;
        assert_eq!((after.len(), &after[0].0), (1, &before[0]), "{set}");
        assert!((after[0].1 - 5e9).abs() < 1e-3, "{set}: {}", after[0].1);
    }
}

#[tokio::test]
async fn retry_add_kill_and_delete() {
    let Some((server, mut ruby)) = Session::begin("api.rb").await else { return };
    let [failed, dead, later] = entries(&server).await;
    let steps = [
        ("retry", &failed, "retry", [0, 1, 1, 1]),
        ("dead", &dead, "retry", [0, 0, 1, 2]),
        ("schedule", &later, "add_to_queue", [0, 0, 0, 3]),
    ];
    for (set, jid, what, expected) in steps {
        let _: Value = ruby.call("change", json!([set, jid, what])).await;
        assert_eq!(places(&server).await, expected, "{what} in {set}");
    }
    // back to where they came from: the failed ones count on from where they were
    let registry = Registry::new(Diary::default()).job::<Fails>().job::<Dies>().job::<Waits>();
    let worker = Running::start(brisk(), server.redis(), registry);
    eventually("all ran", async || places(&server).await == [1, 1, 0, 0]).await;
    worker.stop().await;
    let entry: Value = ruby.call("find", json!(["retry", failed])).await;
    assert_eq!(entry["retry_count"], 0);
    assert!(entry["retried_at"].is_f64(), "{entry}");
    assert_eq!(entry["args"], json!([{"text": odd()}]));
    assert_eq!(ruby.call::<Vec<String>>("restless", json!([])).await, [""; 0]);

    let _: Value = ruby.call("change", json!(["retry", failed, "kill"])).await;
    assert_eq!(places(&server).await, [0, 2, 0, 0]);
    let _: Value = ruby.call("change", json!(["dead", failed, "delete"])).await;
    assert_eq!(places(&server).await, [0, 1, 0, 0]);
    assert_eq!(ruby.call::<u32>("change_all", json!(["dead", "retry_all"])).await, 0);
    assert_eq!(places(&server).await, [0, 0, 0, 1]);
}

#[tokio::test]
async fn kill_and_delete_where_they_are() {
    let Some((server, mut ruby)) = Session::begin("api.rb").await else { return };
    let jids = entries(&server).await;
    let _: Value = ruby.call("change", json!(["schedule", jids[2], "kill"])).await;
    assert_eq!(places(&server).await, [1, 2, 0, 0]);
    let _: Value = ruby.call("change", json!(["dead", jids[2], "delete"])).await;
    let _: Value = ruby.call("change", json!(["retry", jids[0], "delete"])).await;
    let _: Value = ruby.call("change", json!(["dead", jids[1], "add_to_queue"])).await;
    assert_eq!(places(&server).await, [0, 0, 0, 1]);
    let later = client(&server).enqueue_in(Duration::from_secs(60), Waits { text: odd() }).await;
    let _: Value = ruby.call("change", json!(["schedule", later.unwrap(), "delete"])).await;
    assert_eq!(places(&server).await, [0, 0, 0, 1]);
}
