//! Replies get lost: each step of a job's way is executed by the server while the worker never
//! learns of it, because the connection closes or because it falls silent. Whatever the step,
//! every job is done and none starts twice.

use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{Registry, WorkerOptions};

use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{Diary, PATIENCE, Running, Server, brisk, client, eventually};

const QUICK: u32 = 20;
const LONG: u32 = 3;

job!(Quick { n: u32 }, |this, cx| {
    cx.app.note(format!("quick {}", this.n));
    Ok(())
});
job!(Fails {}, |_this, cx| {
    cx.app.note("fails");
    anyhow::bail!("no luck")
});
job!(Steps {}, |_this, cx| {
    cx.app.note("steps");
    for at in cx.cursor::<u32>().await?.unwrap_or(0)..5 {
        cx.checkpoint(at + 1).await?;
    }
    cx.app.note("steps done");
    Ok(())
});
// outlasts its first worker
job!(Long { n: u32 }, |this, cx| {
    let line = format!("long {}", this.n);
    cx.app.note(&line);
    if cx.app.count(&line) == 1 {
        std::future::pending::<()>().await;
    }
    Ok(())
});

pub fn registry(diary: &Diary) -> Registry<Diary> {
    Registry::new(diary.clone()).job::<Quick>().job::<Fails>().job::<Steps>().job::<Long>()
}

/// The lifetime outlasts a deadline, as it must: a silent connection is no death.
pub fn patient() -> WorkerOptions {
    WorkerOptions {
        concurrency: 8,
        ttl: Duration::from_secs(5),
        shutdown_timeout: Duration::from_millis(500),
        safety_poll: Duration::from_secs(5),
        ..brisk()
    }
}

/// All kinds of jobs under a worker behind a proxy, which then stops; another does the rest.
async fn all_is_done_once(faults: &[(Kind, Fault)]) {
    let (server, diary) = (Server::start().await, Diary::default());
    let (proxy, client) = (Proxy::start(&server).await, client(&server));
    faults.iter().for_each(|(kind, fault)| proxy.arm(*kind, *fault));
    let worker = Running::start(patient(), proxy.redis(), registry(&diary));
    client.enqueue_all((0..LONG).map(|n| Long { n })).await.unwrap();
    client.enqueue_all((0..QUICK).map(|n| Quick { n })).await.unwrap();
    client.enqueue(Fails {}).await.unwrap();
    client.enqueue(Steps {}).await.unwrap();
    let once = (LONG + QUICK) as usize + 3;
    eventually("all have started", async || diary.len() >= once).await;
    let at_the_stop =
        faults.iter().filter(|(kind, _)| matches!(kind, Kind::Requeue | Kind::Leave)).count();
    let before = faults.len() - at_the_stop;
    eventually("the faults have happened", async || proxy.struck() >= before).await;
    eventually("only the long ones are left", async || held(&server).await == LONG as usize).await;
    let counted = async || server.query::<Option<u32>>("GET stat:processed").await;
    eventually("all is counted", async || counted().await == Some(QUICK + 2)).await;
    worker.stop().await;
    assert_eq!(proxy.struck(), faults.len());

    let worker = Running::start(patient(), server.redis(), registry(&diary));
    eventually("the long ones end", async || diary.len() >= once + LONG as usize).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    worker.stop().await;
    for n in 0..QUICK {
        assert_eq!(diary.count(&format!("quick {n}")), 1);
    }
    for n in 0..LONG {
        assert_eq!(diary.count(&format!("long {n}")), 2, "one start per worker");
    }
    for line in ["fails", "steps", "steps done"] {
        assert_eq!(diary.count(line), 1, "{line}");
    }
    let retry: Vec<String> = server.query("ZRANGE retry 0 -1").await;
    assert!(retry.len() == 1 && retry[0].contains("\"retry_count\":0"), "{retry:?}");
    assert_eq!(server.query::<u64>("ZCARD dead").await, 0);
    let keys: Vec<String> = server.query("KEYS it-*").await;
    assert!(keys.is_empty(), "{keys:?}");
    let runs = QUICK + 2 + LONG; // every outcome is counted once, lost beats or not
    assert_eq!(server.query::<u32>("GET stat:processed").await, runs);
    assert_eq!(server.query::<u32>("GET stat:failed").await, 1);
}

