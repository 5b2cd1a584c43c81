//! The calm case: what goes in runs once, on time, and leaves nothing behind.

use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{Payload, Registry};
use serde_json::json;

use crate::support::{Diary, Running, Server, brisk, client, eventually};

#[tokio::test]
async fn jobs_run_once_and_leave_nothing() {
    job!(Note { text: String }, |this, cx| {
        cx.app.note(this.text);
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let worker =
        Running::start(brisk(), server.redis(), Registry::new(diary.clone()).job::<Note>());
    for i in 0..500 {
        client.enqueue(Note { text: i.to_string() }).await.unwrap();
    }
    let many = (500..3_000).map(|i| Note { text: i.to_string() });
    assert_eq!(client.enqueue_all(many).await.unwrap().len(), 2_500);
    eventually("all have run", async || diary.len() >= 3_000).await;
    worker.stop().await;
    let mut lines: Vec<usize> = diary.lines().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..3_000).collect::<Vec<_>>());
    let mut keys: Vec<String> = server.connect().await.keys("*").await.unwrap();
    // what was counted; and two that go by themselves: within half a lifetime, within 90 s
    let counts = ["roustabout:history:", "roustabout:runs", "stat:", "j|", "h|Note-", "Note-"];
    keys.retain(|key| !counts.iter().any(|start| key.starts_with(start)));
    keys.retain(|key| key != "roustabout:unbroken" && key != "roustabout:cron-keeper");
    assert_eq!(keys, ["queues"]);
    assert_eq!(server.query::<u64>("GET stat:processed").await, 3_000);
}

#[tokio::test]
async fn a_new_queue_is_seen_live_whoever_pushes() {
    job!(Note { text: String }, |this, cx| {
        cx.app.note(format!("{} on {}", this.text, cx.queue()));
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Note>();
    let mut options = brisk();
    options.safety_poll = Duration::from_secs(3_600); // notices alone must do
    let worker = Running::start(options, server.redis(), registry);
    let mut foreign = server.connect().await;
    eventually("registered", async || server.query::<u64>("SCARD processes").await == 1).await;
    for i in 0..20 {
        let queue = format!("new-{i}");
        let payload = json!({"class": "Note", "args": ["x"], "jid": i.to_string()}).to_string();
        let () = foreign.sadd("queues", &queue).await.unwrap();
        let () = foreign.lpush(format!("queue:{queue}"), payload).await.unwrap();
        let line = format!("x on {queue}");
        eventually(&line, async || diary.count(&line) == 1).await;
    }
    let told = async || {
        let process: String = server.query("SRANDMEMBER processes").await;
        let info: String = server.query(&format!("HGET {process} info")).await;
        (0..20).all(|i| info.contains(&format!("\"new-{i}\"")))
    };
    eventually("Sidekiq's page shows them", told).await;
    worker.stop().await;
}

#[tokio::test]
async fn scheduled_jobs_wait_for_their_time_then_run() {
    job!(Note { text: String }, |this, cx| {
        cx.app.note(this.text);
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let registry = Registry::new(diary.clone()).job::<Note>();
    let worker = Running::start(brisk(), server.redis(), registry);
    client.enqueue_in(Duration::from_secs(3_600), Note { text: "late".into() }).await.unwrap();
    client.enqueue_in(Duration::from_millis(700), Note { text: "soon".into() }).await.unwrap();
    client.enqueue(Note { text: "now".into() }).await.unwrap();
    eventually("both", async || diary.len() == 2).await;
    assert_eq!(diary.lines(), ["now", "soon"]);
    assert_eq!(server.query::<u64>("ZCARD schedule").await, 1);
    worker.stop().await;
}

#[tokio::test]
async fn what_cannot_run_is_kept_with_its_reason() {
    job!(Strict { id: u64 }, |_this, _cx| Ok(()));
    job!(Panics {} retry roustabout::engine::Retry::Times(3), |_this, _cx| panic!("ouch"));
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary).job::<Strict>().job::<Panics>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let client = client(&server);
    client.push(Payload::new("Unknown", json!([1]))).await.unwrap();
    client.push(Payload::new("Strict", json!(["text"]))).await.unwrap();
    client.enqueue(Panics {}).await.unwrap();
    let mut foreign = server.connect().await;
    let () = foreign.lpush("queue:default", "{\"class\":\"Strict\",").await.unwrap();
    let () = foreign.lpush("queue:default", b"\xff\x00").await.unwrap();
    let () = foreign.lpush("queue:default", "{\"args\":[]}").await.unwrap();
    eventually("three wait", async || server.query::<u64>("ZCARD retry").await == 3).await;
    eventually("three are dead", async || server.query::<u64>("ZCARD dead").await == 3).await;
    worker.stop().await;
    let waiting: Vec<Vec<u8>> = server.query("ZRANGE retry 0 -1").await;
    let mut reasons: Vec<(String, String)> = Vec::new();
    for payload in waiting {
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload["retry_count"], 0);
        let text = |name: &str| payload[name].as_str().unwrap().to_owned();
        reasons.push((text("error_class"), text("error_message")));
    }
    reasons.sort();
    assert_eq!(reasons[0].0, "BadArguments");
    assert_eq!(reasons[1], ("NameError".into(), "uninitialized constant Unknown".into()));
    assert_eq!(reasons[2], ("Panic".into(), "ouch".into()));
    let dead: Vec<Vec<u8>> = server.query("ZRANGE dead 0 -1").await;
    assert!(
        dead.contains(&b"\xff\x00".to_vec()) && dead.contains(&b"{\"class\":\"Strict\",".to_vec())
    );
    assert_eq!(server.query::<u64>("HLEN roustabout:counters").await, 1); // buried: 3
}
