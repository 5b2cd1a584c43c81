//! The helpers for the tests of those who write jobs. What stands in `docs/testing-jobs.md` as an
//! example is part of this file, word for word.

use std::path::Path;
use std::time::{Duration, SystemTime};

use roustabout::engine::testing::{PrivateRedis, Trial, perform};
use roustabout::engine::{
    Client, EnqueueError, Job, JobContext, Payload, PushNext, Redis, Registry, Retry, Stop, Worker,
    WorkerOptions, inspect,
};
use serde::{Deserialize, Serialize};

use crate::support::Diary;

/// Mails a newsletter to everybody, one after the other.
#[derive(Serialize, Deserialize)]
struct Newsletter {
    readers: Vec<String>,
}

/// A mail.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Mail {
    to: String,
}

#[derive(Clone)]
struct App {
    jobs: Client,
    sent: Diary,
}

impl Job for Newsletter {
    type App = App;
    const CLASS: &'static str = "Newsletter";
    const RETRY: Retry = Retry::Times(2);

    async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
        anyhow::ensure!(!self.readers.is_empty(), "nobody reads it");
        let done = cx.cursor().await?.unwrap_or(0);
        for (at, reader) in self.readers.iter().enumerate().skip(done) {
            cx.app.jobs.enqueue(Mail { to: reader.clone() }).await?;
            cx.checkpoint(at + 1).await?;
        }
        Ok(())
    }
}

impl Job for Mail {
    type App = App;
    const CLASS: &'static str = "Mail";
    const QUEUE: &'static str = "mailers";

    async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
        anyhow::ensure!(self.to.contains('@'), Stop::Kill);
        cx.app.sent.note(self.to);
        Ok(())
    }
}

fn newsletter() -> Newsletter {
    Newsletter { readers: ["a@x", "b@x", "c@x"].map(str::to_owned).to_vec() }
}

#[tokio::test]
async fn a_job_here_and_now() {
    let (client, recorded) = Client::recording();
    let app = App { jobs: client, sent: Diary::default() };

    perform(app.clone(), newsletter()).await.unwrap();
    let mails: Vec<Mail> = recorded.jobs();
    assert_eq!((mails.len(), &*mails[0].to), (3, "a@x"));

    let failed = perform(app.clone(), Newsletter { readers: Vec::new() }).await;
    assert_eq!(failed.unwrap_err().to_string(), "nobody reads it");

    let killed = Trial::new(app).perform(Mail { to: "nowhere".into() }).await;
    assert_eq!(killed.stop(), Some(Stop::Kill));
}

#[tokio::test]
async fn a_deploy_in_the_middle_sends_nothing_twice() {
    let (client, recorded) = Client::recording();
    let app = App { jobs: client, sent: Diary::default() };

    let first = Trial::new(app.clone()).interrupt_at(2).perform(newsletter()).await;
    assert_eq!(first.stop(), Some(Stop::Interrupted));
    assert_eq!(first.cursor(), Some(2));

    let second = Trial::new(app).after(&first).perform(newsletter()).await;
    second.result.unwrap();
    assert_eq!(recorded.jobs::<Mail>().len(), 3);
}

#[tokio::test]
async fn everything_on_a_server_of_its_own() {
    let server = PrivateRedis::start().unwrap();
    let redis = server.connect();
    let app = App { jobs: Client::new(redis.clone()), sent: Diary::default() };

    app.jobs.enqueue(newsletter()).await.unwrap();
    let registry = Registry::new(app.clone()).job::<Newsletter>().job::<Mail>();
    Worker::new(WorkerOptions::default(), redis, registry).drain().await.unwrap();
    assert_eq!(app.sent.len(), 3);
}

struct Probe {
    seen: Diary,
}

impl Probe {
    fn app(&self) -> App {
        App { jobs: Client::recording().0, sent: self.seen.clone() }
    }
}

/// Tells what it knows of itself.
#[derive(Serialize, Deserialize)]
struct Tells(u32);

impl Job for Tells {
    type App = App;
    const CLASS: &'static str = "Tells";
    const QUEUE: &'static str = "low";
    const RETRY: Retry = Retry::Times(2);