/// Deliveries that anybody holds.
pub async fn held(server: &Server) -> usize {
    let mut connection = server.connect().await;
    let keys: Vec<String> = connection.keys("roustabout:inflight:*").await.unwrap();
    let mut sum = 0;
    for key in keys {
        sum += connection.hlen::<_, usize>(key).await.unwrap();
    }
    sum
}

macro_rules! cases {
    ($($name:ident: $($kind:ident $fault:ident),+;)*) => {$(
        #[tokio::test]
        async fn $name() {
            all_is_done_once(&[$((Kind::$kind, Fault::$fault)),+]).await;
        }
    )*};
}

cases! {
    register_closed: Register Close;
    register_silent: Register Mute;
    fetch_closed: Fetch Close;
    fetch_silent: Fetch Mute;
    fetch_then_registration_closed: Fetch Close, Register Close, Register Close;
    fetch_then_adoption_closed: Fetch Close, Adopt Close, Adopt Close;
    fetch_then_adoption_silent: Fetch Mute, Adopt Mute;
    finish_closed: Finish Close;
    finish_silent: Finish Mute;
    finish_closed_again_and_again: Finish Close, Finish Close, Finish Close;
    ending_closed: Ending Close;
    ending_silent: Ending Mute;
    both_endings_closed: Ending Close, Ending Close;
    checkpoint_closed: Checkpoint Close;
    checkpoint_silent: Checkpoint Mute;
    beat_closed: Beat Close;
    beat_silent: Beat Mute;
    requeue_closed: Requeue Close;
    requeue_silent: Requeue Mute;
    leave_closed: Leave Close;
    leave_silent: Leave Mute;
    both_leaves_closed: Leave Close, Leave Close;
}

#[tokio::test]
async fn what_was_counted_behind_a_silent_beat_arrives_at_the_stop() {
    let (server, diary) = (Server::start().await, Diary::default());
    let proxy = Proxy::start(&server).await;
    proxy.arm(Kind::Beat, Fault::Mute);
    let options = WorkerOptions { shutdown_timeout: PATIENCE, ..patient() };
    let worker = Running::start(options, proxy.redis(), registry(&diary));
    eventually("a beat has no reply", async || proxy.struck() == 1).await;
    client(&server).enqueue_all((0..5).map(|n| Quick { n })).await.unwrap();
    eventually("all have run", async || diary.len() == 5).await;
    worker.stop().await;
    assert_eq!(server.query::<u32>("GET stat:processed").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_each_job_runs_once() {
    const JOBS: u32 = 2_000;
    let (server, diary) = (Server::start().await, Diary::default());
    let proxy = Proxy::start(&server).await;
    proxy.chaos(15);
    let first = Running::start(patient(), proxy.redis(), registry(&diary));
    let second = Running::start(patient(), proxy.redis(), registry(&diary));
    let client = client(&server);
    for from in (0..JOBS).step_by(20) {
        client.enqueue_all((from..from + 20).map(|n| Quick { n })).await.unwrap();
        eventually("some have run", async || diary.len() as u32 >= from).await;
    }
    eventually("all have run", async || diary.len() as u32 >= JOBS).await;
    proxy.chaos(0);
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    first.stop().await;
    second.stop().await;
    assert!(proxy.struck() > 10, "{}", proxy.struck());
    let mut lines = diary.lines();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((lines.len() as u32, diary.len() as u32), (JOBS, JOBS));
    assert_eq!(server.query::<u32>("GET stat:processed").await, JOBS);
}
