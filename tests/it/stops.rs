//! TERM and its relatives: short jobs finish, long ones go back to the head of their queue as
//! they were, nothing runs twice, and the exit code is 0.

use std::time::{Duration, Instant};

use redis::AsyncCommands;

use crate::child::{Child, Gate, Note, Setup, diary, noted, notes};
use crate::lost_replies::held;
use crate::support::{Server, client, eventually};

async fn a_short_job_finishes_through(signals: &[&str]) {
    let server = Server::start().await;
    let client = client(&server);
    let mut child = Child::of(&server);
    client.enqueue(Gate { name: "short".into() }).await.unwrap();
    notes(&server, "start short").await;
    for signal in signals {
        child.signal(signal);
    }
    child.logs("stopping").await;
    client.enqueue(Note { name: "too late".into() }).await.unwrap();
    let () = server.query("SET test:gate open").await;
    assert_eq!(child.ended().await, Some(0), "{}", child.log());
    assert_eq!(diary(&server).await, ["start short", "end short"]);
    assert_eq!(server.query::<u32>("LLEN queue:default").await, 1);
    assert_eq!(held(&server).await, 0);
    assert_eq!(server.query::<u32>("EXISTS retry dead processes roustabout:owners").await, 0);
}

#[tokio::test]
async fn term() {
    a_short_job_finishes_through(&["TERM"]).await;
}

#[tokio::test]
async fn term_twice() {
    a_short_job_finishes_through(&["TERM", "TERM"]).await;
}

#[tokio::test]
async fn int_then_term() {
    a_short_job_finishes_through(&["INT", "TERM"]).await;
}

#[tokio::test]
async fn hangup_then_quiet() {
    a_short_job_finishes_through(&["HUP", "TSTP"]).await;
}

#[tokio::test]
async fn resques_quit() {
    a_short_job_finishes_through(&["QUIT"]).await;
}

#[tokio::test]
async fn long_jobs_go_back_to_the_head_as_they_were() {
    const RUNNING: usize = 700; // more than one step of the giving back
    let server = Server::start().await;
    let grace = Duration::from_millis(500);
    let mut child = Setup { concurrency: RUNNING, grace, ..Setup::new(&server) }.start();
    child.identity(&server).await;
    // bytes that no serializer would write
    let payload = |n: usize| {
        format!("{{ \"jid\":\"j{n}\",\"x\":1.50, \"class\":\"Gate\",\"args\":[ \"{n:04}\"]}}")
    };
    let payloads: Vec<String> = (0..RUNNING + 50).map(payload).collect();
    let mut foreign = server.connect().await;
    let () = foreign.lpush("queue:default", &payloads).await.unwrap();
    let all_run = async || diary(&server).await.len() == RUNNING;
    eventually("as many as possible run", all_run).await;
    let began = Instant::now();
    child.signal("TERM");
    assert_eq!(child.ended().await, Some(0), "{}", child.log());
    assert!(began.elapsed() < grace + Duration::from_secs(10));
    let mut back: Vec<String> = server.query("LRANGE queue:default 0 -1").await;
    back.reverse(); // the head, which is taken next, is on the right
    assert!(back == payloads, "{back:?}");
    assert_eq!(held(&server).await, 0);
    let gone = "EXISTS retry dead processes roustabout:owners roustabout:rescues stat:processed";
    assert_eq!(server.query::<u32>(gone).await, 0);
}

#[tokio::test]
async fn ten_thousand_jobs_run_once_through_many_stops() {
    const JOBS: usize = 10_000;
    let server = Server::start().await;
    let client = client(&server);
    let jobs = (0..JOBS).map(|n| Note { name: n.to_string() });
    client.enqueue_all(jobs).await.unwrap();
    let run = async || server.query::<usize>("LLEN test:diary").await;
    let (mut stopping, mut other) = (Child::of(&server), Child::of(&server));
    let mut stops = 0;
    while run().await < JOBS * 9 / 10 {
        let before = run().await;
        eventually("some have run", async || run().await > before).await;
        stopping.stop().await;
        stops += 1;
        stopping = std::mem::replace(&mut other, Child::of(&server));
    }
    eventually("all have run", async || run().await >= JOBS).await;
    stopping.stop().await;
    other.stop().await;
    assert!(stops > 1);
    let mut lines = diary(&server).await;
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((lines.len(), run().await), (JOBS, JOBS));
    assert_eq!(held(&server).await, 0);
    assert_eq!(server.query::<usize>("GET stat:processed").await, JOBS);
    assert_eq!(noted(&server, "0").await, 1);
}
