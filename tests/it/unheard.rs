//! Changes of which no notice comes a second time: with the look at everything out of the way,
//! what a step that failed has heard must not be forgotten.

use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{Client, Payload, Registry, WorkerOptions};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Diary, Running, Server, brisk, eventually, impatient};

job!(Note { n: u32 }, |this, cx| {
    cx.app.note(this.n);
    Ok(())
});

/// One that looks where it was told to, and nowhere else.
fn on_notice() -> WorkerOptions {
    WorkerOptions {
        ttl: Duration::from_secs(60),
        safety_poll: Duration::from_secs(3_600),
        ..brisk()
    }
}

async fn runs(diary: &Diary, n: u32) {
    eventually("it runs", async || diary.count(&n.to_string()) == 1).await;
}

#[tokio::test]
async fn a_lease_that_redis_has_forgotten() {
    let (server, diary) = (Server::start().await, Diary::default());
    let worker =
        Running::start(on_notice(), server.redis(), Registry::new(diary.clone()).job::<Note>());
    let mut foreign = server.connect().await;
    let push = |n: u32| json!({"class": "Note", "args": [n], "jid": n.to_string()}).to_string();
    let () = foreign.lpush("queue:default", push(0)).await.unwrap();
    runs(&diary, 0).await;
    let process: String = server.query("SRANDMEMBER processes").await;
    let () = foreign.hdel(process, "lease").await.unwrap();
    let () = foreign.lpush("queue:default", push(1)).await.unwrap();
    runs(&diary, 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_push_whose_caller_has_gone() {
    let (server, diary) = (Server::start().await, Diary::default());
    let redis = impatient(&server.url(), Duration::from_secs(10));
    let registry = Registry::new(diary.clone()).job::<Note>();
    let worker = Running::start(on_notice(), redis.clone(), registry);
    let client = Client::new(redis);
    client.enqueue(Note { n: 0 }).await.unwrap();
    runs(&diary, 0).await;
    server.signal("STOP");
    let push = client.push_all(vec![Payload::new("Note", json!([1]))]);
    let left = timeout(Duration::from_millis(300), push).await;
    server.signal("CONT");
    assert!(left.is_err());
    runs(&diary, 1).await;
    worker.stop().await;
}
