//! Redis cannot take a job: `enqueue` says so, in a bounded time, and says what it knows: nothing
//! enqueued, or perhaps.

use std::time::Duration;

use roustabout::engine::{Client, EnqueueError, Enqueued, Payload};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::time::timeout;

use crate::support::{PATIENCE, Server, eventually, impatient};

/// Pushes one job; that this ends is half of what these tests show.
async fn push(client: &Client) -> Result<Enqueued, EnqueueError> {
    let push = client.push(Payload::new("Note", json!([])));
    timeout(PATIENCE, push).await.expect("an answer")
}

fn client(url: &str) -> Client {
    Client::new(impatient(url, Duration::from_millis(500)))
}

fn unavailable(answer: Result<Enqueued, EnqueueError>, why: &str) {
    match answer {
        Err(EnqueueError::Unavailable(reason)) => assert!(reason.contains(why), "{reason}"),
        other => panic!("{other:?}"),
    }
}

async fn queued(server: &Server) -> u32 {
    server.query("LLEN queue:default").await
}

#[tokio::test]
async fn never_there() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&format!("unix://{}/nobody.sock", dir.path().display()));
    unavailable(push(&client).await, "No such file");
}

#[tokio::test]
async fn gone_and_back() {
    let mut server = Server::start().await;
    let redis = impatient(&server.url(), Duration::from_millis(500));
    let client = Client::new(redis.clone());
    push(&client).await.unwrap();
    server.kill();
    eventually("it is noticed", async || redis.status().is_err()).await;
    unavailable(push(&client).await, "");
    server.launch();
    server.answers().await;
    eventually("it is back", async || push(&client).await.is_ok()).await;
}

#[tokio::test]
async fn frozen() {
    let server = Server::start().await;
    let client = client(&server.url());
    push(&client).await.unwrap();
    server.signal("STOP");
    let answer = push(&client).await;
    assert!(matches!(answer, Err(EnqueueError::Unknown(_))), "{answer:?}");
    let told = "no answer in time"; // by the next connection: perhaps that one has to end first
    let known = async || matches!(push(&client).await, Err(EnqueueError::Unavailable(why)) if why.contains(told));
    eventually("nothing is sent any more", known).await;
    server.signal("CONT");
    server.answers().await;
    eventually("it takes jobs again", async || push(&client).await.is_ok()).await;
    let queued = queued(&server).await;
    assert!(queued == 2 || queued == 3, "{queued}: the one in doubt came twice");
}

#[tokio::test]
async fn accepting_and_silent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("silent.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let client = client(&format!("unix://{}", path.display()));
    unavailable(push(&client).await, "");
    unavailable(push(&client).await, "no answer in time");
}

#[tokio::test]
async fn full() {
    let server = Server::start().await;
    let client = client(&server.url());
    push(&client).await.unwrap();
    let () = server.query("CONFIG SET maxmemory 1").await;
    assert_eq!(push(&client).await, Err(EnqueueError::Full));
    let () = server.query("CONFIG SET maxmemory 0").await;
    push(&client).await.unwrap();
    assert_eq!(queued(&server).await, 2);
}

#[tokio::test]
async fn read_only() {
    let server = Server::start().await;
    let client = client(&server.url());
    push(&client).await.unwrap();
    let () = server.query("REPLICAOF 127.0.0.1 1").await;
    unavailable(push(&client).await, "READONLY");
    unavailable(push(&client).await, "READONLY");
    let () = server.query("REPLICAOF NO ONE").await;
    eventually("it takes jobs again", async || push(&client).await.is_ok()).await;
    assert_eq!(queued(&server).await, 2);
}
