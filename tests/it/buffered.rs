//! The buffered client in an outage: what it keeps, what it refuses, what it says, how it ends.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roustabout::engine::{BufferLimits, Buffered, Client, EnqueueError, Payload, PushNext, Pushed};
use serde_json::{Value, json};
use tracing::subscriber::{DefaultGuard, set_default};

use crate::support::{Server, eventually, open};

pub fn job(n: usize) -> Payload {
    Payload::new("Note", json!([n]))
}

/// The first arguments of the jobs of a queue, oldest first.
pub async fn queued(server: &Server, queue: &str) -> Vec<usize> {
    let jobs: Vec<String> = server.query(&format!("LRANGE queue:{queue} 0 -1")).await;
    let number = |job: &String| {
        let job: Value = serde_json::from_str(job).expect("JSON");
        job["args"][0].as_u64().expect("a number") as usize
    };
    jobs.iter().rev().map(number).collect()
}

/// The markers that stand in Redis.
pub async fn markers(server: &Server) -> Vec<String> {
    server.query("KEYS roustabout:pushed:*").await
}

pub fn buffered(server: &Server) -> Buffered {
    Buffered::new(Client::new(server.redis()), BufferLimits::default())
}

/// A server whose data survives its death.
pub async fn durable() -> Server {
    Server::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await
}

/// Pushes until one is delivered at once; returns how many were kept before.
async fn until_delivered(client: &Buffered) {
    let delivered = async || matches!(client.push(job(0)).await, Ok(Pushed::Delivered(_)));
    eventually("one is delivered", delivered).await;
    eventually("none waits", async || client.waiting() == 0).await;
}

