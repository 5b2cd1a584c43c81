//! What a job's type may ask for beside its queue and its retries.

use std::time::{Duration, SystemTime};

use redis::AsyncCommands;
use roustabout::engine::{
    BufferLimits, Buffered, Client, EnqueueError, Failed, Job, JobContext, Payload, Pushed,
    Registry, Retry, State, Stop, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{Diary, PATIENCE, Running, Server, brisk, client, eventually};

const HOUR: Duration = Duration::from_secs(3_600);

/// One report per customer at a time, whatever else it is asked for.
#[derive(Serialize, Deserialize)]
struct Report {
    customer: u64,
    page: u64,
}

impl Job for Report {
    type App = Diary;
    const CLASS: &'static str = "Report";
    const RETRY: Retry = Retry::Times(1);
    const UNIQUE_FOR: Option<Duration> = Some(HOUR);
    const TAGS: &'static [&'static str] = &["slow", "customer"];
    const RETRY_QUEUE: Option<&'static str> = Some("later");

    fn unique_by(&self) -> impl Serialize {
        self.customer
    }

    fn retry_in(failures: u32) -> Option<Duration> {
        (failures == 1).then_some(HOUR)
    }

    fn on_death(self, death: &Failed) -> Option<Payload> {
        let words = json!([self.customer, death.failures, death.error_class, death.error]);
        Some(Payload::new("Obituary", words).queue("support"))
    }

    async fn perform(self, cx: JobContext<Diary>) -> anyhow::Result<()> {
        cx.app.note(format!("report {} {}", self.customer, self.page));
        match self.page {
            0 => anyhow::bail!("no pages"),
            1 => anyhow::bail!(Stop::Discard),
            2 => panic!("torn"),
            _ => Ok(()),
        }
    }
}

fn report(customer: u64, page: u64) -> Report {
    Report { customer, page }
}

#[tokio::test]
async fn a_second_one_of_the_same_is_told_of_the_first() {
    let server = Server::start().await;
    let client = client(&server);
    let first = client.enqueue(report(1, 7)).await.unwrap();
    let second = client.enqueue(report(1, 8)).await.unwrap();
    assert!(!first.existed() && second.existed());
    assert_eq!(first.jid(), second.jid());
    let other = client.enqueue_in(HOUR, report(2, 7)).await.unwrap();
    assert!(!other.existed());
    let many = client.enqueue_all([report(3, 7), report(2, 7), report(3, 8)]).await.unwrap();
    assert_eq!(many.iter().map(|job| job.existed()).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!((&*many[1], &*many[2]), (&*other, &*many[0]));
    assert_eq!(server.query::<u32>("LLEN queue:default").await, 2);
    assert_eq!(server.query::<u32>("ZCARD schedule").await, 1);
    let lock = server.query::<Vec<String>>("KEYS roustabout:unique:Report:*").await;
    assert_eq!(lock.len(), 3);
}

#[tokio::test]
async fn the_lock_goes_when_the_job_has_ended_for_good() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Report>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let client = client(&server);
    // done, discarded
    for page in [7, 1] {
        for round in 1..=3 {
            let free = async || !client.enqueue(report(page, page)).await.unwrap().existed();
            eventually("the lock is free again", free).await;
            let ran = format!("report {page} {page}");
            eventually("it ran", async || diary.count(&ran) == round).await;
        }
    }
    // it fails, keeps the lock while it waits, and loses it at its death
    client.enqueue(report(5, 2)).await.unwrap();
    eventually("it waits", async || server.query::<u32>("ZCARD retry").await == 1).await;
    assert!(client.enqueue(report(5, 7)).await.unwrap().existed());
    let mut connection = server.connect().await;
    let waiting: Vec<String> = connection.zrange("retry", 0, -1).await.unwrap();
    let () = connection.zadd("retry", &waiting[0], 1).await.unwrap();
    eventually("it is dead", async || server.query::<u32>("ZCARD dead").await == 1).await;
    assert!(!client.enqueue(report(5, 7)).await.unwrap().existed());
    worker.stop().await;
}

