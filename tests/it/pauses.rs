//! Paused queues: nobody takes a job of one from when the command has returned, nobody asks for
//! one all the time, and everybody hears of the end.

use std::time::Duration;

use roustabout::engine::inspect::{pause, resume};
use roustabout::engine::{Payload, Redis, Registry, WorkerOptions};
use serde_json::json;

use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Where {}, |_this, cx| {
    cx.app.note(cx.queue());
    Ok(())
});

/// A worker that looks where it was told to, and nowhere else.
fn start(redis: Redis, diary: &Diary, queues: &str) -> Running {
    let (safety_poll, ttl) = (Duration::from_secs(3_600), Duration::from_secs(60));
    let queues = queues.parse().unwrap();
    let options = WorkerOptions { queues, safety_poll, ttl, ..brisk() };
    Running::start(options, redis, Registry::new(diary.clone()).job::<Where>())
}

async fn push(server: &Server, queue: &str, count: usize) {
    let jobs = (0..count).map(|_| Payload::new("Where", json!([])).queue(queue));
    client(server).push_all(jobs.collect()).await.unwrap();
}

async fn waiting(server: &Server, queue: &str) -> usize {
    server.query(&format!("LLEN queue:{queue}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_then_on_nobody_takes_another() {
    let (server, diary) = (Server::start().await, Diary::default());
    let desk = server.redis();
    let workers = [(); 2].map(|()| start(server.redis(), &diary, "*"));
    for round in 1..=20 {
        push(&server, "busy", 500).await;
        eventually("some run", async || waiting(&server, "busy").await < 490).await;
        assert!(pause(&desk, "busy").await.unwrap().news);
        let left = waiting(&server, "busy").await;
        push(&server, "other", 20).await;
        eventually("others run", async || diary.count("other") == 20 * round).await;
        assert_eq!(waiting(&server, "busy").await, left);
        assert!(resume(&desk, "busy").await.unwrap().news);
        eventually("all run", async || diary.count("busy") == 500 * round).await;
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_paused_queue_is_not_asked_for_all_the_time() {
    for queues in ["*", "paused,other", "paused:3,other:1"] {
        let (server, diary) = (Server::start().await, Diary::default());
        let () = server.query("SADD paused paused ghost").await;
        push(&server, "paused", 100).await;
        let worker = start(server.redis(), &diary, queues);
        push(&server, "other", 1).await;
        eventually("the other runs", async || diary.len() == 1).await;
        let () = server.query("CONFIG RESETSTAT").await;
        let beats = async || -> u64 {
            let process: String = server.query("SRANDMEMBER processes").await;
            server.query::<Option<u64>>(&format!("HGET {process} beats")).await.unwrap_or(0)
        };
        let before = beats().await;
        eventually("ten beats", async || beats().await >= before + 10).await;
        let stats: String = server.query("INFO commandstats").await;
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        let calls: u64 = calls.unwrap().split(',').next().unwrap().parse().unwrap();
        assert!(calls < 30, "{calls} scripts in ten beats");
        assert_eq!((diary.len(), waiting(&server, "paused").await), (1, 100));
        resume(&server.redis(), "paused").await.unwrap();
        eventually("they run", async || diary.count("paused") == 100).await;
        worker.stop().await;
    }
}

#[tokio::test]
async fn the_workers_own_connection_may_be_used_for_it() {
    let (server, diary) = (Server::start().await, Diary::default());
    let redis = server.redis();
    let worker = start(redis.clone(), &diary, "*");
    push(&server, "default", 1).await;
    eventually("one runs", async || diary.len() == 1).await;
    for round in 1..=5 {
        pause(&redis, "default").await.unwrap();
        push(&server, "default", 1).await;
        push(&server, "other", 1).await;
        eventually("another runs", async || diary.count("other") == round).await;
        assert_eq!(waiting(&server, "default").await, 1);
        resume(&redis, "default").await.unwrap();
        eventually("it runs", async || diary.count("default") == round + 1).await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn what_is_no_set_pauses_nothing() {
    let (server, diary) = (Server::start().await, Diary::default());
    let () = server.query("SET paused default").await;
    push(&server, "default", 1).await;
    let worker = start(server.redis(), &diary, "*");
    eventually("it runs", async || diary.len() == 1).await;
    worker.stop().await;
    assert_eq!(server.query::<String>("GET paused").await, "default", "not ours to delete");
}

#[tokio::test]
async fn the_command_knows_what_it_did() {
    let server = Server::start().await;
    let desk = server.redis();
    push(&server, "known", 1).await;
    let () = server.query("LPUSH queue:unnamed {}").await;
    for (queue, known) in [("known", true), ("unnamed", true), ("unknown", false)] {
        let first = pause(&desk, queue).await.unwrap();
        assert_eq!((first.news, first.known), (true, known), "{queue}");
        assert!(!pause(&desk, queue).await.unwrap().news);
        assert!(resume(&desk, queue).await.unwrap().news);
        assert!(!resume(&desk, queue).await.unwrap().news);
    }
}
