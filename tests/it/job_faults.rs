//! Jobs at their worst: they panic wherever one can, and hang. Each run has one end, and the
//! worker goes on.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use roustabout::engine::{
    Call, Job, JobContext, Next, Payload, Registry, Retry, Worker, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Note { text: String }, |this, cx| {
    cx.app.note(this.text);
    Ok(())
});

/// What panics while it is dropped.
struct Sour;

impl Drop for Sour {
    fn drop(&mut self) {
        panic!("sour")
    }
}

/// Drops a `Sour` at different moments. (None of them is while another panic unwinds: that ends
/// the process, by a rule of the language, and `crashes.rs` has the jobs that do that.)
#[derive(Serialize, Deserialize)]
struct Drops {
    when: String,
}

impl Job for Drops {
    type App = Diary;
    const CLASS: &'static str = "Drops";

    // no async fn: what that holds is dropped before it ends
    fn perform(self, cx: JobContext<Diary>) -> impl Future<Output = anyhow::Result<()>> + Send {
        cx.app.note(&self.when);
        Remains { when: self.when, _sour: Sour }
    }
}

struct Remains {
    when: String,
    _sour: Sour,
}

impl Future for Remains {
    type Output = anyhow::Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<anyhow::Result<()>> {
        match self.when.as_str() {
            "after success" => Poll::Ready(Ok(())),
            "after a panic" => panic!("first"),
            "after an error" => Poll::Ready(Err(anyhow::anyhow!("no luck"))),
            _ => Poll::Pending, // until its limit, or its worker's end
        }
    }
}

/// A panic's payload that panics again when it is dropped, and so on.
struct Endless;

impl Drop for Endless {
    fn drop(&mut self) {
        std::panic::panic_any(Endless)
    }
}

job!(Throws { what: String }, |this, cx| {
    cx.app.note(&this.what);
    match this.what.as_str() {
        "a number" => std::panic::panic_any(7),
        "a sour thing" => std::panic::panic_any(Sour),
        "an endless thing" => std::panic::panic_any(Endless),
        "while a local goes" => {
            let _sour = Sour;
            Ok(())
        }
        _ => Ok(()),
    }
});

fn place(call: &Call) -> Option<String> {
    call.payload().and_then(|payload| payload.get("middleware"))
}

async fn fussy(call: Call, next: Next) -> anyhow::Result<()> {
    let place = place(&call);
    assert!(place.as_deref() != Some("before"), "before");
    let result = next.run(call).await;
    assert!(place.as_deref() != Some("after"), "after");
    result
}

/// `error_class` and `error_message` of what waits in the retry set, in alphabetical order.
async fn reasons(server: &Server) -> Vec<String> {
    let waiting: Vec<Vec<u8>> = server.query("ZRANGE retry 0 -1").await;
    let reason = |payload: &Vec<u8>| {
        let payload: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        let text = |name: &str| payload[name].as_str().expect("a text").to_owned();
        assert_eq!(payload["retry_count"], 0, "failed once: {payload}");
        format!("{}: {}", text("error_class"), text("error_message"))
    };
    let mut reasons: Vec<String> = waiting.iter().map(reason).collect();
    reasons.sort();
    reasons
}

/// After the failure of so many jobs: each ran once, all their places are free, and the reasons.
async fn failed(server: &Server, worker: Running, diary: &Diary, jobs: usize) -> Vec<String> {
    eventually("all failed", async || server.query::<usize>("ZCARD retry").await == jobs).await;
    let good = (0..10).map(|_| Note { text: "good".into() });
    client(server).enqueue_all(good).await.unwrap();
    eventually("the good ones ran", async || diary.count("good") == 10).await;
    eventually("nothing is in flight", async || held(server).await == 0).await;
    worker.stop().await;
    assert_eq!(server.query::<usize>("GET stat:failed").await, jobs);
    assert_eq!(server.query::<usize>("GET stat:processed").await, jobs + 10);
    reasons(server).await
}

#[tokio::test]
async fn wherever_a_job_panics_it_fails_once_and_frees_its_place() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Drops>().job::<Throws>().job::<Note>();
    let job_timeout = Some(Duration::from_millis(300));
    let options = WorkerOptions { concurrency: 2, job_timeout, ..brisk() };
    let worker = Running::start(options, server.redis(), registry);
    let client = client(&server);
    for when in ["after success", "after an error", "after a panic", "at its limit"] {
        client.enqueue(Drops { when: when.into() }).await.unwrap();
    }
    for what in ["a number", "a sour thing", "an endless thing", "while a local goes"] {
        client.enqueue(Throws { what: what.into() }).await.unwrap();
    }
    let reasons = failed(&server, worker, &diary, 8).await;
    let (dropped, mute) =
        ("Panic: the job panicked while it was dropped", "Panic: a panic without words");
    let expected = [mute, mute, mute, "Panic: sour", dropped, dropped, dropped, dropped];
    assert_eq!(reasons, expected);
    assert_eq!(diary.len(), 18, "each once: {:?}", diary.lines());
}

