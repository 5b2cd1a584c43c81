//! Speed must not be bought with fairness: nobody takes jobs that it cannot start, and weights
//! are kept.

use std::time::Duration;

use roustabout::engine::{Payload, Registry, WorkerOptions};
use serde_json::json;

use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Nap {}, |_this, cx| {
    cx.app.note(cx.queue());
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
});

const PLACES: usize = 10;

#[tokio::test]
async fn nobody_holds_jobs_back_while_another_is_idle() {
    let server = Server::start().await;
    let client = client(&server);
    client.enqueue_all((0..4 * PLACES).map(|_| Nap {})).await.unwrap();
    let diaries = [Diary::default(), Diary::default()];
    let workers = diaries.each_ref().map(|diary| {
        let options = WorkerOptions { concurrency: PLACES, ..brisk() };
        Running::start(options, server.redis(), Registry::new(diary.clone()).job::<Nap>())
    });
    let done = || diaries.iter().map(Diary::len).sum::<usize>() == 4 * PLACES;
    eventually("all have started", async || {
        let owners: Vec<String> = server.query("SMEMBERS roustabout:owners").await;
        for owner in owners {
            let held: usize = server.query(&format!("HLEN roustabout:inflight:{owner}")).await;
            assert!(held <= PLACES, "{owner} holds {held}");
        }
        done()
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
    // whoever is up first has the first ten; from then on they take turns
    assert!(diaries.iter().all(|diary| diary.len() >= PLACES), "{:?}", diaries.map(|d| d.len()));
}

#[tokio::test]
async fn a_weight_of_three_is_three_of_four() {
    job!(Quick {}, |_this, cx| {
        cx.app.note(cx.queue());
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    for queue in ["heavy", "light"] {
        let jobs = (0..3_000).map(|_| Payload::new("Quick", json!([])).queue(queue));
        client.push_all(jobs.collect()).await.unwrap();
    }
    let queues = "heavy:3,light:1".parse().unwrap();
    let options = WorkerOptions { concurrency: 1, queues, ..brisk() };
    let registry = Registry::new(diary.clone()).job::<Quick>();
    let worker = Running::start(options, server.redis(), registry);
    eventually("many have run", async || diary.len() >= 2_000).await;
    worker.stop().await;
    let heavy = diary.lines()[..2_000].iter().filter(|queue| *queue == "heavy").count();
    assert!((1_400..1_600).contains(&heavy), "{heavy} of 2000"); // five standard deviations
}