    async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
        let (attempt, last, jid) = (cx.attempt(), cx.last_attempt(), cx.jid());
        cx.app.sent.note(format!("{} {} {jid} {attempt} {last}", cx.class(), cx.queue()));
        cx.app.sent.note(format!("cancelled: {}", cx.cancelled().await?));
        let from: Option<String> = cx.cursor().await?;
        let from = from.unwrap_or_default();
        cx.app.sent.note(format!("from {from:?} interruptions {}", cx.interruptions()));
        for step in 1..=self.0 {
            cx.checkpoint(format!("{from}{step}")).await?;
        }
        anyhow::ensure!(!cx.stopping(), "stopping");
        cx.blocking(|| ()).await
    }
}

#[tokio::test]
async fn circumstances_of_a_trial() {
    let probe = Probe { seen: Diary::default() };
    for (attempt, last) in [(1, false), (2, false), (3, true)] {
        let trial = Trial::new(probe.app()).jid("j").attempt(attempt).cursor("x");
        let tried = trial.perform(Tells(2)).await;
        assert!(tried.result.is_ok() && tried.stop().is_none());
        assert_eq!((tried.checkpoints, tried.cursor::<String>().as_deref()), (2, Some("x2")));
        assert_eq!(
            probe.seen.lines()[(attempt as usize - 1) * 3..],
            [
                format!("Tells low j {attempt} {last}"),
                "cancelled: false".into(),
                format!("from \"x\" interruptions {}", u32::from(attempt == 1))
            ]
        );
    }
    let fresh = Trial::new(probe.app()).perform(Tells(0)).await;
    assert_eq!((fresh.checkpoints, fresh.cursor::<String>()), (0, None));
    assert_eq!(probe.seen.lines()[11], "from \"\" interruptions 0");
}

#[tokio::test]
async fn cancelled_at_any_moment() {
    let probe = Probe { seen: Diary::default() };
    for (at, checkpoints, lines) in [(0, 0, 2), (1, 1, 3), (3, 3, 3)] {
        let before = probe.seen.len();
        let tried = Trial::new(probe.app()).cancel_at(at).perform(Tells(5)).await;
        assert_eq!(tried.stop(), Some(Stop::Cancelled));
        assert_eq!((tried.checkpoints, probe.seen.len() - before), (checkpoints, lines));
        let again = Trial::new(probe.app()).after(&tried).perform(Tells(0)).await;
        assert!(again.result.is_ok(), "the wish went with the job");
    }
    assert_eq!(probe.seen.count("cancelled: true"), 1);
}

/// Enqueues only at its end.
#[derive(Serialize, Deserialize)]
struct Slow;

impl Job for Slow {
    type App = App;
    const CLASS: &'static str = "Slow";

    async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cx.app.jobs.enqueue(Mail { to: "slow@x".into() }).await?;
        Ok(())
    }
}

async fn tenant(payload: Payload, next: PushNext) -> Result<Payload, EnqueueError> {
    next.run(payload.with("tenant", "acme")).await
}

#[tokio::test]
async fn a_recording_client_is_a_client_but_for_the_push() {
    let (client, recorded) = Client::recording();
    let client = client.middleware(tenant);
    let mail = |to: &str| Mail { to: to.into() };
    let jid = client.enqueue(mail("a@x")).await.unwrap();
    let hour = Duration::from_secs(3_600);
    client.enqueue_in(hour, mail("b@x")).await.unwrap();
    let soon = SystemTime::now() + hour;
    client.enqueue_at(soon, mail("c@x")).await.unwrap();
    client.enqueue_all([mail("d@x"), mail("e@x")]).await.unwrap();
    client.push(Payload::new("Ruby", serde_json::json!([1])).queue("low")).await.unwrap();
    let bad = Payload::new("", serde_json::json!([]));
    assert!(matches!(client.push(bad).await, Err(EnqueueError::Invalid(_))));

    let mails: Vec<String> = recorded.jobs::<Mail>().into_iter().map(|mail| mail.to).collect();
    assert_eq!(mails, ["a@x", "b@x", "c@x", "d@x", "e@x"]);
    let payloads = recorded.payloads();
    assert_eq!(
        (payloads.len(), payloads[0].jid(), payloads[5].class()),
        (6, jid.to_string(), "Ruby".into())
    );
    assert!(payloads.iter().all(|it| it.get::<&str>("tenant") == Some("acme")));
    let at: Vec<Option<f64>> = payloads.iter().map(|payload| payload.get("at")).collect();
    let soon = soon.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(at[1].is_some_and(|at| (at - soon).abs() < 3_600.0), "{at:?}");
    assert!(at[2].is_some_and(|at| (at - soon).abs() < 0.001), "{at:?}");
    assert_eq!([at[0], at[3], at[5]], [None; 3]);
    assert_eq!(recorded.jobs::<Newsletter>().len(), 0);
}

