//! `QUEUE_LIMITS`, starts in a time: never more over all workers in any second, wherever it
//! begins; and nobody asks all the time whether it is over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use roustabout::engine::{Payload, Registry, WorkerOptions};
use serde_json::json;

use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Quick {}, |_this, cx| {
    cx.app.note(cx.queue());
    Ok(())
});

fn start(server: &Server, diary: &Diary, limits: &str) -> Running {
    let limits = limits.parse().unwrap();
    let (safety_poll, ttl) = (Duration::from_secs(3_600), Duration::from_secs(60));
    let options = WorkerOptions { limits, safety_poll, ttl, ..brisk() };
    Running::start(options, server.redis(), Registry::new(diary.clone()).job::<Quick>())
}

async fn push(server: &Server, queue: &str, count: usize) {
    let jobs = (0..count).map(|_| Payload::new("Quick", json!([])).queue(queue));
    client(server).push_all(jobs.collect()).await.unwrap();
}

/// What the server executes, as it tells: time, command.
async fn monitor(server: &Server) -> Arc<Mutex<Vec<(f64, String)>>> {
    let lines: Arc<Mutex<Vec<(f64, String)>>> = Arc::default();
    let client = redis::Client::open(server.url()).unwrap();
    let monitor = client.get_async_monitor().await.unwrap();
    let sink = lines.clone();
    tokio::spawn(async move {
        let mut messages = monitor.into_on_message::<String>();
        while let Some(line) = messages.next().await {
            let (time, command) = line.split_once(' ').unwrap();
            sink.lock().unwrap().push((time.parse().unwrap(), command.to_owned()));
        }
    });
    lines
}

/// When jobs of the queue were taken: the server's times.
fn starts(lines: &[(f64, String)], queue: &str) -> Vec<f64> {
    let field = format!(":{queue}\" ");
    let takes = lines.iter().filter(|(_, command)| command.contains("\"HSET\" \"roustabout:inf"));
    let starts = takes.flat_map(|(at, command)| vec![*at; command.matches(&field).count()]);
    starts.collect()
}

/// How many there were within a time, at most.
fn most_within(starts: &[f64], seconds: f64) -> usize {
    let from =
        |first: &f64| starts.iter().filter(|at| (*first..first + seconds).contains(at)).count();
    starts.iter().map(from).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_in_any_second() {
    let (server, diary) = (Server::start().await, Diary::default());
    let lines = monitor(&server).await;
    push(&server, "limited", 7).await;
    let workers = [(); 3].map(|()| start(&server, &diary, "limited:20/s"));
    // those that come in the middle must not have a second of their own
    eventually("the first have run", async || diary.len() == 7).await;
    let middle = server.query::<(f64, f64)>("TIME").await;
    let late = async || {
        let (seconds, micros) = server.query::<(f64, f64)>("TIME").await;
        seconds - middle.0 + (micros - middle.1) / 1e6 > 0.6
    };
    eventually("half a second has passed", late).await;
    push(&server, "limited", 73).await;
    push(&server, "free", 50).await;
    eventually("all have run", async || diary.len() == 130).await;
    for worker in workers {
        worker.stop().await;
    }
    let lines = lines.lock().unwrap().clone();
    let starts = starts(&lines, "limited");
    assert_eq!(starts.len(), 80, "each once");
    // a tenth for a server that has to wait for its processor between the count and the take
    assert!(most_within(&starts, 0.9) <= 20, "{starts:?}");
    let fetches = lines.iter().filter(|(_, it)| it.contains("\"EXISTS\" \"paused\"")).count();
    assert!(fetches < 300, "{fetches} fetches in {:.1} s", lines[lines.len() - 1].0 - lines[0].0);
}

#[tokio::test]
async fn a_queue_whose_starts_are_used_up_waits_without_a_word_and_goes_on() {
    let (server, diary) = (Server::start().await, Diary::default());
    push(&server, "limited", 4).await;
    let worker = start(&server, &diary, "limited:1/s,limited:3");
    push(&server, "other", 1).await;
    eventually("both queues run", async || diary.count("other") == 1 && diary.count("limited") > 0)
        .await;
    let seen = monitor(&server).await;
    eventually("all have run", async || diary.count("limited") == 4).await;
    worker.stop().await;
    let seen = seen.lock().unwrap().clone();
    let fetches = seen.iter().filter(|(_, it)| it.contains("\"EXISTS\" \"paused\"")).count();
    assert!(fetches <= 20, "{fetches}");
    assert_eq!(server.query::<usize>("EXISTS roustabout:running:limited").await, 0);
    let ttl: i64 = server.query("PTTL roustabout:starts:s:limited").await;
    assert!((1..=2_010).contains(&ttl), "it goes by itself: {ttl}");
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_stop_it() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (seconds, _) = server.query::<(u64, u64)>("TIME").await;
    let future = (seconds + 7_200) * 100;
    let () = server.query(&format!("HSET roustabout:starts:s:limited {future} 5 x y")).await;
    push(&server, "limited", 2).await;
    let worker = start(&server, &diary, "limited:5/s");
    eventually("they run", async || diary.len() == 2).await;
    worker.stop().await;
    let left: Vec<u64> = server.query("HVALS roustabout:starts:s:limited").await;
    assert_eq!(left.iter().sum::<u64>(), 2);
}

// in a deploy that changes it
#[tokio::test]
async fn starts_in_an_hour_and_starts_in_a_second_are_counted_side_by_side() {
    let (server, old, new) = (Server::start().await, Diary::default(), Diary::default());
    push(&server, "limited", 2).await;
    let worker = start(&server, &old, "limited:2/h");
    eventually("the hour is used up", async || old.len() == 2).await;
    let other = start(&server, &new, "limited:1000/s");
    push(&server, "limited", 1).await;
    eventually("it goes by its own", async || new.len() == 1).await;
    other.stop().await;
    worker.stop().await;
    let worker = start(&server, &old, "limited:2/h,free:1");
    push(&server, "limited", 1).await;
    push(&server, "free", 1).await;
    eventually("it looks at both", async || old.count("free") == 1).await;
    worker.stop().await;
    assert_eq!(old.count("limited"), 2);
}
