//! `QUEUES` as Resque's users write it, on a server that queues come and go on.

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
