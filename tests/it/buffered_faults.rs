//! The buffered client sends again what it knows nothing about, and each job is there once and
//! in its place: the server dies, replies are lost, requests arrive when nobody expects them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use roustabout::engine::{BufferLimits, Buffered, Client, Pushed};

use crate::buffered::{buffered, durable, job, markers, queued};
use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{PATIENCE, Server, eventually, impatient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_ends_again_and_again() {
    let mut server = durable().await;
    let client = buffered(&server);
    let enough = Arc::new(AtomicBool::new(false));
    let pushing = {
        let (client, enough) = (client.clone(), enough.clone());
        tokio::spawn(async move {
            let (mut n, mut kept) = (0, 0);
            while !enough.load(Ordering::Relaxed) {
                match client.push(job(n)).await {
                    Ok(Pushed::Delivered(_) | Pushed::Existed(_)) => n += 1,
                    Ok(Pushed::Buffered(_)) => (n, kept) = (n + 1, kept + 1),
                    // more than is kept: the caller knows, and comes again
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
            (n, kept)
        })
    };
    for _ in 0..5 {
        let before = server.query::<usize>("LLEN queue:default").await;
        let more = async || server.query::<usize>("LLEN queue:default").await > before + 100;
        eventually("some are pushed", more).await;
        server.shut_down();
        eventually("some are kept", async || client.waiting() > 0).await;
        server.launch();
        server.answers().await;
    }
    enough.store(true, Ordering::Relaxed);
    let (pushed, kept) = pushing.await.unwrap();
    assert_eq!(client.flush(PATIENCE).await, 0);
    assert!(kept > 0);
    assert_eq!(queued(&server, "default").await, Vec::from_iter(0..pushed));
    assert!(markers(&server).await.len() <= 5 * 100, "at most one call in doubt at each death");
}

// what waits at the server is executed when it wakes, after the client gave that request up
#[tokio::test]
async fn the_server_freezes() {
    let server = Server::start().await;
    let redis = impatient(&server.url(), Duration::from_millis(300));
    redis.up().await.unwrap();
    let client = Buffered::new(Client::new(redis.clone()), BufferLimits::default());
    assert!(matches!(client.push(job(0)).await, Ok(Pushed::Delivered(_))));
    for from in [1, 11] {
        server.signal("STOP");
        for n in from..from + 10 {
            assert!(matches!(client.push(job(n)).await, Ok(Pushed::Buffered(_))));
        }
        eventually("it has hung up", async || redis.status().is_err()).await;
        server.signal("CONT");
        eventually("all are delivered", async || client.waiting() == 0).await;
    }
    assert_eq!(queued(&server, "default").await, Vec::from_iter(0..21));
}

/// Ten jobs, one after the other, and one call that meets with a fault.
async fn faulty(fault: Fault) -> (Server, Proxy, Buffered) {
    let server = Server::start().await;
    let proxy = Proxy::start(&server).await;
    let redis = proxy.redis();
    redis.up().await.unwrap();
    let client = Buffered::new(Client::new(redis), BufferLimits::default());
    for n in 0..10 {
        if n == 3 {
            proxy.arm(Kind::Push, fault);
        }
        let pushed = client.push(job(n)).await.unwrap();
        if n <= 3 {
            assert_eq!(matches!(pushed, Pushed::Delivered(_)), n < 3, "{pushed:?}");
        }
    }
    eventually("all are delivered", async || client.waiting() == 0).await;
    assert_eq!(proxy.struck(), 1);
    assert_eq!(queued(&server, "default").await, Vec::from_iter(0..10));
    (server, proxy, client)
}

#[tokio::test]
async fn a_reply_is_lost_with_its_connection() {
    faulty(Fault::Close).await;
}

#[tokio::test]
async fn a_reply_never_comes() {
    faulty(Fault::Mute).await;
}

#[tokio::test]
async fn a_request_arrives_long_after_it_was_sent_again() {
    let (server, proxy, client) = faulty(Fault::Delay).await;
    // by now every marker that can be spared is gone
    client.push(job(10)).await.unwrap();
    assert_eq!(client.flush(PATIENCE).await, 0);
    let left = markers(&server).await;
    assert_eq!(left.len(), 1, "of the one that may still come");
    assert!(server.query::<i64>(&format!("TTL {}", left[0])).await > 80_000);
    proxy.release();
    eventually("it has arrived", async || proxy.late_replies().len() == 1).await;
    assert_eq!(proxy.late_replies(), ["*1\\r\\n:1\\r\\n"]);
    assert_eq!(queued(&server, "default").await, Vec::from_iter(0..11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_each_job_is_there_once() {
    const CALLERS: usize = 8;
    let server = Server::start().await;
    let proxy = Arc::new(Proxy::start(&server).await);
    let client = Buffered::new(Client::new(proxy.redis()), BufferLimits::default());
    proxy.chaos(4);
    let callers = (0..CALLERS).map(|caller| {
        let (client, proxy) = (client.clone(), proxy.clone());
        tokio::spawn(async move {
            let mut n = 0;
            while proxy.struck() < 20 {
                n += usize::from(client.push(job(n).queue(&format!("of{caller}"))).await.is_ok());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            n
        })
    });
    let mut pushed = Vec::new();
    for caller in Vec::from_iter(callers) {
        pushed.push(caller.await.unwrap());
    }
    proxy.chaos(0);
    assert_eq!(client.flush(PATIENCE).await, 0);
    for (caller, n) in pushed.into_iter().enumerate() {
        let queue = format!("of{caller}");
        assert_eq!(queued(&server, &queue).await, Vec::from_iter(0..n), "{queue}");
    }
}
