//! `QUEUE_LIMITS`, jobs at once: never more over all workers, whatever ends or kills them; and a
//! share that is free is taken at once, by whoever has room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use roustabout::engine::{Payload, Redis, Registry, Retry, Stop, WorkerOptions};
use serde_json::json;

use crate::child::{Child, Setup, diary as child_diary, noted};
use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{Diary, PATIENCE, Running, Server, brisk, client, eventually};

job!(Gate { name: String }, |this, cx| {
    cx.app.note(format!("start {}", this.name));
    while cx.app.count("open") == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cx.app.note(format!("end {}", this.name));
    Ok(())
});
job!(Ends { how: String } retry Retry::Times(1), |this, cx| {
    cx.app.note(&this.how);
    match this.how.as_str() {
        "well" => Ok(()),
        "discarded" => Err(Stop::Discard.into()),
        "killed" => Err(Stop::Kill.into()),
        "snoozed" if cx.app.count("snoozed") == 1 => Err(Stop::Snooze(Duration::ZERO).into()),
        "snoozed" => Ok(()),
        "panic" => panic!("as asked for"),
        "cursor" => cx.checkpoint(1).await,
        _ => anyhow::bail!("failed"),
    }
});

const ENDS: [&str; 8] =
    ["well", "failed", "discarded", "killed", "snoozed", "panic", "cursor", "no class"];

/// A worker that looks where it was told to, and nowhere else.
fn start(server: &Server, diary: &Diary, queues: &str, limits: &str) -> Running {
    start_on(server.redis(), diary, queues, limits)
}

fn start_on(redis: Redis, diary: &Diary, queues: &str, limits: &str) -> Running {
    let (queues, limits) = (queues.parse().unwrap(), limits.parse().unwrap());
    let (safety_poll, ttl) = (Duration::from_secs(3_600), Duration::from_secs(60));
    let shutdown_timeout = Duration::from_millis(300);
    let options = WorkerOptions { queues, limits, safety_poll, ttl, shutdown_timeout, ..brisk() };
    let registry = Registry::new(diary.clone()).job::<Gate>().job::<Ends>();
    Running::start(options, redis, registry)
}

async fn push(server: &Server, queue: &str, class: &str, names: impl IntoIterator<Item = String>) {
    let payload = |name| Payload::new(class, json!([name])).queue(queue);
    client(server).push_all(names.into_iter().map(payload).collect()).await.unwrap();
}

async fn gates(server: &Server, queue: &str, count: usize) {
    push(server, queue, "Gate", (0..count).map(|n| format!("{queue} {n}"))).await;
}

fn begun(diary: &Diary, what: &str) -> usize {
    diary.lines().iter().filter(|line| line.starts_with(what)).count()
}

