//! kill -9 and worse: nothing is lost, iterable jobs go on from their cursor, and a job that
//! kills process after process is buried without its neighbours.

use crate::child::{Child, Count, Gate, Killer, Note, diary, noted, notes};
use crate::lost_replies::held;
use crate::support::{Server, client, eventually};

#[tokio::test]
async fn nothing_is_lost_through_kills_at_random_moments() {
    const COUNTED: u32 = 1_500;
    let server = Server::start().await;
    let client = client(&server);
    let mut children = [Child::of(&server), Child::of(&server)];
    client.enqueue(Count { name: "count".into(), to: COUNTED }).await.unwrap();
    let mut names = Vec::new();
    for round in 0..10 {
        let fresh: Vec<String> = (0..100).map(|n| format!("{round}/{n}")).collect();
        let jobs = fresh.iter().map(|name| Note { name: name.clone() });
        let wanted = diary(&server).await.len() + fastrand::usize(..90);
        client.enqueue_all(jobs).await.unwrap();
        names.extend(fresh);
        eventually("some have run", async || diary(&server).await.len() >= wanted).await;
        let unlucky = &mut children[fastrand::usize(..2)];
        unlucky.kill();
        *unlucky = Child::of(&server);
    }
    let () = server.query("SET test:gate open").await;
    notes(&server, "end count").await;
    for name in &names {
        notes(&server, name).await;
    }
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    assert_eq!(server.query::<u32>("SCARD test:count").await, COUNTED);
    assert_eq!(server.query::<u32>("EXISTS retry dead").await, 0);
    for child in children {
        child.stop().await;
    }
}

#[tokio::test]
async fn a_job_that_moves_on_is_never_buried() {
    const COUNTED: u32 = 2_000;
    let server = Server::start().await;
    client(&server).enqueue(Count { name: "count".into(), to: COUNTED }).await.unwrap();
    let counted = async || server.query::<u32>("SCARD test:count").await;
    for _ in 0..5 {
        let (mut child, before) = (Child::of(&server), counted().await);
        eventually("it moves on", async || counted().await > before + 3).await;
        child.kill();
    }
    let () = server.query("SET test:gate open").await;
    let child = Child::of(&server);
    notes(&server, "end count").await;
    child.stop().await;
    assert_eq!(counted().await, COUNTED);
    let lines = diary(&server).await;
    assert_eq!(lines.iter().filter(|line| line.starts_with("start count at")).count(), 6);
    assert!(!lines[1..].contains(&"start count at 0".into()), "{lines:?}");
    assert_eq!(server.query::<u32>("EXISTS retry dead roustabout:rescues").await, 0);
    assert!(server.query::<Vec<String>>("KEYS it-*").await.is_empty());
}

#[tokio::test]
async fn poison_is_buried_alone() {
    let server = Server::start().await;
    let client = client(&server);
    for n in 0..4 {
        client.enqueue(Gate { name: n.to_string() }).await.unwrap();
    }
    client.enqueue(Killer {}).await.unwrap();
    client.enqueue(Note { name: "after".into() }).await.unwrap();
    while server.query::<u32>("ZCARD dead").await == 0 {
        // by now its neighbours have outlived two processes, as it has: from here on those that
        // one more death would bury run one at a time, and must come to an end to make room
        if noted(&server, "killer").await == 2 {
            let () = server.query("SET test:gate open").await;
        }
        let mut child = Child::of(&server);
        let buried = async || server.query::<u32>("ZCARD dead").await > 0;
        let mut dead = false;
        while !dead && !buried().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            dead = !child.runs();
        }
    }
    assert_eq!(noted(&server, "killer").await, 3);
    let child = Child::of(&server);
    notes(&server, "after").await;
    for n in 0..4 {
        notes(&server, &format!("end {n}")).await;
    }
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    child.stop().await;
    let dead: Vec<String> = server.query("ZRANGE dead 0 -1").await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].contains("Killer") && dead[0].contains("\"error_class\":\"Poison\""));
    assert_eq!(server.query::<u32>("EXISTS retry").await, 0);
}
