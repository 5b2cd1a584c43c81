//! Middleware on both sides: its order, what it may do to a job, and what travels.

use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use redis::AsyncCommands;
use roustabout::engine::{
    BufferLimits, Buffered, Call, Client, EnqueueError, Next, Payload, PushNext, Registry, Stop,
    Worker, WorkerOptions,
};
use serde_json::{Value, json};

use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Note { text: String }, |this, cx| {
    cx.app.note(format!("job {}", this.text));
    Ok(())
});

fn text(payload: &Payload, field: &str) -> String {
    payload.get(field).unwrap_or_default()
}

/// Client middleware that leaves its letter in the payload, small on the way in, large on the way
/// out, and notes that it ran.
fn marks(client: Client, letter: &'static str, diary: &Diary) -> Client {
    let diary = diary.clone();
    client.middleware(move |payload: Payload, next: PushNext| {
        diary.note(letter);
        async move {
            let path = text(&payload, "path") + letter;
            let payload = next.run(payload.with("path", path)).await?;
            let path = text(&payload, "path") + &letter.to_uppercase();
            Ok(payload.with("path", path))
        }
    })
}

/// Worker middleware that notes its number around the rest.
fn notes(worker: Worker, number: u8, diary: &Diary) -> Worker {
    let diary = diary.clone();
    worker.middleware(move |call: Call, next: Next| {
        let diary = diary.clone();
        async move {
            diary.note(format!("{number} begins"));
            let result = next.run(call).await;
            diary.note(format!("{number} ends, ok: {}", result.is_ok()));
            result
        }
    })
}

#[tokio::test]
async fn the_first_added_is_the_outermost_on_both_sides() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = marks(marks(client(&server), "a", &Diary::default()), "b", &Diary::default());
    client.enqueue(Note { text: "runs".into() }).await.unwrap();
    let stored: String = server.query("LINDEX queue:default 0").await;
    assert_eq!(text(&Payload::parse(stored.as_bytes()).unwrap(), "path"), "abBA");
    let registry = Registry::new(diary.clone()).job::<Note>();
    let worker = Worker::new(brisk(), server.redis(), registry);
    let worker = Running::launch(notes(notes(worker, 1, &diary), 2, &diary));
    eventually("it ran", async || diary.len() == 5).await;
    worker.stop().await;
    let lines = ["1 begins", "2 begins", "job runs", "2 ends, ok: true", "1 ends, ok: true"];
    assert_eq!(diary.lines(), lines);
}

/// Does what a field of the payload says.
async fn obeys(call: Call, next: Next) -> anyhow::Result<()> {
    let payload = call.payload().context("no payload")?;
    let wish = text(&payload, "wish");
    match wish.as_str() {
        "skip" => Ok(()),
        "new arguments" => next.run(call.with_args(json!(["replaced"]))).await,
        "one argument" => next.run(call.with_args(json!({"text": "only one"}))).await,
        "new payload" => next.run(call.with_payload(payload.with("args", json!(["new"])))).await,
        "another class" => next.run(call.with_payload(payload.with("class", "Else"))).await,
        "bad arguments" => next.run(call.with_args(json!([1, 2]))).await,
        "bad, with context" => next.run(call.with_args(json!([7]))).await.context("of old"),
        "bad payload" => next.run(call.with_payload(payload.with("args", "none"))).await,
        "forgive" => next.run(call.with_args(json!([7]))).await.or(Ok(())),
        "twice" => {
            let again = call.with_args(json!(["before"])).with_args(json!(["last"]));
            next.run(again).await
        }
        "error" => bail!("no"),
        "error afterwards" => next.run(call).await.and(Err(anyhow!("no"))),
        "panic" => panic!("no"),
        "discard" => bail!(Stop::Discard),
        "kill" => Err(anyhow!(Stop::Kill).context("no")),
        "snooze" => bail!(Stop::Snooze(Duration::from_secs(3_600))),
        _ => next.run(call).await,
    }
}

