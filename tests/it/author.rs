//! What an author of jobs may do, each shown once: ways to stop, limits, middleware.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use redis::AsyncCommands;
use roustabout::engine::{
    Call, Client, EnqueueError, Failed, Next, Payload, PushNext, Registry, Retry, Stop, Worker,
    WorkerOptions,
};
use serde_json::json;

use crate::support::{Diary, Running, Server, brisk, client, eventually};

#[tokio::test]
async fn ways_to_stop() {
    job!(Pointless {}, |_this, _cx| anyhow::bail!(Stop::Discard));
    job!(Hopeless {}, |_this, _cx| Err(Stop::Kill).context("the account is closed"));
    job!(Later {}, |_this, cx| {
        cx.app.note(format!("later {}", cx.attempt()));
        anyhow::ensure!(cx.app.count("later 1") > 1, Stop::Snooze(Duration::from_millis(50)));
        Ok(())
    });
    job!(Once {} retry Retry::Never, |_this, cx| {
        cx.app.note(format!("once, last: {}", cx.last_attempt()));
        anyhow::bail!("no luck")
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Pointless>().job::<Hopeless>();
    let registry = registry.job::<Later>().job::<Once>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let client = client(&server);
    client.enqueue(Pointless {}).await.unwrap();
    client.enqueue(Hopeless {}).await.unwrap();
    client.enqueue(Later {}).await.unwrap();
    client.enqueue(Once {}).await.unwrap();
    eventually("the snooze is over", async || diary.count("later 1") == 2).await;
    eventually("one is dead", async || server.query::<u32>("ZCARD dead").await == 1).await;
    worker.stop().await;
    assert_eq!(diary.count("once, last: true"), 1);
    let dead: Vec<String> = server.query("ZRANGE dead 0 -1").await;
    assert!(dead[0].contains("Hopeless") && dead[0].contains("the account is closed"), "{dead:?}");
    assert_eq!(server.query::<u32>("EXISTS retry schedule queue:default").await, 0);
    assert_eq!(server.query::<u32>("HGET roustabout:counters discarded").await, 2);
}

#[tokio::test]
async fn a_failure_is_tried_again() {
    job!(Flaky {}, |_this, cx| {
        cx.app.note(format!("attempt {}", cx.attempt()));
        anyhow::ensure!(cx.attempt() > 1, "not yet");
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Flaky>();
    let worker = Running::start(brisk(), server.redis(), registry);
    client(&server).enqueue(Flaky {}).await.unwrap();
    eventually("it waits", async || server.query::<u32>("ZCARD retry").await == 1).await;
    // the curve begins at 15 s: be the operator who lets it run at once
    let mut connection = server.connect().await;
    let waiting: Vec<String> = connection.zrange("retry", 0, -1).await.unwrap();
    let () = connection.zadd("retry", &waiting[0], 1).await.unwrap();
    eventually("it ran again", async || diary.count("attempt 2") == 1).await;
    worker.stop().await;
    assert_eq!(server.query::<u32>("EXISTS retry dead").await, 0);
}

#[tokio::test]
async fn a_limit_ends_a_job_unless_it_shows_progress() {
    job!(Hangs {}, |_this, _cx| std::future::pending().await);
    job!(Steady {}, |_this, cx| {
        for step in 0..8 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            cx.checkpoint(step).await?;
        }
        cx.app.note("steady");
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Hangs>().job::<Steady>();
    let options = WorkerOptions { job_timeout: Some(Duration::from_millis(1_000)), ..brisk() };
    let worker = Running::start(options, server.redis(), registry);
    let client = client(&server);
    client.enqueue(Hangs {}).await.unwrap();
    client.enqueue(Steady {}).await.unwrap();
    eventually("the steady one ends", async || diary.count("steady") == 1).await;
    eventually("the other failed", async || server.query::<u32>("ZCARD retry").await == 1).await;
    worker.stop().await;
    let retry: Vec<String> = server.query("ZRANGE retry 0 -1").await;
    assert!(retry[0].contains("Hangs") && retry[0].contains("\"Timeout\""), "{retry:?}");
}

async fn tenant(payload: Payload, next: PushNext) -> Result<Payload, EnqueueError> {
    if payload.class() == "Forbidden" {
        return Err(EnqueueError::Refused("not for this tenant".into()));
    }
    next.run(payload.with("tenant", "acme")).await
}

async fn only_acme(call: Call, next: Next) -> anyhow::Result<()> {
    let tenant: Option<String> = call.get("tenant");
    anyhow::ensure!(tenant.as_deref() == Some("acme"), Stop::Discard);
    next.run(call).await
}

#[tokio::test]
async fn middleware_on_both_sides() {
    job!(Note { text: String }, |this, cx| {
        cx.app.note(this.text);
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let worker = Worker::new(brisk(), server.redis(), Registry::new(diary.clone()).job::<Note>());
    let seen = diary.clone();
    let worker = worker.middleware(only_acme).middleware(move |call: Call, next: Next| {
        let seen = seen.clone();
        async move {
            let class = call.class().to_owned();
            let result = next.run(call).await;
            seen.note(format!("{class} ended, ok: {}", result.is_ok()));
            result
        }
    });
    let worker = Running::launch(worker);
    let client = Client::new(server.redis()).middleware(tenant);
    client.enqueue(Note { text: "in".into() }).await.unwrap();
    let foreign = Payload::new("Note", json!(["out"]));
    super::support::client(&server).push(foreign).await.unwrap();
    let refused = client.push(Payload::new("Forbidden", json!([]))).await;
    assert_eq!(refused, Err(EnqueueError::Refused("not for this tenant".into())));
    eventually("the one ran", async || diary.count("Note ended, ok: true") == 1).await;
    let discarded = "HGET roustabout:counters discarded";
    let gone = async || server.query::<Option<u32>>(discarded).await == Some(1);
    eventually("the other is counted", gone).await;
    worker.stop().await;
    assert_eq!(diary.lines(), ["in", "Note ended, ok: true"]);
}

#[tokio::test]
async fn enqueueing_for_a_time_and_nonsense() {
    let server = Server::start().await;
    let client = client(&server);
    job!(Note {}, |_this, _cx| Ok(()));
    let soon = SystemTime::now() + Duration::from_secs(60);
    client.enqueue_at(soon, Note {}).await.unwrap();
    client.enqueue_at(SystemTime::UNIX_EPOCH, Note {}).await.unwrap();
    assert_eq!(server.query::<u32>("ZCARD schedule").await, 1);
    assert_eq!(server.query::<u32>("LLEN queue:default").await, 1);
    let jobs: Vec<String> = server.query("ZRANGE schedule 0 -1").await;
    let job: serde_json::Value = serde_json::from_str(&jobs[0]).unwrap();
    assert!(job.get("at").is_none() && job.get("enqueued_at").is_none(), "{job}");
    assert!(job["created_at"].is_f64(), "{job}");
    for bad in [
        Payload::new("", json!([])),
        Payload::new("A", json!([])).queue(""),
        Payload::new("A", json!([])).with("args", "text"),
        Payload::new("A", json!([])).with("at", "tomorrow"),
    ] {
        assert!(matches!(client.push(bad).await, Err(EnqueueError::Invalid(_))));
    }
}

// a missing value read as a number: the others on the connection have nothing to do with it
#[tokio::test]
async fn a_reply_of_another_type_leaves_the_connection_alone() {
    let server = Server::start().await;
    let redis = server.redis();
    let id = async || redis.query::<u64>(redis::cmd("CLIENT").arg("ID")).await.unwrap();
    let before = id().await;
    let number = redis.query::<u32>(redis::cmd("GET").arg("nothing")).await;
    assert!(number.is_err_and(|error| error.to_string().contains("not the type")));
    let none = redis.pipe::<(u32, u32)>(redis::pipe().get("nothing").get("none")).await;
    assert!(none.is_err());
    assert_eq!(id().await, before);
}

#[tokio::test]
async fn whoever_reports_errors_hears_of_every_failure() {
    job!(Fails { how: String }, |this, cx| {
        match this.how.as_str() {
            "error" => anyhow::bail!("no luck"),
            "panic" => panic!("torn"),
            "hang" => std::future::pending().await,
            "kill" => return Err(Stop::Kill).context("pointless"),
            "discard" => anyhow::bail!(Stop::Discard),
            _ => cx.app.note("well"),
        }
        Ok(())
    });
    let (server, heard) = (Server::start().await, Diary::default());
    let registry = Registry::new(heard.clone()).job::<Fails>();
    let options = WorkerOptions { job_timeout: Some(Duration::from_millis(50)), ..brisk() };
    let (first, second) = (heard.clone(), heard.clone());
    let worker = Worker::new(options, server.redis(), registry)
        .on_failure(move |failed| {
            let tenant: Option<String> =
                failed.payload.as_ref().and_then(|payload| payload.get("tenant"));
            let Failed { class, error_class, failures, for_good, .. } = failed;
            first.note(format!("{class} {error_class} {failures} {for_good} {tenant:?}"));
        })
        .on_failure(move |failed| {
            second.note(&failed.error);
            panic!("the reporter's own")
        });
    let worker = Running::launch(worker);
    let client = client(&server);
    for how in ["error", "panic", "hang", "kill", "discard", "well"] {
        let payload = Payload::of(&Fails { how: how.into() }).unwrap().with("tenant", "acme");
        client.push(payload).await.unwrap();
    }
    client.push(Payload::new("Ruby", json!([])).with("retry_count", 24)).await.unwrap();
    client.push(Payload::new("Fails", json!([1, 2, 3]))).await.unwrap();
    let () = server.query("LPUSH queue:default {").await;
    let expected = [
        " BadJson 1 true None",
        "Fails BadArguments 1 false None",
        "Fails Error 1 false Some(\"acme\")",
        "Fails Error 1 true Some(\"acme\")",
        "Fails Panic 1 false Some(\"acme\")",
        "Fails Timeout 1 false Some(\"acme\")",
        "Ruby NameError 26 true None",
    ];
    for line in expected {
        eventually(line, async || heard.count(line) == 1).await;
    }
    worker.stop().await;
    let lines = heard.lines();
    assert_eq!(lines.len(), 2 * expected.len() + 1, "{lines:?}");
    assert!(lines.contains(&"no luck".to_owned()) && lines.contains(&"torn".to_owned()));
}

#[tokio::test]
async fn a_job_by_the_name_of_its_class() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Sum {
        of: Vec<u32>,
    }
    impl roustabout::engine::Job for Sum {
        type App = Diary;
        const CLASS: &'static str = "Sum";
        const QUEUE: &'static str = "sums";
        const RETRY: Retry = Retry::Times(3);
        const UNIQUE_FOR: Option<Duration> = Some(Duration::from_secs(60));

        async fn perform(self, _cx: roustabout::engine::JobContext<Diary>) -> anyhow::Result<()> {
            Ok(())
        }
    }
    let registry = Registry::new(Diary::default()).job::<Sum>();
    assert_eq!(registry.queues(), ["sums"]);
    for args in [r#"[{"of":[1,2]}]"#, "[[1,2]]"] {
        let named = registry.payload("Sum", args).unwrap().unwrap();
        let typed = Payload::of(&Sum { of: vec![1, 2] }).unwrap();
        for field in ["queue", "class", "args", "retry", "unique_key", "unique_ttl"] {
            let value = |payload: &Payload| payload.get::<serde_json::Value>(field);
            assert_eq!(value(&named), value(&typed), "{field}");
            assert!(value(&named).is_some(), "{field}");
        }
    }
    assert!(matches!(registry.payload("Sum", "[]"), Some(Err(EnqueueError::Invalid(_)))));
    assert!(registry.payload("Other", "[]").is_none());
}