#[tokio::test]
async fn a_lock_that_somebody_else_has_by_now_stays() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    client.enqueue(report(1, 7)).await.unwrap();
    let lock = server.query::<Vec<String>>("KEYS roustabout:unique:*").await.remove(0);
    let () = server.connect().await.set(&lock, "another").await.unwrap(); // it had expired
    let worker =
        Running::start(brisk(), server.redis(), Registry::new(diary.clone()).job::<Report>());
    eventually("it ran", async || diary.count("report 1 7") == 1).await;
    worker.stop().await;
    assert_eq!(server.query::<String>(&format!("GET {lock}")).await, "another");
}

#[tokio::test]
async fn a_lock_never_keeps_a_job_from_its_end() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    client.enqueue(report(1, 7)).await.unwrap();
    let mut connection = server.connect().await;
    for key in server.query::<Vec<String>>("KEYS roustabout:unique:*").await {
        let () = connection.del(&key).await.unwrap();
        let () = connection.rpush(&key, "a foreign type").await.unwrap();
    }
    let worker =
        Running::start(brisk(), server.redis(), Registry::new(diary.clone()).job::<Report>());
    eventually("it ran", async || diary.count("report 1 7") == 1).await;
    worker.stop().await;
    assert!(server.query::<Vec<String>>("KEYS roustabout:inflight:*").await.is_empty());
    assert!(client.enqueue(report(1, 7)).await.is_err()); // said, not dropped
    assert_eq!(server.query::<u32>("EXISTS queue:default").await, 0);
}

