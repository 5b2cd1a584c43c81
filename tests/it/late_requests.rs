//! Requests arrive late: the worker has long given the connection up and gone on with another
//! one, or has left altogether, when the server gets to see what was sent. Then it must have no
//! effect any more.

use roustabout::engine::{Registry, WorkerOptions};

use crate::lost_replies::{held, patient};
use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{Diary, Running, Server, client, eventually};

job!(Gate { n: u32 }, |this, cx| {
    cx.app.note(format!("start {}", this.n));
    while cx.app.count("open") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Ok(())
});
job!(Fails {}, |_this, cx| {
    cx.app.note("fails");
    anyhow::bail!("no luck")
});
job!(Steps {}, |_this, cx| {
    for at in cx.cursor::<u32>().await?.unwrap_or(0)..5 {
        cx.checkpoint(at + 1).await?;
    }
    cx.app.note("steps done");
    Ok(())
});

fn registry(diary: &Diary) -> Registry<Diary> {
    Registry::new(diary.clone()).job::<Gate>().job::<Fails>().job::<Steps>()
}

fn one_at_a_time() -> WorkerOptions {
    WorkerOptions { concurrency: 1, ..patient() }
}

/// Lets the delayed request through; what the server says to it.
async fn late(proxy: &Proxy) -> String {
    proxy.release();
    eventually("the server has answered", async || !proxy.late_replies().is_empty()).await;
    proxy.late_replies().remove(0)
}

#[tokio::test]
async fn a_fetch_after_the_reconnect_takes_nothing() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (proxy, client) = (Proxy::start(&server).await, client(&server));
    proxy.arm(Kind::Fetch, Fault::Delay);
    let worker = Running::start(one_at_a_time(), proxy.redis(), registry(&diary));
    client.enqueue(Gate { n: 0 }).await.unwrap();
    eventually("the first runs", async || diary.count("start 0") == 1).await;
    client.enqueue_all((1..5).map(|n| Gate { n })).await.unwrap();
    assert_eq!(late(&proxy).await, "_\\r\\n");
    assert_eq!((server.query::<u32>("LLEN queue:default").await, held(&server).await), (4, 1));
    diary.note("open");
    eventually("all have run", async || diary.len() >= 6).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    worker.stop().await;
    assert_eq!(diary.len(), 6);
}

#[tokio::test]
async fn a_fetch_after_the_stop_takes_nothing() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (proxy, client) = (Proxy::start(&server).await, client(&server));
    proxy.arm(Kind::Fetch, Fault::Delay);
    let options = WorkerOptions { shutdown_timeout: crate::support::PATIENCE, ..one_at_a_time() };
    let worker = Running::start(options, proxy.redis(), registry(&diary));
    eventually("a fetch is under way", async || proxy.struck() == 1).await;
    client.enqueue_all((0..5).map(|n| Gate { n })).await.unwrap();
    worker.stop().await;
    assert_eq!(server.query::<u32>("SCARD processes").await, 0);
    assert_eq!(late(&proxy).await, "_\\r\\n");
    assert_eq!((server.query::<u32>("LLEN queue:default").await, held(&server).await), (5, 0));
    assert_eq!(diary.len(), 0, "nothing has started");
}

#[tokio::test]
async fn a_checkpoint_after_the_end_writes_nothing() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (proxy, client) = (Proxy::start(&server).await, client(&server));
    proxy.arm(Kind::Checkpoint, Fault::Delay);
    let worker = Running::start(one_at_a_time(), proxy.redis(), registry(&diary));
    client.enqueue(Steps {}).await.unwrap();
    eventually("it is done", async || diary.len() == 1).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    assert_eq!(late(&proxy).await, ":-1\\r\\n");
    assert!(server.query::<Vec<String>>("KEYS it-*").await.is_empty());
    worker.stop().await;
    assert_eq!(diary.len(), 1);
}

#[tokio::test]
async fn a_retry_after_the_retry_adds_nothing() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (proxy, client) = (Proxy::start(&server).await, client(&server));
    proxy.arm(Kind::Ending, Fault::Delay);
    let worker = Running::start(one_at_a_time(), proxy.redis(), registry(&diary));
    client.enqueue(Fails {}).await.unwrap();
    eventually("it waits", async || server.query::<u32>("ZCARD retry").await == 1).await;
    let () = server.query("DEL retry").await; // as if it had been taken up already
    assert_eq!(late(&proxy).await, "_\\r\\n");
    assert_eq!(server.query::<u32>("ZCARD retry").await, 0);
    worker.stop().await;
    assert_eq!(diary.len(), 1);
}

#[tokio::test]
async fn a_beat_after_the_end_revives_nobody() {
    let (server, diary) = (Server::start().await, Diary::default());
    let proxy = Proxy::start(&server).await;
    proxy.arm(Kind::Beat, Fault::Delay);
    let worker = Running::start(one_at_a_time(), proxy.redis(), registry(&diary));
    eventually("a beat is under way", async || proxy.struck() == 1).await;
    let known = async || server.query::<Vec<String>>("SMEMBERS processes").await;
    eventually("it is registered, too", async || !known().await.is_empty()).await;
    let identity = known().await;
    worker.stop().await;
    assert_eq!(server.query::<u32>(&format!("EXISTS {}", identity[0])).await, 0);
    assert_eq!(late(&proxy).await, "_\\r\\n");
    assert_eq!(server.query::<u32>(&format!("EXISTS {} processes", identity[0])).await, 0);
}

#[tokio::test]
async fn a_giving_back_that_comes_late_takes_nothing_from_the_next() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (proxy, client) = (Proxy::start(&server).await, client(&server));
    proxy.arm(Kind::Requeue, Fault::Delay);
    let worker = Running::start(one_at_a_time(), proxy.redis(), registry(&diary));
    client.enqueue(Gate { n: 0 }).await.unwrap();
    eventually("it runs", async || diary.len() == 1).await;
    worker.stop().await;
    assert_eq!(held(&server).await, 1, "left to the reaper");
    let next = Running::start(one_at_a_time(), server.redis(), registry(&diary));
    eventually("it runs elsewhere", async || diary.len() == 2).await;
    assert_eq!(late(&proxy).await, ":0\\r\\n");
    assert_eq!((server.query::<u32>("LLEN queue:default").await, held(&server).await), (0, 1));
    diary.note("open");
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    next.stop().await;
    assert_eq!(diary.count("start 0"), 2);
}
