//! One long job and very many deploys: what is done twice stays under what may lie between two
//! checkpoints, and without kills it is nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use roustabout::engine::{Job, JobContext, Registry, WorkerOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::child::{Child, Rows, notes};
use crate::support::{Running, Server, brisk, client, eventually};

const DEPLOYS: usize = 1_000;
/// Rows that a process does at least before the next one takes its place.
const BETWEEN: usize = 3;

/// Every row that was done, in order, and whether it is enough.
#[derive(Clone, Default)]
struct Road {
    rows: Arc<Mutex<Vec<u32>>>,
    count: watch::Sender<usize>,
    enough: watch::Sender<bool>,
    ends: Arc<Mutex<Vec<(u32, u32)>>>,
}

#[derive(Serialize, Deserialize)]
struct March;

impl Job for March {
    type App = Road;
    const CLASS: &'static str = "March";

    async fn perform(self, cx: JobContext<Road>) -> anyhow::Result<()> {
        let from: u32 = cx.cursor().await?.unwrap_or(0);
        for row in from.. {
            if *cx.app.enough.borrow() {
                break;
            }
            cx.app.rows.lock().expect("no panic").push(row);
            cx.app.count.send_modify(|count| *count += 1);
            cx.checkpoint(row + 1).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cx.app.ends.lock().expect("no panic").push((cx.attempt(), cx.interruptions()));
        Ok(())
    }
}

#[tokio::test]
async fn a_thousand_deploys_do_no_row_twice() {
    let (server, road) = (Server::start().await, Road::default());
    let start = || {
        let options = WorkerOptions { concurrency: 1, ..brisk() };
        Running::start(options, server.redis(), Registry::new(road.clone()).job::<March>())
    };
    let mut worker = start();
    client(&server).enqueue(March).await.unwrap();
    for _ in 0..DEPLOYS {
        let target = *road.count.borrow() + BETWEEN;
        road.count.subscribe().wait_for(|count| *count >= target).await.unwrap();
        let next = start(); // the old and the new ones overlap, as on a platform
        std::mem::replace(&mut worker, next).stop().await;
    }
    road.enough.send_replace(true);
    eventually("it ends", async || !road.ends.lock().unwrap().is_empty()).await;
    worker.stop().await;
    let rows = road.rows.lock().unwrap().clone();
    assert!(rows.len() >= DEPLOYS * BETWEEN);
    assert!(rows.iter().copied().eq(0..rows.len() as u32), "each row once, in order");
    let deploys = DEPLOYS as u32;
    assert_eq!(*road.ends.lock().unwrap(), [(1, deploys)], "one attempt, whatever happened");
    assert_eq!(server.query::<u32>("HGET roustabout:counters interrupted").await, deploys);
    assert_eq!(server.query::<u32>("GET stat:processed").await, 1);
    assert_eq!(server.query::<u32>("EXISTS stat:failed retry dead").await, 0);
    assert!(server.query::<Vec<String>>("KEYS it-*").await.is_empty());
}

const KILLS: usize = 12;
/// A checkpoint is written after a second, and `Rows` does one row in 20 ms at best.
const PER_INTERVAL: usize = 50;

/// Rows done, the last one, and the row that the next run begins with, at this moment.
async fn state(server: &Server, jid: &str) -> (usize, usize, usize) {
    let done = server.query("LLEN test:rows").await;
    let last: Option<usize> = server.query("LINDEX test:rows -1").await;
    let cursor: Option<usize> = server.query(&format!("HGET it-{jid} c")).await;
    (done, last.map_or(0, |row| row + 1), cursor.unwrap_or(0))
}

/// Kills the process that has the job again and again, and a deploy in between does it no harm.
async fn killed_again_and_again() {
    let server = Server::start().await;
    let mut children = vec![Child::of(&server), Child::of(&server)];
    let jid = client(&server).enqueue(Rows { name: "rows".into() }).await.unwrap();
    let mut expected = 0;
    for kill in 0..KILLS {
        let wanted = state(&server, &jid).await.0 + fastrand::usize(1..80);
        eventually("it goes on", async || state(&server, &jid).await.0 >= wanted).await;
        let mut holds = Vec::new();
        for child in &children {
            let key = format!("roustabout:inflight:{}", child.identity(&server).await);
            holds.push(server.query::<u32>(&format!("HLEN {key}")).await > 0);
        }
        let mut unlucky = children.swap_remove(usize::from(holds[1]));
        if kill % 3 == 0 {
            unlucky.stop().await; // nothing done twice
        } else {
            unlucky.kill();
            let (_, next, cursor) = state(&server, &jid).await;
            let again = next - cursor;
            assert!(again <= PER_INTERVAL, "{again} rows since the last checkpoint");
            expected += again;
        }
        children.push(Child::of(&server));
    }
    let () = server.query("SET test:gate open").await;
    notes(&server, "end rows").await;
    for child in children {
        child.stop().await;
    }
    let mut rows: Vec<usize> = server.query("LRANGE test:rows 0 -1").await;
    // it has gone on by one row each time, but for the steps back
    let again = rows.len() - (rows[rows.len() - 1] + 1);
    assert_eq!(again, expected, "done twice: what was not saved at a kill, no more");
    rows.sort_unstable();
    rows.dedup();
    assert!(rows.iter().copied().eq(0..rows.len()), "every row");
    assert_eq!(server.query::<u32>("EXISTS stat:failed retry dead").await, 0);
}

#[tokio::test]
async fn kills_cost_less_than_an_interval_each() {
    tokio::join!(killed_again_and_again(), killed_again_and_again(), killed_again_and_again());
}