#[tokio::test]
async fn what_is_left_to_do_at_a_death_is_pushed_with_the_burial() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Report>();
    let options = WorkerOptions { queues: "*,!support".parse().unwrap(), ..brisk() };
    let worker = Running::start(options, server.redis(), registry);
    let client = client(&server);
    let payload = Payload::of(&report(4, 0)).unwrap().with("retry", 0);
    client.push(payload.clone()).await.unwrap();
    let heard = async || server.query::<u32>("LLEN queue:support").await == 1;
    eventually("support hears of it", heard).await;
    let note: Vec<String> = server.query("LRANGE queue:support 0 -1").await;
    assert!(note[0].contains(r#""args":[4,1,"Error","no pages"]"#), "{note:?}");
    assert!(note[0].contains(r#""class":"Obituary""#) && note[0].contains("enqueued_at"));
    assert_eq!(server.query::<u32>("SISMEMBER queues support").await, 1);
    // also of one that is not kept
    client.push(payload.with("dead", false).with("jid", "other")).await.unwrap();
    let heard = async || server.query::<u32>("LLEN queue:support").await == 2;
    eventually("support hears of that too", heard).await;
    worker.stop().await;
    assert_eq!(server.query::<u32>("ZCARD dead").await, 1);
}

#[tokio::test]
async fn own_pauses_retry_queues_and_tags() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Report>();
    let worker = Running::start(brisk(), server.redis(), registry);
    client(&server).enqueue(report(6, 0)).await.unwrap();
    eventually("it waits", async || server.query::<u32>("ZCARD retry").await == 1).await;
    let entry: Vec<String> = server.query("ZRANGE retry 0 -1 WITHSCORES").await;
    let pause = entry[1].parse::<f64>().unwrap() - server.query::<(f64, f64)>("TIME").await.0;
    assert!((pause - 3_600.0).abs() < PATIENCE.as_secs_f64(), "{pause}");
    assert!(entry[0].contains(r#""tags":["slow","customer"]"#), "{entry:?}");
    assert!(entry[0].contains(r#""queue":"later""#), "{entry:?}");
    // it is served from there although nobody has pushed to it yet
    let mut connection = server.connect().await;
    let () = connection.zadd("retry", &entry[0], 1).await.unwrap();
    eventually("it runs again", async || diary.count("report 6 0") == 2).await;
    worker.stop().await;
}

/// Worthless when late.
#[derive(Serialize, Deserialize)]
struct Score {
    n: u64,
}

impl Job for Score {
    type App = Diary;
    const CLASS: &'static str = "Score";
    const EXPIRES_IN: Option<Duration> = Some(HOUR);
    const STATUS_FOR: Option<Duration> = Some(HOUR);

    async fn perform(self, cx: JobContext<Diary>) -> anyhow::Result<()> {
        cx.app.note(format!("score {}", self.n));
        cx.result(self.n * 2)
    }
}

#[tokio::test]
async fn what_comes_too_late_is_dropped_and_counted() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let late = Payload::of(&Score { n: 1 }).unwrap().with("created_at", 1_700_000_000.0);
    let late = client.push(late).await.unwrap();
    client.enqueue(Score { n: 2 }).await.unwrap();
    let past = SystemTime::now() - 2 * HOUR;
    client.enqueue_at(past, Score { n: 3 }).await.unwrap(); // at once, then
    let registry = Registry::new(diary.clone()).job::<Score>();
    let worker = Running::start(brisk(), server.redis(), registry);
    eventually("those in time run", async || diary.len() == 2).await;
    worker.stop().await;
    assert_eq!(diary.count("score 1"), 0);
    assert_eq!(server.query::<u32>("HGET roustabout:counters expired").await, 1);
    let status = client.status(&late).await.unwrap().unwrap();
    assert_eq!(
        (status.state, status.error.as_deref()),
        (State::Dead, Some("expired before it could run"))
    );
    assert!(server.query::<Vec<String>>("KEYS stat:failed*").await.is_empty());
}

#[tokio::test]
async fn a_buffered_client_knows_locks_too() {
    let server = Server::start().await;
    let buffered = Buffered::new(client(&server), BufferLimits::default());
    let first = buffered.enqueue(report(1, 7)).await.unwrap();
    let second = buffered.enqueue(report(1, 8)).await.unwrap();
    assert!(matches!(&first, Pushed::Delivered(_)), "{first:?}");
    assert_eq!(second, Pushed::Existed(first.jid().to_owned()));
    assert_eq!(server.query::<u32>("LLEN queue:default").await, 1);
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_one() {
    let (server, diary) = (Server::start().await, Diary::default());
    let proxy = Proxy::start(&server).await;
    let client = Client::new(proxy.redis());
    for (round, fault) in [Fault::Close, Fault::Mute].into_iter().enumerate() {
        let same = || report(round as u64, 7);
        proxy.arm(Kind::Push, fault);
        let first = client.enqueue(same()).await;
        assert!(matches!(first, Err(EnqueueError::Unknown(_))), "{first:?}");
        let again = async || client.enqueue(same()).await.is_ok_and(|it| it.existed());
        eventually("it turns out to be there", again).await;
        assert_eq!(server.query::<usize>("LLEN queue:default").await, round + 1);
    }
    // nor does one of its end
    let registry = Registry::new(diary.clone()).job::<Report>();
    let worker = Running::start(brisk(), proxy.redis(), registry);
    for fault in [Fault::Close, Fault::Mute] {
        proxy.arm(Kind::Ending, fault);
        let struck = proxy.struck();
        eventually("it struck", async || {
            let _ = client.enqueue(report(9, 7)).await;
            proxy.struck() > struck
        })
        .await;
    }
    eventually("nothing is left of them", async || {
        server.query::<Vec<String>>("KEYS roustabout:inflight:*").await.is_empty()
            && server.query::<Vec<String>>("KEYS roustabout:unique:*").await.is_empty()
    })
    .await;
    worker.stop().await;
    assert_eq!(diary.count("report 0 7"), 1);
    assert_eq!(diary.count("report 1 7"), 1);
    assert_eq!(server.query::<u32>("EXISTS retry dead").await, 0);
}

#[tokio::test]
async fn a_full_server_keeps_no_lock_of_a_job_that_it_refuses() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    client.enqueue(report(1, 7)).await.unwrap();
    client.enqueue(Score { n: 1 }).await.unwrap();
    let () = server.query("CONFIG SET maxmemory 1").await;
    assert_eq!(client.enqueue(report(2, 7)).await, Err(EnqueueError::Full));
    assert_eq!(client.enqueue(Score { n: 2 }).await, Err(EnqueueError::Full));
    assert_eq!(server.query::<Vec<String>>("KEYS roustabout:unique:*").await.len(), 1);
    // what is there already comes to its end
    let registry = Registry::new(diary.clone()).job::<Report>().job::<Score>();
    let worker = Running::start(brisk(), server.redis(), registry);
    eventually("both ran", async || diary.len() == 2).await;
    worker.stop().await;
    assert!(server.query::<Vec<String>>("KEYS roustabout:unique:*").await.is_empty());
    let status: Vec<String> = server.query("KEYS roustabout:status:*").await;
    assert_eq!(server.query::<String>(&format!("HGET {} state", status[0])).await, "done");
}
