//! How far a job is, by its jid: for those who wait for it.

use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{
    Client, Job, JobContext, Payload, Registry, Retry, State, Status, Stop, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::support::{Diary, Running, Server, brisk, client, eventually};

const HOUR: Duration = Duration::from_secs(3_600);

static STEP: Notify = Notify::const_new();
static GO_ON: Notify = Notify::const_new();

/// Counts up, and stops half-way for those who look.
#[derive(Serialize, Deserialize)]
struct Count {
    end: String,
}

impl Job for Count {
    type App = Diary;
    const CLASS: &'static str = "Count";
    const RETRY: Retry = Retry::Times(1);
    const STATUS_FOR: Option<Duration> = Some(HOUR);

    async fn perform(self, cx: JobContext<Diary>) -> anyhow::Result<()> {
        for n in 1..=100_000 {
            cx.progress(n, 200_000);
        }
        cx.message("half of it");
        STEP.notify_one();
        GO_ON.notified().await;
        match &*self.end {
            "fails" => anyhow::bail!("no luck"),
            "snoozes" => anyhow::bail!(Stop::Snooze(HOUR)),
            "leaves" => {
                cx.stopped().await;
                anyhow::bail!(Stop::Interrupted)
            }
            "stays" => std::future::pending().await,
            _ => cx.result(("counted", 200_000)),
        }
    }
}

async fn status(client: &Client, jid: &str) -> Status {
    client.status(jid).await.unwrap().expect("a status")
}

async fn reaches(client: &Client, jid: &str, state: State) -> Status {
    eventually(state.as_str(), async || status(client, jid).await.state == state).await;
    status(client, jid).await
}

fn count(end: &str) -> Count {
    Count { end: end.to_owned() }
}

/// One after the other in one test: they share the gates.
#[tokio::test]
async fn from_the_enqueue_to_the_end() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let done = client.enqueue(count("is done")).await.unwrap();
    let at_first = status(&client, &done).await;
    assert_eq!((at_first.state, at_first.progress), (State::Queued, None));
    let registry = || Registry::new(diary.clone()).job::<Count>();
    let worker = Running::start(brisk(), server.redis(), registry());
    STEP.notified().await;
    let told = async || status(&client, &done).await.progress == Some((100_000, 200_000));
    eventually("the progress is told", told).await;
    let half = status(&client, &done).await;
    assert_eq!((half.state, half.message.as_deref()), (State::Running, Some("half of it")));
    // a hundred thousand steps were no hundred thousand commands
    let stats: String = server.query("INFO commandstats").await;
    let sets = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hset:calls="));
    let sets: u32 = sets.unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(sets < 1_000, "{sets}");
    GO_ON.notify_one();
    let end = reaches(&client, &done, State::Done).await;
    assert_eq!(end.result::<(String, u32)>(), Some(("counted".into(), 200_000)));
    assert_eq!((end.progress, end.error), (Some((100_000, 200_000)), None));
    let left: i64 = server.query(&format!("TTL roustabout:status:{done}")).await;
    assert!((1..=3_600).contains(&left), "{left}");

    let snoozes = client.enqueue(count("snoozes")).await.unwrap();
    GO_ON.notify_one();
    reaches(&client, &snoozes, State::Queued).await;

    let fails = client.enqueue(count("fails")).await.unwrap();
    GO_ON.notify_one();
    let failed = reaches(&client, &fails, State::Retrying).await;
    assert_eq!(failed.error.as_deref(), Some("no luck"));
    let mut connection = server.connect().await;
    let waiting: Vec<String> = connection.zrange("retry", 0, -1).await.unwrap();
    let () = connection.zadd("retry", &waiting[0], 1).await.unwrap();
    GO_ON.notify_one();
    let dead = reaches(&client, &fails, State::Dead).await;
    assert_eq!((dead.error.as_deref(), dead.state.is_final()), (Some("no luck"), true));

    worker.stop().await;

    for end in ["leaves", "stays"] {
        let worker = Running::start(brisk(), server.redis(), registry());
        let back = client.enqueue(count(end)).await.unwrap();
        reaches(&client, &back, State::Running).await;
        GO_ON.notify_one();
        worker.stop().await; // it is interrupted, or aborted, and waits in its queue
        assert_eq!(status(&client, &back).await.state, State::Queued, "{end}");
        let () = connection.del("queue:default").await.unwrap();
    }
}

#[tokio::test]
async fn a_payload_may_ask_for_it_too_and_a_foreign_type_changes_nothing() {
    job!(Plain {}, |_this, cx| {
        cx.progress(1, 2);
        cx.app.note("ran");
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let asked = Payload::of(&Plain {}).unwrap().with("status_for", 60);
    let asked = client.push(asked).await.unwrap();
    let silent = client.enqueue(Plain {}).await.unwrap();
    let spoilt = Payload::of(&Plain {}).unwrap().with("status_for", 60);
    let spoilt = client.push(spoilt).await.unwrap();
    let mut connection = server.connect().await;
    let key = format!("roustabout:status:{spoilt}");
    let () = connection.del(&key).await.unwrap();
    let () = connection.lpush(&key, "no hash").await.unwrap();
    let registry = Registry::new(diary.clone()).job::<Plain>();
    let worker = Running::start(brisk(), server.redis(), registry);
    eventually("all ran", async || diary.count("ran") == 3).await;
    reaches(&client, &asked, State::Done).await;
    worker.stop().await;
    assert_eq!(status(&client, &asked).await.progress, Some((1, 2)));
    assert_eq!(client.status(&silent).await.unwrap(), None);
    assert!(client.status(&spoilt).await.is_err());
    assert!(server.query::<Vec<String>>("KEYS roustabout:inflight:*").await.is_empty());
}

#[tokio::test]
async fn what_a_lost_run_tells_late_does_not_count() {
    static BEGUN: Notify = Notify::const_new();
    job!(Slow {}, |_this, cx| {
        BEGUN.notify_one();
        loop {
            cx.progress(1, 2);
            tokio::time::sleep(Duration::from_millis(5)).await;
            if cx.stopping() {
                return Ok(());
            }
        }
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let payload = Payload::of(&Slow {}).unwrap().with("status_for", 60);
    let jid = client.push(payload).await.unwrap();
    let options = WorkerOptions { concurrency: 1, ..brisk() };
    let registry = Registry::new(diary.clone()).job::<Slow>();
    let worker = Running::start(options, server.redis(), registry);
    BEGUN.notified().await;
    reaches(&client, &jid, State::Running).await;
    // somebody takes the job from under it, and says that it is done
    let inflight = server.query::<Vec<String>>("KEYS roustabout:inflight:*").await.remove(0);
    let mut connection = server.connect().await;
    let () = connection.del(&inflight).await.unwrap();
    let () = connection.hset(format!("roustabout:status:{jid}"), "state", "done").await.unwrap();
    worker.stop().await;
    assert_eq!(status(&client, &jid).await.state, State::Done);
}