/// Where a job ended, what it failed of, and what it had noted.
type End = (&'static str, Option<&'static str>, &'static str);

const ENDS: &[(&str, End)] = &[
    ("nothing", ("", None, "job stored")),
    ("skip", ("", None, "")),
    ("new arguments", ("", None, "job replaced")),
    ("one argument", ("", None, "job only one")),
    ("new payload", ("", None, "job new")),
    ("another class", ("", None, "job stored")),
    ("twice", ("", None, "job last")),
    ("forgive", ("", None, "")),
    ("bad arguments", ("retry", Some("BadArguments"), "")),
    ("bad, with context", ("retry", Some("BadArguments"), "")),
    ("bad payload", ("retry", Some("BadArguments"), "")),
    ("error", ("retry", Some("Error"), "")),
    ("error afterwards", ("retry", Some("Error"), "job stored")),
    ("panic", ("retry", Some("Panic"), "")),
    ("discard", ("", None, "")),
    ("kill", ("dead", Some("Error"), "")),
    ("snooze", ("schedule", None, "")),
];

#[tokio::test]
async fn what_worker_middleware_does_counts_as_the_jobs_own() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Note>();
    let worker = Worker::new(brisk(), server.redis(), registry).middleware(obeys);
    let worker = Running::launch(worker);
    let client = client(&server);
    for (wish, (place, class, noted)) in ENDS {
        let payload = Payload::new("Note", json!([{"text": "stored"}])).with("wish", wish);
        client.push(payload).await.unwrap();
        let empty = async || server.query::<u32>("EXISTS queue:default").await == 0;
        eventually("it was taken", empty).await;
        let ended = async || {
            let inflight: Vec<String> = server.query("KEYS roustabout:inflight:*").await;
            inflight.is_empty()
        };
        eventually("it ended", ended).await;
        assert_eq!(diary.lines().join(" "), *noted, "{wish}");
        diary.clear();
        let mut left = String::new();
        for set in ["retry", "dead", "schedule"] {
            let jobs: Vec<String> = server.query(&format!("ZRANGE {set} 0 -1")).await;
            assert_eq!(jobs.len(), usize::from(set == *place), "{wish}: {set}");
            left.extend(jobs);
            let () = server.query(&format!("DEL {set}")).await;
        }
        if !place.is_empty() {
            let job: Value = serde_json::from_str(&left).unwrap();
            assert_eq!(job["args"], json!([{"text": "stored"}]), "{wish}");
            assert_eq!((job["wish"].as_str(), job["class"].as_str()), (Some(*wish), Some("Note")));
            assert_eq!(job["error_class"].as_str(), *class, "{wish}");
        }
    }
    worker.stop().await;
    assert_eq!(server.query::<u32>("HGET roustabout:counters discarded").await, 1);
}

#[tokio::test]
async fn what_cannot_run_reaches_no_middleware_and_a_wrapped_job_is_opened() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Note>();
    let worker = Worker::new(brisk(), server.redis(), registry).middleware(obeys);
    let worker = Running::launch(notes(worker, 1, &diary));
    let client = client(&server);
    client.push(Payload::new("Nobody", json!([]))).await.unwrap();
    let mut connection = server.connect().await;
    let () = connection.lpush("queue:default", "no job at all").await.unwrap();
    eventually("one waits", async || server.query::<u32>("ZCARD retry").await == 1).await;
    eventually("one is dead", async || server.query::<u32>("ZCARD dead").await == 1).await;
    assert_eq!(diary.len(), 0);
    let wrapped = |text: &str| Payload::active_job("Note", "default", json!([{"text": text}]));
    client.push(wrapped("inside")).await.unwrap();
    eventually("it ran", async || diary.len() == 3).await;
    client.push(wrapped("inside").with("wish", "new arguments")).await.unwrap();
    eventually("it ran", async || diary.len() == 6).await;
    client.push(wrapped("").with("args", json!([]))).await.unwrap();
    eventually("one more waits", async || server.query::<u32>("ZCARD retry").await == 2).await;
    worker.stop().await;
    let ran = diary.lines().into_iter().filter(|line| line.starts_with("job")).collect::<Vec<_>>();
    assert_eq!(ran, ["job inside", "job replaced"]);
    let waiting: Vec<String> = server.query("ZRANGE retry 0 -1").await;
    for class in ["\"NameError\"", "\"BadArguments\""] {
        assert!(waiting.iter().any(|job| job.contains(class)), "{class}: {waiting:?}");
    }
}