#[tokio::test]
async fn an_absent_redis_says_so_at_once() {
    let redis = Redis::absent();
    let error = redis.query::<()>(&redis::cmd("PING")).await.unwrap_err();
    assert!(error.to_string().contains("no Redis in this test"), "{error}");
    assert!(redis.up().await.is_err() && redis.status().is_err());
}

#[tokio::test]
async fn what_waits_and_what_is_not_served_is_left() {
    let server = PrivateRedis::start().unwrap();
    let redis = server.connect();
    let app = App { jobs: Client::new(redis.clone()), sent: Diary::default() };
    let count = async |words: &[&str]| {
        redis.query::<usize>(redis::cmd(words[0]).arg(&words[1..])).await.unwrap()
    };
    let drain = async |queues: &str| {
        let registry = Registry::new(app.clone()).job::<Newsletter>().job::<Mail>().job::<Slow>();
        let options = WorkerOptions { queues: queues.parse().unwrap(), ..Default::default() };
        Worker::new(options, redis.clone(), registry).drain().await.unwrap();
    };
    drain("*").await; // nothing to do
    app.jobs.enqueue(newsletter()).await.unwrap();
    app.jobs.enqueue(Newsletter { readers: Vec::new() }).await.unwrap();
    app.jobs.enqueue_in(Duration::from_secs(3_600), newsletter()).await.unwrap();
    drain("*,!mailers").await;
    assert_eq!((count(&["LLEN", "queue:mailers"]).await, app.sent.len()), (3, 0));
    assert_eq!((count(&["ZCARD", "retry"]).await, count(&["ZCARD", "schedule"]).await), (1, 1));
    app.jobs.push(Payload::new("Mail", serde_json::json!(["d@x"])).queue("new")).await.unwrap();
    drain("*").await;
    assert_eq!((count(&["EXISTS", "queue:mailers", "queue:new"]).await, app.sent.len()), (0, 4));
    app.jobs.enqueue(Slow).await.unwrap();
    drain("*").await;
    assert_eq!(app.sent.count("slow@x"), 1, "what runs may enqueue");
    inspect::pause(&redis, "mailers").await.unwrap();
    app.jobs.enqueue(newsletter()).await.unwrap(); // to the default queue; its mails to a paused one
    drain("*").await;
    assert_eq!((count(&["EXISTS", "queue:default"]).await, app.sent.len()), (0, 5)); // and slow@x
    assert!(count(&["LLEN", "queue:mailers"]).await > 0);
    assert_eq!(count(&["EXISTS", "processes"]).await, 0);
}

#[tokio::test]
async fn a_server_goes_with_its_test() {
    let mut server = PrivateRedis::start().unwrap();
    let (dir, id) = (server.dir().to_owned(), server.id().unwrap());
    assert!(dir.is_dir() && server.answers());
    server.kill();
    assert!(!server.answers());
    server.launch().unwrap();
    crate::support::eventually("it is back", async || server.answers()).await;
    assert_ne!(server.id(), Some(id));
    let id = server.id().unwrap();
    drop(server);
    assert!(!dir.exists() && !Path::new(&format!("/proc/{id}")).exists());
}