/// What this thread logs from now on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen() -> (Log, DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false);
        let guard = set_default(lines.with_writer(move || writer.clone()).finish());
        (log, guard)
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        text.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn jobs_wait_in_order_for_redis_to_come_back() {
    let (log, _guard) = Log::listen();
    let mut server = Server::start().await;
    let redis = server.redis();
    let client = Buffered::new(Client::new(redis.clone()), BufferLimits::default());
    redis.up().await.unwrap();
    server.kill();
    eventually("it is noticed", async || redis.status().is_err()).await;
    for n in 0..250 {
        let pushed = client.push(job(n)).await.unwrap();
        assert!(matches!(&pushed, Pushed::Buffered(jid) if jid.len() == 24), "{pushed:?}");
    }
    let soon = Duration::from_secs(3_600);
    job!(Later {}, |_this, _cx| Ok(()));
    let later = client.enqueue_in(soon, Later {}).await.unwrap();
    assert_eq!(client.waiting(), 251);
    server.launch();
    eventually("all are delivered", async || client.waiting() == 0).await;
    assert_eq!(queued(&server, "default").await, Vec::from_iter(0..250));
    let scheduled: Vec<String> = server.query("ZRANGE schedule 0 -1").await;
    assert!(scheduled.len() == 1 && scheduled[0].contains(later.jid()), "{scheduled:?}");
    assert_eq!(server.query::<Vec<String>>("SMEMBERS queues").await, ["default"]);
    assert!(matches!(client.push(job(250)).await, Ok(Pushed::Delivered(_))));
    let () = server.query("DEL roustabout:counters").await;
    assert_eq!(log.lines("kept in memory until").len(), 1);
    let over = log.lines("takes jobs again");
    assert!(over.len() == 1 && over[0].contains("251"), "{over:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_counted_and_told() {
    let (log, _guard) = Log::listen();
    let mut server = durable().await;
    for limits in [BufferLimits { jobs: 3, bytes: 8 << 20 }, BufferLimits { jobs: 9, bytes: 4_000 }]
    {
        let redis = server.redis();
        let client = Buffered::new(Client::new(redis.clone()), limits);
        until_delivered(&client).await;
        let () = server.query("DEL queue:default roustabout:counters").await;
        server.kill();
        eventually("it is noticed", async || redis.status().is_err()).await;
        // three of these fit, by either limit
        let padded = |n| job(n).with("pad", "x".repeat(1_000));
        for n in 0..3 {
            assert!(matches!(client.push(padded(n)).await, Ok(Pushed::Buffered(_))));
        }
        for n in 3..7 {
            let refused = client.push(padded(n)).await;
            assert!(matches!(refused, Err(EnqueueError::Unavailable(_))), "{refused:?}");
        }
        server.launch();
        eventually("all are delivered", async || client.waiting() == 0).await;
        assert_eq!(queued(&server, "default").await, [0, 1, 2]);
        assert!(client.push(job(7)).await.is_ok());
        assert_eq!(server.query::<u32>("HGET roustabout:counters push_refused").await, 4);
        let over = log.lines("takes jobs again").pop().unwrap();
        assert!(over.contains("refused=4") && over.contains("the 3 that"), "{over}");
    }
    assert_eq!(log.lines("takes jobs again").len(), 2);
}

#[tokio::test]
async fn a_full_redis_gets_them_when_it_has_room() {
    let server = Server::start().await;
    let client = buffered(&server);
    until_delivered(&client).await;
    let () = server.query("DEL queue:default").await;
    let () = server.query("CONFIG SET maxmemory 1").await;
    for n in 0..10 {
        assert!(matches!(client.push(job(n)).await, Ok(Pushed::Buffered(_))));
    }
    let calls = async || -> usize {
        let stats: String = server.query("INFO commandstats").await;
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse().unwrap()
    };
    let before = calls().await;
    eventually("it is tried again", async || calls().await > before + 2).await;
    assert_eq!(server.query::<u32>("EXISTS queue:default").await, 0);
    let () = server.query("CONFIG SET maxmemory 0").await;
    eventually("all are delivered", async || client.waiting() == 0).await;
    assert_eq!(queued(&server, "default").await, Vec::from_iter(0..10));
}

#[tokio::test]
async fn a_flush_delivers_what_it_can() {
    let mut server = durable().await;
    let client = buffered(&server);
    until_delivered(&client).await;
    let () = server.query("DEL queue:default").await;
    server.kill();
    eventually("jobs are kept", async || {
        matches!(client.push(job(0)).await, Ok(Pushed::Buffered(_)))
    })
    .await;
    let kept = client.waiting();
    server.launch();
    assert_eq!(client.flush(crate::support::PATIENCE).await, 0);
    assert_eq!(queued(&server, "default").await, vec![0; kept]);
    // but for one whose reply may have been lost with the server
    assert!(markers(&server).await.len() <= 1);
}

#[tokio::test]
async fn what_is_lost_in_the_end_is_named_without_its_arguments() {
    let (log, _guard) = Log::listen();
    let dir = tempfile::tempdir().unwrap();
    let away = format!("unix://{}/nobody.sock", dir.path().display());
    let client = Buffered::new(Client::new(open(&away)), BufferLimits::default());
    let mut jids = Vec::new();
    for _ in 0..3 {
        let payload = Payload::new("Secret", json!(["s3cret"]));
        jids.push(client.push(payload).await.unwrap().jid().to_owned());
    }
    assert_eq!(client.flush(Duration::from_millis(50)).await, 3);
    assert_eq!((client.waiting(), client.flush(Duration::from_millis(50)).await), (0, 0));
    client.push(Payload::new("Late", json!(["s3cret"]))).await.unwrap();
    drop(client); // without a flush
    let lost = log.lines("are lost");
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(jids.iter().all(|jid| lost[0].contains(&format!("Secret {jid}"))), "{lost:?}");
    assert!(lost[1].contains("Late "));
    assert!(log.lines("s3cret").is_empty());
}

#[tokio::test]
async fn markers_do_not_pile_up() {
    let server = Server::start().await;
    let client = buffered(&server);
    until_delivered(&client).await;
    for n in 0..300 {
        client.push(job(n)).await.unwrap();
        assert!(markers(&server).await.len() <= 1);
    }
    assert_eq!(client.flush(Duration::from_secs(60)).await, 0);
    assert!(markers(&server).await.is_empty());
}

#[tokio::test]
async fn middleware_runs_once_and_at_the_push() {
    let mut server = durable().await;
    let (redis, calls) = (server.redis(), Arc::new(Mutex::new(0)));
    let counted = calls.clone();
    let plain = Client::new(redis.clone()).middleware(move |payload: Payload, next: PushNext| {
        let mut calls = counted.lock().expect("no panic");
        *calls += 1;
        let payload = payload.with("call", *calls);
        async move { next.run(payload).await }
    });
    let client = Buffered::new(plain, BufferLimits::default());
    redis.up().await.unwrap();
    server.kill();
    eventually("it is noticed", async || redis.status().is_err()).await;
    client.push(job(0)).await.unwrap();
    assert_eq!(*calls.lock().unwrap(), 1);
    server.launch();
    eventually("it is delivered", async || client.waiting() == 0).await;
    let jobs: Vec<String> = server.query("LRANGE queue:default 0 -1").await;
    assert!(jobs.len() == 1 && jobs[0].contains("\"call\":1"), "{jobs:?}");
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_jid_may_come_twice() {
    let server = Server::start().await;
    let client = buffered(&server);
    until_delivered(&client).await;
    let () = server.query("DEL queue:default").await;
    for n in 0..4 {
        client.push(job(n).with("jid", "always the same")).await.unwrap();
    }
    assert_eq!(queued(&server, "default").await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_queue_that_is_none_holds_up_no_other() {
    let (log, _guard) = Log::listen();
    let mut server = durable().await;
    let () = server.query("SET queue:odd nonsense").await;
    let redis = server.redis();
    let client = Buffered::new(Client::new(redis.clone()), BufferLimits::default());
    until_delivered(&client).await;
    let () = server.query("DEL queue:default").await;
    let refused = client.push(job(0).queue("odd")).await;
    assert!(matches!(&refused, Err(EnqueueError::Refused(why)) if why.contains("WRONGTYPE")));
    server.kill();
    eventually("it is noticed", async || redis.status().is_err()).await;
    client.push(job(1)).await.unwrap();
    let dropped = client.push(job(2).queue("odd")).await.unwrap();
    client.push(job(3)).await.unwrap();
    server.launch();
    eventually("none waits", async || client.waiting() == 0).await;
    client.push(job(4)).await.unwrap();
    assert_eq!(queued(&server, "default").await, [1, 3, 4]);
    assert_eq!(server.query::<u32>("HGET roustabout:counters push_dropped").await, 1);
    assert_eq!(log.lines("is dropped").len(), 1);
    assert_eq!(log.lines(dropped.jid()).len(), 1);
    assert_eq!(client.flush(Duration::from_secs(60)).await, 0);
    assert!(markers(&server).await.is_empty(), "what was not pushed has no marker");
}

#[tokio::test]
async fn it_ends_with_its_last_handle() {
    let server = Server::start().await;
    let client = buffered(&server);
    until_delivered(&client).await;
    let clone = client.clone();
    drop(client);
    clone.push(job(1)).await.unwrap();
    let connections = async || server.query::<String>("CLIENT LIST").await.lines().count() - 1;
    eventually("one connection", async || connections().await == 1).await;
    drop(clone);
    eventually("none", async || connections().await == 0).await;
}