#[tokio::test]
async fn a_field_travels_over_failure_and_retry() {
    job!(Outer {}, |_this, cx| {
        anyhow::ensure!(cx.attempt() > 1, "not yet");
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Outer>();
    let seen = diary.clone();
    let worker = Worker::new(brisk(), server.redis(), registry);
    let worker = worker.middleware(move |call: Call, next: Next| {
        let tenant: String = call.get("tenant").unwrap_or_default();
        seen.note(format!("run {} of {tenant}", call.attempt()));
        // not stored: the second run finds what the first one found
        let payload = call.payload().map(|payload| payload.with("tenant", "nobody"));
        next.run(call.with_payload(payload.expect("a payload")))
    });
    let worker = Running::launch(worker);
    let pushes = Diary::default();
    let tenant =
        async |payload: Payload, next: PushNext| next.run(payload.with("tenant", "acme")).await;
    let client = marks(client(&server).middleware(tenant), "a", &pushes);
    client.enqueue(Outer {}).await.unwrap();
    eventually("it waits", async || server.query::<u32>("ZCARD retry").await == 1).await;
    let mut connection = server.connect().await;
    let waiting: Vec<String> = connection.zrange("retry", 0, -1).await.unwrap();
    let () = connection.zadd("retry", &waiting[0], 1).await.unwrap();
    eventually("it ran again", async || diary.len() == 2).await;
    worker.stop().await;
    assert_eq!(diary.lines(), ["run 1 of acme", "run 2 of acme"]);
    assert_eq!(pushes.len(), 1, "the way from retry to its queue is no enqueueing");
}

#[tokio::test]
async fn every_way_to_enqueue_passes_the_clients_middleware_once() {
    let (server, seen) = (Server::start().await, Diary::default());
    let client = marks(client(&server), "a", &seen);
    let note = || Note { text: "x".into() };
    let raw = || Payload::new("Note", json!(["x"]));
    let past = SystemTime::UNIX_EPOCH;
    client.enqueue(note()).await.unwrap();
    client.enqueue_at(past, note()).await.unwrap();
    client.enqueue_in(Duration::from_millis(1), note()).await.unwrap();
    client.enqueue_all([note(), note()]).await.unwrap();
    client.push(raw()).await.unwrap();
    client.push_all(vec![raw(), raw()]).await.unwrap();
    let buffered = Buffered::new(client, BufferLimits::default());
    buffered.enqueue(note()).await.unwrap();
    buffered.enqueue_in(Duration::from_millis(1), note()).await.unwrap();
    buffered.push(raw()).await.unwrap();
    assert_eq!(seen.len(), 11);
    let diary = Diary::default();
    let worker =
        Running::start(brisk(), server.redis(), Registry::new(diary.clone()).job::<Note>());
    eventually("all ran, the later ones too", async || diary.len() == 11).await;
    worker.stop().await;
    assert_eq!(seen.len(), 11, "the way from schedule to its queue is no enqueueing");
}

#[tokio::test]
async fn many_at_once_are_refused_as_a_whole() {
    let server = Server::start().await;
    let picky = client(&server).middleware(async |payload: Payload, next: PushNext| {
        match text(&payload, "queue") == "closed" {
            true => Err(EnqueueError::Refused("closed".into())),
            false => next.run(payload.queue("moved")).await,
        }
    });
    let job = |queue: &str| Payload::new("Note", json!(["x"])).queue(queue);
    let refused = picky.push_all(vec![job("a"), job("closed"), job("b")]).await;
    assert_eq!(refused, Err(EnqueueError::Refused("closed".into())));
    assert_eq!(server.query::<u32>("DBSIZE").await, 0);
    picky.push_all(vec![job("a"), job("b")]).await.unwrap();
    assert_eq!(server.query::<u32>("LLEN queue:moved").await, 2);
}

#[tokio::test]
async fn what_middleware_makes_of_a_payload_is_checked() {
    let server = Server::start().await;
    let spoiling = client(&server)
        .middleware(async |payload: Payload, next: PushNext| next.run(payload.queue("")).await);
    let job = Payload::new("Note", json!([]));
    assert!(matches!(spoiling.push(job).await, Err(EnqueueError::Invalid(_))));
}

#[tokio::test]
async fn neither_a_panic_nor_a_timeout_comes_back_from_the_rest() {
    job!(Ends { how: String } retry roustabout::engine::Retry::Times(0), |this, _cx| {
        match &*this.how {
            "panic" => panic!("no"),
            "late" => std::future::pending().await,
            _ => bail!("no"),
        }
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let options = WorkerOptions { job_timeout: Some(Duration::from_millis(50)), ..brisk() };
    let registry = Registry::new(diary.clone()).job::<Ends>();
    let worker = Running::launch(notes(Worker::new(options, server.redis(), registry), 1, &diary));
    for (how, noted) in [("panic", 1), ("late", 1), ("error", 2)] {
        diary.clear();
        client(&server).enqueue(Ends { how: how.into() }).await.unwrap();
        eventually("it ended", async || server.query::<u32>("ZCARD dead").await == 1).await;
        assert_eq!(diary.len(), noted, "{how}: {:?}", diary.lines());
        let () = server.query("DEL dead").await;
    }
    worker.stop().await;
}
