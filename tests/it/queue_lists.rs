//! `QUEUES` as Resque's users write it, on a server that queues come and go on.

use std::time::Duration;

use roustabout::engine::{Client, Payload, Registry, WorkerOptions};
use serde_json::json;

use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Where {}, |_this, cx| {
    cx.app.note(cx.queue());
    Ok(())
});

async fn push(client: &Client, queues: &[&str]) {
    for queue in queues {
        client.push(Payload::new("Where", json!([])).queue(queue)).await.unwrap();
    }
}

fn start(server: &Server, diary: &Diary, queues: &str) -> Running {
    let (concurrency, queues) = (1, queues.parse().unwrap());
    let options = WorkerOptions { concurrency, queues, ..brisk() };
    Running::start(options, server.redis(), Registry::new(diary.clone()).job::<Where>())
}

#[tokio::test]
async fn some_first_then_all_but_one() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    push(&client, &["low", "b", "a", "critical", "b", "low", "critical"]).await;
    let worker = start(&server, &diary, "critical,*,!low");
    eventually("all have run", async || diary.len() == 5).await;
    assert_eq!(diary.lines(), ["critical", "critical", "a", "b", "b"]);
    push(&client, &["new"]).await;
    eventually("a queue that was not there before", async || diary.len() == 6).await;
    worker.stop().await;
    assert_eq!(server.query::<u32>("LLEN queue:low").await, 2);
}

#[tokio::test]
async fn only_what_is_left_out_is_said() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    push(&client, &["low", "b", "low_2", "a"]).await;
    let worker = start(&server, &diary, "!low*");
    eventually("the others have run", async || diary.len() == 2).await;
    worker.stop().await;
    assert_eq!(diary.lines(), ["a", "b"]);
    assert_eq!(server.query::<u32>("LLEN queue:low").await, 1);
    assert_eq!(server.query::<u32>("LLEN queue:low_2").await, 1);
}

#[tokio::test]
async fn queues_come_and_go_while_it_runs() {
    let (server, diary) = (Server::start().await, Diary::default());
    let queues = "listed,a*,!a_not".parse().unwrap();
    let (safety_poll, ttl) = (Duration::from_secs(3_600), Duration::from_secs(60));
    let options = WorkerOptions { queues, safety_poll, ttl, ..brisk() };
    let registry = Registry::new(diary.clone()).job::<Where>();
    let worker = Running::start(options, server.redis(), registry);
    let serves = async || -> Vec<String> {
        let process: Option<String> = server.query("SRANDMEMBER processes").await;
        let Some(process) = process else { return Vec::new() };
        let info: String = server.query(&format!("HGET {process} info")).await;
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        serde_json::from_value(info["queues"].clone()).unwrap()
    };
    eventually("it is there", async || serves().await == ["listed"]).await;
    let client = client(&server);
    for round in 1..=3 {
        push(&client, &["a2", "b", "a_not", "a1", "listed"]).await;
        eventually("those that match run", async || diary.len() == 3 * round).await;
        eventually("it says so", async || serves().await == ["listed", "a1", "a2"]).await;
        // as Sidekiq's pages delete a queue
        let () = server.query("UNLINK queue:a1 queue:listed").await;
        let () = server.query("SREM queues a1 listed").await;
        eventually("it lets go", async || serves().await == ["listed", "a2"]).await;
    }
    assert_eq!(server.query::<usize>("LLEN queue:a_not").await, 3);
    worker.stop().await;
}