#[tokio::test]
async fn a_panic_of_what_is_left_of_a_job_goes_by_its_own_rule() {
    let (server, diary) = (Server::start().await, Diary::default());
    job!(Once {} retry Retry::Times(0), |_this, cx| {
        cx.app.note("ran");
        Err(anyhow::Error::new(Unspeakable))
    });
    let registry = Registry::new(diary.clone()).job::<Once>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let () = server.query(r#"LPUSH queue:default {"class":"Once","args":[],"jid":"1"}"#).await;
    eventually("it is buried", async || server.query::<u32>("ZCARD dead").await == 1).await;
    worker.stop().await;
    assert_eq!(server.query::<u32>("EXISTS retry").await, 0);
}

/// An error that panics when somebody wants to read it.
#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter) -> std::fmt::Result {
        panic!("unspeakable")
    }
}

impl std::error::Error for Unspeakable {}

#[tokio::test]
async fn middleware_that_panics_fails_the_job() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Note>();
    let options = WorkerOptions { concurrency: 2, ..brisk() };
    // the first one panics outside of any future
    let worker = Worker::new(options, server.redis(), registry).middleware(|call: Call, next| {
        let place = place(&call);
        assert!(place.as_deref() != Some("at once"), "at once");
        Next::run(next, call)
    });
    let worker = Running::launch(worker.middleware(fussy));
    for place in ["before", "after", "at once"] {
        let payload = Payload::new("Note", json!([place])).with("middleware", place);
        client(&server).push(payload).await.unwrap();
    }
    let reasons = failed(&server, worker, &diary, 3).await;
    assert_eq!(reasons, ["Panic: after", "Panic: at once", "Panic: before"]);
    assert_eq!((diary.count("after"), diary.len()), (1, 11));
}

#[tokio::test]
async fn a_job_that_panics_when_it_is_aborted_goes_back() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = || Registry::new(diary.clone()).job::<Drops>();
    let options = WorkerOptions { shutdown_timeout: Duration::from_millis(200), ..brisk() };
    let worker = Running::start(options, server.redis(), registry());
    let jobs = (0..3).map(|n| Drops { when: format!("never {n}") });
    client(&server).enqueue_all(jobs).await.unwrap();
    let before: Vec<String> = server.query("LRANGE queue:default 0 -1").await;
    eventually("they run", async || diary.len() == 3).await;
    worker.stop().await;
    let after: Vec<String> = server.query("LRANGE queue:default 0 -1").await;
    assert_eq!((after.len(), held(&server).await), (3, 0));
    assert!(before.iter().all(|job| after.contains(job)));
    assert_eq!(server.query::<u32>("EXISTS retry dead stat:failed").await, 0);
}

#[tokio::test]
async fn limits_of_a_class_and_of_the_last_step() {
    macro_rules! limited {
        ($name:ident, $limit:expr, |$cx:ident| $body:expr) => {
            #[derive(Serialize, Deserialize)]
            struct $name {}
            impl Job for $name {
                type App = Diary;
                const CLASS: &'static str = stringify!($name);
                const TIMEOUT: Option<Duration> = $limit;
                async fn perform(self, $cx: JobContext<Diary>) -> anyhow::Result<()> {
                    $body
                }
            }
        };
    }
    limited!(Short, Some(Duration::from_millis(100)), |cx| {
        cx.app.note("short");
        std::future::pending().await
    });
    limited!(Unlimited, Some(Duration::ZERO), |cx| {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        cx.app.note("unlimited");
        Ok(())
    });
    limited!(Endless, Some(Duration::MAX), |cx| {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        cx.app.note("endless");
        Ok(())
    });
    limited!(Stuck, None, |cx| {
        for step in 0..6 {
            cx.checkpoint(step).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        cx.app.note("stuck");
        std::future::pending().await
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Short>().job::<Unlimited>();
    let registry = registry.job::<Endless>().job::<Stuck>();
    let options = WorkerOptions { job_timeout: Some(Duration::from_secs(1)), ..brisk() };
    let worker = Running::start(options, server.redis(), registry);
    let client = client(&server);
    client.enqueue(Short {}).await.unwrap();
    client.enqueue(Unlimited {}).await.unwrap();
    client.enqueue(Endless {}).await.unwrap();
    let stuck = client.enqueue(Stuck {}).await.unwrap();
    eventually("two fail", async || server.query::<u32>("ZCARD retry").await == 2).await;
    eventually("two end", async || diary.len() == 4).await;
    worker.stop().await;
    let expected = ["0.1", "1"].map(|s| format!("Timeout: no end and no checkpoint within {s} s"));
    assert_eq!(reasons(&server).await, expected);
    assert_eq!(diary.count("stuck"), 1, "its steps together took longer than the limit");
    // where the next attempt goes on
    assert!(server.query::<u32>(&format!("HGET it-{stuck} c")).await > 0);
}