async fn running(server: &Server) -> usize {
    server.query("SCARD roustabout:running:limited").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_over_all_workers() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    job!(Counted {}, |_this, cx| {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
        NOW.fetch_sub(1, Ordering::SeqCst);
        cx.app.note("ran");
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let workers = [(); 3].map(|()| {
        let safety_poll = Duration::from_secs(3_600);
        let limits = "lim*:3".parse().unwrap();
        let options = WorkerOptions { concurrency: 5, limits, safety_poll, ..brisk() };
        Running::start(options, server.redis(), Registry::new(diary.clone()).job::<Counted>())
    });
    for _ in 0..10 {
        let jobs = (0..20).map(|_| Payload::new("Counted", json!([])).queue("limited"));
        client(&server).push_all(jobs.collect()).await.unwrap();
    }
    eventually("all have run", async || diary.len() == 200).await;
    eventually("all shares are given back", async || running(&server).await == 0).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(MOST.load(Ordering::SeqCst), 3, "all of the share, and no more");
    assert_eq!(server.query::<usize>("EXISTS retry dead queue:limited").await, 0);
}

#[tokio::test]
async fn a_queue_at_its_limit_holds_up_no_other() {
    let (server, diary) = (Server::start().await, Diary::default());
    gates(&server, "limited", 5).await;
    push(&server, "last", "Ends", (0..20).map(|_| "well".to_owned())).await;
    let worker = start(&server, &diary, "limited,last", "limited:2");
    eventually("the others run", async || diary.count("well") == 20).await;
    assert_eq!((begun(&diary, "start"), running(&server).await), (2, 2));
    diary.note("open");
    eventually("and then the rest", async || begun(&diary, "end") == 5).await;
    worker.stop().await;
    assert_eq!(running(&server).await, 0);
}

#[tokio::test]
async fn whoever_waits_is_woken_by_an_end_elsewhere() {
    let (server, diary) = (Server::start().await, Diary::default());
    gates(&server, "limited", 1).await;
    let (first, elsewhere) = (start(&server, &diary, "*", "limited:1"), Diary::default());
    eventually("one runs", async || begun(&diary, "start") == 1).await;
    let second = start(&server, &elsewhere, "*", "limited:1");
    push(&server, "other", "Ends", ["well".to_owned()]).await;
    eventually("the second is there", async || diary.len() + elsewhere.len() == 2).await;
    first.lifecycle.quiet();
    push(&server, "limited", "Ends", ["well".to_owned()]).await;
    push(&server, "other", "Ends", ["failed".to_owned()]).await;
    eventually("the second has looked", async || elsewhere.count("failed") == 1).await;
    assert_eq!(server.query::<usize>("LLEN queue:limited").await, 1);
    let before = elsewhere.count("well");
    diary.note("open");
    eventually("it takes its turn", async || elsewhere.count("well") == before + 1).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn what_a_stopping_worker_gives_back_is_taken_at_once() {
    let (server, diary) = (Server::start().await, Diary::default());
    gates(&server, "limited", 2).await;
    let first = start(&server, &diary, "*", "limited:2");
    eventually("they run", async || begun(&diary, "start") == 2).await;
    let second = start(&server, &diary, "*", "limited:2");
    push(&server, "other", "Ends", ["well".to_owned()]).await;
    eventually("both are there", async || diary.count("well") == 1).await;
    first.stop().await;
    eventually("they run again", async || begun(&diary, "start") == 4).await;
    diary.note("open");
    eventually("they end", async || begun(&diary, "end") == 2).await;
    second.stop().await;
    assert_eq!(running(&server).await, 0);
}

/// One at a time, so each end has to make room for the next.
async fn every_end_makes_room(server: &Server) {
    let diary = Diary::default();
    let ends = ENDS.iter().cycle().take(3 * ENDS.len()).map(|how| how.to_string());
    for how in ends {
        let class = if how == "no class" { "Unknown" } else { "Ends" };
        push(server, "limited", class, [how]).await;
    }
    let () = server.query("CONFIG SET maxmemory-policy noeviction").await;
    let full = server.query::<usize>("EXISTS test:full").await == 1;
    let () = server.query(&format!("CONFIG SET maxmemory {}", u8::from(full))).await;
    let worker = start(server, &diary, "*", "limited:1,limited:1000/s");
    let due = async || server.query::<usize>("ZCARD retry").await;
    // once each, and the snoozed one again; the unknown class runs nowhere
    eventually("all have run", async || diary.len() > 3 * (ENDS.len() - 1)).await;
    eventually("who failed waits", async || due().await == 9).await;
    eventually("all shares are given back", async || running(server).await == 0).await;
    worker.stop().await;
    assert_eq!(server.query::<usize>("ZCARD dead").await, 3);
    assert_eq!(server.query::<usize>("EXISTS queue:limited").await, 0);
}

#[tokio::test]
async fn every_end_makes_room_for_the_next() {
    every_end_makes_room(&Server::start().await).await;
}

#[tokio::test]
async fn even_if_the_server_is_full() {
    let server = Server::start().await;
    let () = server.query("SET test:full 1").await;
    every_end_makes_room(&server).await;
}

#[tokio::test]
async fn a_lost_reply_costs_no_share() {
    for (kind, fault) in [
        (Kind::Fetch, Fault::Close),
        (Kind::Fetch, Fault::Mute),
        (Kind::Ending, Fault::Close),
        (Kind::Ending, Fault::Mute),
    ] {
        let (server, diary) = (Server::start().await, Diary::default());
        let proxy = Proxy::start(&server).await;
        proxy.arm(kind, fault);
        push(&server, "limited", "Ends", (0..10).map(|_| "well".to_owned())).await;
        // never full, so nobody looks for shares that are lost
        let worker = start_on(proxy.redis(), &diary, "*", "limited:20");
        eventually("all have run", async || diary.len() == 10).await;
        eventually("no share is left", async || running(&server).await == 0).await;
        worker.stop().await;
        assert_eq!((proxy.struck(), diary.len()), (1, 10), "{kind:?} {fault:?}");
    }
}

#[tokio::test]
async fn what_somebody_else_keeps_there_stops_nobody() {
    let (server, diary) = (Server::start().await, Diary::default());
    let () = server.query("SET roustabout:running:limited nonsense").await;
    let () = server.query("SET roustabout:starts:s:limited nonsense").await;
    gates(&server, "limited", 1).await;
    let worker = start(&server, &diary, "*", "limited:1,limited:1000/s");
    eventually("it runs", async || begun(&diary, "start") == 1).await;
    assert_eq!(running(&server).await, 1);
    let () = server.query("SET roustabout:running:limited nonsense").await;
    let () = server.query("SADD roustabout:running:other nonsense 1:1:ghost").await;
    diary.note("open");
    eventually("it ends", async || begun(&diary, "end") == 1).await;
    push(&server, "limited", "Ends", ["well".to_owned()]).await;
    eventually("and so does the next", async || diary.count("well") == 1).await;
    worker.stop().await;
    let worker = start(&server, &diary, "*", "other:2");
    push(&server, "other", "Ends", ["well".to_owned()]).await;
    eventually("shares that are nobody's count for none", async || diary.count("well") == 2).await;
    worker.stop().await;
    let left = "EXISTS roustabout:running:limited roustabout:running:other";
    assert_eq!(server.query::<usize>(left).await, 0);
}

/// How many jobs of the queue are in flight, of the living and the dead.
const IN_FLIGHT: &str = "local sum = 0
for _, key in ipairs(redis.call('KEYS', 'roustabout:inflight:*')) do
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.find(field, ':limited$') then sum = sum + 1 end
  end
end
return sum";

#[tokio::test]
async fn no_share_is_lost_with_a_process_that_is_killed() {
    let server = Server::start().await;
    let limits = Some("limited:3".to_owned());
    let setup = Setup { limits, concurrency: 5, ..Setup::new(&server) };
    let mut children: [Child; 2] = [setup.start(), setup.start()];
    let mut connection = server.connect().await;
    let script = redis::Script::new(IN_FLIGHT);
    let mut most = 0;
    for _ in 0..10 {
        let jobs = (0..20).map(|_| Payload::new("Nap", json!([30])).queue("limited"));
        client(&server).push_all(jobs.collect()).await.unwrap();
        let wanted = fastrand::usize(5..20);
        let (began, mut waiting) = (Instant::now(), usize::MAX);
        while waiting > wanted {
            let now: usize = script.invoke_async(&mut connection).await.unwrap();
            assert!(now <= 3, "{now} in progress");
            assert!(began.elapsed() < PATIENCE, "{waiting} wait in vain, {now} in progress");
            most = most.max(now);
            waiting = server.query("LLEN queue:limited").await;
        }
        let unlucky = &mut children[fastrand::usize(..2)];
        unlucky.kill();
        *unlucky = setup.start();
    }
    let rest = async || server.query::<usize>("EXISTS queue:limited retry schedule").await;
    eventually("all have run", async || rest().await + running(&server).await == 0).await;
    assert_eq!(most, 3);
    // those whose processes were killed thrice are dead
    let processed = async || server.query::<usize>("GET stat:processed").await;
    let dead = server.query::<usize>("ZCARD dead").await;
    assert!(dead < 20, "{dead}");
    for n in 0..5 {
        let gate = Payload::new("Gate", json!([n.to_string()])).queue("limited");
        client(&server).push(gate).await.unwrap();
    }
    eventually("three start", async || child_diary(&server).await.len() == 3).await;
    assert_eq!(running(&server).await, 3);
    let before = processed().await;
    client(&server).push(Payload::new("Note", json!(["aside"]))).await.unwrap();
    eventually("others run", async || processed().await > before).await;
    assert_eq!(child_diary(&server).await.len(), 4, "and no fourth");
    let () = server.query("SET test:gate open").await;
    for n in 0..5 {
        eventually("the rest", async || noted(&server, &format!("end {n}")).await == 1).await;
    }
    eventually("nothing is left", async || running(&server).await == 0).await;
    for child in children {
        child.stop().await;
    }
}
