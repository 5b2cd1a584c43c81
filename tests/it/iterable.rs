//! Jobs with a cursor: what is saved and when, where they go on after an interruption, and how
//! they are cancelled.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::inspect::{self, Cancelled};
use roustabout::engine::{Registry, Stop, WorkerOptions};
use serde::{Deserialize, Serialize};

use crate::lost_replies::held;
use crate::support::{Diary, Log, Running, Server, brisk, client, eventually};

/// Nothing but a wake makes it look again.
fn woken_only() -> WorkerOptions {
    let hour = Duration::from_secs(3_600);
    WorkerOptions { concurrency: 1, safety_poll: hour, ..brisk() }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Place {
    Page { number: u64, last: Option<String> },
    Done,
}

job!(Typed {}, |_this, cx| {
    let place: Option<Place> = cx.cursor().await?;
    cx.app.note(format!("{place:?}, interruptions: {}", cx.interruptions()));
    if place.is_none() {
        cx.checkpoint(Place::Page { number: 7, last: Some("Zoë".into()) }).await?;
        cx.stopped().await;
    }
    cx.checkpoint(Place::Done).await
});

#[tokio::test]
async fn a_cursor_of_any_type_stands_where_sidekiq_has_it() {
    let (server, diary) = (Server::start().await, Diary::default());
    let start = || {
        let registry = Registry::new(diary.clone()).job::<Typed>();
        Running::start(brisk(), server.redis(), registry)
    };
    let jid = client(&server).enqueue(Typed {}).await.unwrap();
    let worker = start();
    let state =
        async || server.query::<BTreeMap<String, String>>(&format!("HGETALL it-{jid}")).await;
    let page = r#"{"Page":{"number":7,"last":"Zoë"}}"#;
    let saved = async || state().await.get("c").map(String::as_str) == Some(page);
    eventually("the first one is saved at once", saved).await;
    assert_eq!(state().await["ex"], "1");
    assert!(state().await["rt"].parse::<f64>().unwrap() >= 0.0);
    assert!(server.query::<u64>(&format!("TTL it-{jid}")).await > 29 * 86_400);
    worker.stop().await;
    assert_eq!(state().await["c"], r#""Done""#, "at an interruption always");
    let worker = start();
    let gone = async || state().await.is_empty() && held(&server).await == 0;
    eventually("it ends, and leaves nothing", gone).await;
    worker.stop().await;
    assert_eq!(diary.lines(), ["None, interruptions: 0", "Some(Done), interruptions: 1"]);
}

#[tokio::test]
async fn checkpoints_are_written_by_the_clock_and_not_per_row() {
    const ROWS: u32 = 20_000;
    job!(Quick {}, |_this, cx| {
        for row in 0..ROWS {
            cx.checkpoint(row).await?;
        }
        cx.app.note("done");
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Quick>();
    let worker = Running::start(brisk(), server.redis(), registry);
    client(&server).enqueue(Quick {}).await.unwrap();
    eventually("it is done", async || diary.len() == 1).await;
    worker.stop().await;
    let stats: String = server.query("INFO commandstats").await;
    let hsets = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hset:calls="));
    let writes: u32 = hsets.unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(writes < ROWS / 100, "{writes}");
}

// rows until the test says that it is enough
job!(March {}, |_this, cx| {
    let from: u32 = cx.cursor().await?.unwrap_or(0);
    let (queue, attempt) = (cx.queue(), cx.attempt());
    cx.app.note(format!("{queue}, attempt {attempt}, at 0: {}", from == 0));
    for row in from.. {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if cx.app.count("enough") > 0 {
            break;
        }
        cx.checkpoint(row + 1).await?;
    }
    cx.app.note("end");
    Ok(())
});
job!(Marker {}, |_this, cx| {
    cx.app.note("marker");
    Ok(())
});

/// Interrupted in one process, it goes on in another, which hears of it by a wake alone.
async fn goes_on_elsewhere(interrupt: impl AsyncFn(Running) -> Option<Running>) {
    let (server, diary, seen) = (Server::start().await, Diary::default(), Diary::default());
    let registry = |diary: &Diary| Registry::new(diary.clone()).job::<March>().job::<Marker>();
    let first = Running::start(woken_only(), server.redis(), registry(&diary));
    let client = client(&server);
    let jid = client.enqueue(March {}).await.unwrap();
    let saved = async || server.query::<u32>(&format!("EXISTS it-{jid}")).await == 1;
    eventually("it runs", saved).await;
    let second = Running::start(woken_only(), server.redis(), registry(&seen));
    client.enqueue(Marker {}).await.unwrap();
    eventually("the other one has looked", async || seen.count("marker") == 1).await;
    eventually("and is idle", async || held(&server).await == 1).await;
    let first = interrupt(first).await;
    let resumed = "default, attempt 1, at 0: false";
    eventually("it goes on", async || seen.count(resumed) == 1).await;
    assert_eq!(diary.lines(), ["default, attempt 1, at 0: true"]);
    seen.note("enough");
    eventually("it ends", async || seen.count("end") == 1).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    second.stop().await;
    if let Some(first) = first {
        first.stop().await;
    }
    assert_eq!(server.query::<u32>("EXISTS retry dead schedule stat:failed").await, 0);
    assert_eq!(server.query::<u32>("HGET roustabout:counters interrupted").await, 1);
    assert_eq!(server.query::<u32>("GET stat:processed").await, 2);
    assert!(server.query::<Vec<String>>("KEYS it-*").await.is_empty());
}

#[tokio::test]
async fn interrupted_by_term_it_goes_on_elsewhere() {
    goes_on_elsewhere(async |worker: Running| {
        worker.stop().await;
        None
    })
    .await;
}

#[tokio::test]
async fn interrupted_by_quiet_it_goes_on_elsewhere() {
    goes_on_elsewhere(async |worker: Running| {
        worker.lifecycle.quiet();
        Some(worker)
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_job_is_the_next_one_to_run() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = || Registry::new(diary.clone()).job::<March>().job::<Marker>();
    let worker = Running::start(woken_only(), server.redis(), registry());
    let client = client(&server);
    client.enqueue(March {}).await.unwrap();
    eventually("it runs", async || diary.len() == 1).await;
    client.enqueue(Marker {}).await.unwrap();
    worker.stop().await;
    diary.note("enough");
    let worker = Running::start(woken_only(), server.redis(), registry());
    eventually("both have run", async || diary.count("marker") == 1).await;
    worker.stop().await;
    assert_eq!(diary.lines()[3..], ["end", "marker"]);
}

/// Nothing is left of the job but that it was cancelled.
async fn is_over(server: &Server) {
    let gone = "EXISTS queue:default retry dead schedule";
    let over = async || held(server).await == 0 && server.query::<u32>(gone).await == 0;
    eventually("it is over", over).await;
    let left = async || server.query::<Vec<String>>("KEYS it-*").await;
    eventually("its cursor is gone", async || left().await.is_empty()).await;
    let counted = "HGET roustabout:counters cancelled";
    let counted = async || server.query::<Option<u32>>(counted).await == Some(1);
    eventually("it is counted", counted).await;
}

#[tokio::test]
async fn a_running_job_is_cancelled_at_a_checkpoint() {
    let (log, _guard) = Log::catch();
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<March>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let jid = client(&server).enqueue(March {}).await.unwrap();
    let saved = async || server.query::<u32>(&format!("EXISTS it-{jid}")).await == 1;
    eventually("it runs", saved).await;
    let redis = server.redis();
    let found = Cancelled { fresh: true, iterates: true };
    assert_eq!(inspect::cancel(&redis, &jid).await.unwrap(), found);
    is_over(&server).await;
    worker.stop().await;
    assert_eq!(diary.len(), 1, "it did not come to its end");
    assert_eq!((log.count(": cancelled"), log.count("failed")), (1, 0), "{:?}", log.lines());
    assert_eq!(server.query::<u32>("GET stat:processed").await, 1);
    assert_eq!(server.query::<u32>("EXISTS stat:failed").await, 0);
    // nobody knows which ids there are
    for fresh in [true, false] {
        let found = Cancelled { fresh, iterates: false };
        assert_eq!(inspect::cancel(&redis, &jid).await.unwrap(), found);
    }
    // Sidekiq 8.1 fails on one without a cursor
    assert_eq!(server.query::<String>(&format!("HGET it-{jid} c")).await, "null");
    assert!(server.query::<u64>(&format!("TTL it-{jid}")).await > 29 * 86_400);
}

/// Sidekiq's `cancel!`: no more than the flag.
async fn cancel_as_ruby_does(server: &Server, jid: &str) {
    let () = server.query(&format!("HSETNX it-{jid} cancelled 1700000000")).await;
    let () = server.query(&format!("EXPIRE it-{jid} 2592000 nx")).await;
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_when_its_turn_comes() {
    for set in ["queue", "schedule", "retry"] {
        let (server, diary) = (Server::start().await, Diary::default());
        let client = client(&server);
        let jid = match set {
            "schedule" => client.enqueue_in(Duration::from_secs(3_600), March {}).await,
            _ => client.enqueue(March {}).await,
        };
        let jid = jid.unwrap();
        cancel_as_ruby_does(&server, &jid).await;
        let mut connection = server.connect().await;
        if set == "retry" {
            let job: String = connection.rpop("queue:default", None).await.unwrap();
            let () = connection.zadd("retry", job, 1).await.unwrap();
        } else if set == "schedule" {
            let jobs: Vec<String> = connection.zrange(set, 0, -1).await.unwrap();
            let () = connection.zadd(set, &jobs[0], 1).await.unwrap();
        }
        let registry = Registry::new(diary.clone()).job::<March>();
        let worker = Running::start(brisk(), server.redis(), registry);
        is_over(&server).await;
        worker.stop().await;
        assert_eq!(diary.len(), 0, "it did not begin: {set}");
    }
}

#[tokio::test]
async fn a_job_without_a_cursor_looks_for_itself() {
    job!(Looks {}, |_this, cx| {
        while !cx.cancelled().await? {
            cx.app.note("not yet");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        anyhow::bail!(Stop::Cancelled)
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Looks>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let jid = client(&server).enqueue(Looks {}).await.unwrap();
    eventually("it has looked", async || diary.len() > 0).await;
    assert!(inspect::cancel(&server.redis(), &jid).await.unwrap().fresh);
    is_over(&server).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_cursor_that_ruby_saved_before_the_first_row_is_none() {
    let (server, diary) = (Server::start().await, Diary::default());
    let jid = client(&server).enqueue(March {}).await.unwrap();
    let () = server.query(&format!("HSET it-{jid} ex 1 c null rt 0.5")).await;
    diary.note("enough");
    let registry = Registry::new(diary.clone()).job::<March>();
    let worker = Running::start(brisk(), server.redis(), registry);
    eventually("it ends", async || diary.count("end") == 1).await;
    worker.stop().await;
    assert_eq!(diary.count("default, attempt 1, at 0: true"), 1);
}
