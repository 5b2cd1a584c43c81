//! Those who push at the same moment share a write, and nothing else: each hears of its own job,
//! and whoever leaves takes nobody along.

use std::collections::HashSet;
use std::future::ready;
use std::thread;
use std::time::UNIX_EPOCH;

use futures_util::FutureExt;
use futures_util::future::join_all;
use redis::AsyncCommands;
use roustabout::engine::{Client, EnqueueError, Enqueued, Payload};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{PATIENCE, Server, open};

fn note(queue: &str) -> Payload {
    Payload::new("Note", json!([])).queue(queue)
}

fn in_an_hour() -> Payload {
    note("default").with("at", UNIX_EPOCH.elapsed().unwrap().as_secs_f64() + 3_600.0)
}

async fn length(server: &Server, queue: &str) -> usize {
    server.query(&format!("LLEN queue:{queue}")).await
}

/// Begins to push, and leaves when nothing is sent yet.
async fn leave(client: &Client) {
    tokio::select! {
        biased;
        answer = client.push(note("default")) => panic!("{answer:?}"),
        () = ready(()) => {}
    }
}

#[tokio::test]
async fn many_at_once_cost_few_commands() {
    let server = Server::start().await;
    let client = Client::new(server.redis());
    let producers = (0..64).map(|_| async {
        let mut jids = Vec::new();
        for _ in 0..20 {
            jids.push(client.push(note("default")).await.unwrap());
        }
        jids
    });
    let jids: HashSet<String> =
        join_all(producers).await.into_iter().flatten().map(String::from).collect();
    let jobs: Vec<String> = server.connect().await.lrange("queue:default", 0, -1).await.unwrap();
    assert_eq!((jids.len(), jobs.len()), (1_280, 1_280));
    let there = jobs.iter().map(|job| Payload::parse(job.as_bytes()).unwrap().jid());
    assert_eq!(there.collect::<HashSet<_>>(), jids);
    let stats: String = server.query("INFO commandstats").await;
    let calls = stats.split("cmdstat_lpush:calls=").nth(1).unwrap().split(',').next().unwrap();
    assert!(calls.parse::<usize>().unwrap() <= 320, "{calls}");
}

#[tokio::test]
async fn each_hears_of_its_own() {
    let server = Server::start().await;
    let client = Client::new(server.redis());
    client.push(note("default")).await.unwrap();
    let together = async || {
        let jobs = [note("default"), note("bad"), in_an_hour()];
        join_all(jobs.map(|job| client.push(job))).await
    };
    let fine = |answer: &Result<Enqueued, EnqueueError>| answer.is_ok();
    let refused = |answer: &Result<Enqueued, EnqueueError>| match answer {
        Err(EnqueueError::Unavailable(reason)) => reason.contains("WRONGTYPE"),
        _ => false,
    };
    let () = server.query("SET queue:bad taken").await;
    let answers = together().await;
    assert!(fine(&answers[0]) && refused(&answers[1]) && fine(&answers[2]), "{answers:?}");

    let () = server.query("DEL queue:bad schedule").await;
    let () = server.query("SET schedule taken").await;
    let answers = together().await;
    assert!(fine(&answers[0]) && fine(&answers[1]) && refused(&answers[2]), "{answers:?}");

    // they are there, but the names of their queues are not
    let () = server.query("DEL queue:bad schedule queues").await;
    let () = server.query("SET queues taken").await;
    let answers = together().await;
    let doubt = |answer: &Result<_, _>| matches!(answer, Err(EnqueueError::Unknown(_)));
    assert!(doubt(&answers[0]) && doubt(&answers[1]) && fine(&answers[2]), "{answers:?}");
    assert_eq!((length(&server, "default").await, length(&server, "bad").await), (4, 1));
}

#[tokio::test]
async fn many_of_which_one_is_there_are_not_called_none() {
    let server = Server::start().await;
    let client = Client::new(server.redis());
    let () = server.query("SET queue:bad taken").await;
    let () = server.query("SET queues taken").await;
    let answer = client.push_all(vec![note("bad"), note("good")]).await;
    assert!(matches!(answer, Err(EnqueueError::Unknown(_))), "{answer:?}");
    assert_eq!(length(&server, "good").await, 1);
    let answer = client.push_all(vec![note("bad")]).await;
    assert!(matches!(answer, Err(EnqueueError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn who_leaves_takes_nobody_along() {
    let server = Server::start().await;
    let client = Client::new(server.redis());
    client.push(note("default")).await.unwrap();
    leave(&client).await;
    client.push(note("default")).await.unwrap();
    assert_eq!(length(&server, "default").await, 2, "what had not left is not sent");
}

/// Begins to push in a runtime of its own, which comes back: nobody drives it any more.
async fn leave_elsewhere(client: &Client) -> Runtime {
    let client = client.clone();
    let short = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // it may be answered already: it is sent where the connection is kept
        let _ = runtime.block_on(async { client.push(note("default")).now_or_never() });
        runtime
    };
    tokio::task::spawn_blocking(short).await.unwrap()
}

#[tokio::test]
async fn a_runtime_that_rests_or_ends_takes_nobody_along() {
    let server = Server::start().await;
    let client = Client::new(server.redis());
    client.push(note("default")).await.unwrap();
    let resting = leave_elsewhere(&client).await;
    let pushed = timeout(PATIENCE, client.push(note("default"))).await;
    pushed.expect("it waits for nobody").unwrap();
    leave_elsewhere(&client).await.shutdown_background();
    client.push(note("default")).await.unwrap();
    resting.shutdown_background();
}

#[tokio::test]
async fn without_the_runtime_of_the_connection_a_push_is_an_error() {
    let server = Server::start().await;
    let url = server.url();
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let first = runtime().unwrap();
        let client = first.block_on(async { Client::new(open(&url)) });
        first.block_on(client.push(note("default"))).unwrap();
        drop(first);
        tell.send(runtime().unwrap().block_on(client.push(note("default")))).unwrap();
    });
    let answer = tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE)).await.unwrap();
    assert!(answer.expect("an answer").is_err());
}

#[tokio::test]
async fn a_lost_reply_leaves_all_in_doubt() {
    let server = Server::start().await;
    let proxy = Proxy::start(&server).await;
    let client = Client::new(proxy.redis());
    client.push(note("default")).await.unwrap();
    proxy.arm(Kind::Enqueue, Fault::Close);
    let answers = join_all((0..10).map(|_| client.push(note("default")))).await;
    for answer in answers {
        assert!(matches!(answer, Err(EnqueueError::Unknown(_))), "{answer:?}");
    }
    assert_eq!(length(&server, "default").await, 11, "once each");
    client.push(note("default")).await.unwrap();
}
