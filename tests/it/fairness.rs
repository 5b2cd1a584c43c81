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
async fn weights_are_shares_of_the_starts() {
    job!(Quick {}, |_this, cx| {
        cx.app.note(cx.queue());
        Ok(())
    });
    let shares = |queues: &'static str, expected: &'static [(&str, usize)]| async move {
        let (server, diary) = (Server::start().await, Diary::default());
        let client = client(&server);
        for (queue, _) in expected {
            let jobs = (0..3_000).map(|_| Payload::new("Quick", json!([])).queue(queue));
            client.push_all(jobs.collect()).await.unwrap();
        }
        let queues = queues.parse().unwrap();
        let options = WorkerOptions { concurrency: 1, queues, ..brisk() };
        let registry = Registry::new(diary.clone()).job::<Quick>();
        let worker = Running::start(options, server.redis(), registry);
        eventually("many have run", async || diary.len() >= 2_000).await;
        worker.stop().await;
        let lines = &diary.lines()[..2_000];
        for (queue, expected) in expected {
            let share = lines.iter().filter(|line| line == queue).count();
            // at least four and a half standard deviations
            assert!(share.abs_diff(*expected) < 100, "{queue}: {share} of 2000, not {expected}");
        }
    };
    shares("heavy:3,light:1", &[("heavy", 1_500), ("light", 500)]).await;
    // the rest has the lowest weight there is, each queue of it
    let rest = &[("critical", 1_111), ("default", 444), ("mail", 222), ("other", 222), ("low", 0)];
    shares("critical:5,default:2,*,!low*", rest).await;
}
