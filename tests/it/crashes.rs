//! kill -9 and worse: nothing is lost, iterable jobs go on from their cursor, and a job that
//! kills process after process is buried without its neighbours.

use crate::child::{Child, Count, Gate, Killer, Note, diary, noted, notes};
use crate::lost_replies::held;
use crate::support::{Server, client, eventually};
use redis::AsyncCommands;
use roustabout::engine::{Payload, State};

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
async fn poison_behind_others_is_buried_alone() {
    poison_is_buried_alone(4).await;
}

#[tokio::test]
async fn poison_before_others_is_buried_alone() {
    poison_is_buried_alone(0).await;
}

/// With so many of its four neighbours before it in the queue.
async fn poison_is_buried_alone(before: usize) {
    let server = Server::start().await;
    let client = client(&server);
    for n in 0..4 {
        if n == before {
            client.enqueue(Killer {}).await.unwrap();
        }
        client.enqueue(Gate { name: n.to_string() }).await.unwrap();
    }
    if before == 4 {
        // as a client that knows nothing of statuses would push it
        let mut payload = Payload::of(&Killer {}).unwrap();
        payload.remove("status_for");
        client.push(payload).await.unwrap();
    }
    client.enqueue(Note { name: "after".into() }).await.unwrap();
    // until the gate opens after two deaths the neighbours are there at each; from then on those
    // that one more would bury run one at a time, and come to an end to make room
    for death in 1..=3 {
        if death == 3 {
            let () = server.query("SET test:gate open").await;
        }
        let mut child = Child::of(&server);
        assert_eq!(child.ended().await, None, "{}", child.log());
    }
    let child = Child::of(&server);
    eventually("it is buried", async || server.query::<u32>("ZCARD dead").await > 0).await;
    notes(&server, "after").await;
    notes(&server, "will: Poison").await;
    for n in 0..4 {
        notes(&server, &format!("end {n}")).await;
    }
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    child.stop().await;
    let dead: Vec<String> = server.query("ZRANGE dead 0 -1").await;
    assert_eq!(noted(&server, "killer").await, 3);
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].contains("Killer") && dead[0].contains("\"error_class\":\"Poison\""));
    assert_eq!(server.query::<u32>("EXISTS retry").await, 0);
    // what it was tied to is settled too
    let jid: String = Payload::parse(dead[0].as_bytes()).unwrap().jid();
    assert_eq!(client.status(&jid).await.unwrap().unwrap().state, State::Dead);
    assert!(!client.enqueue(Killer {}).await.unwrap().existed());
}

// the reaper tries again and again; each time it would be another time of death
#[tokio::test]
async fn a_will_that_cannot_be_pushed_buries_nobody_twice() {
    let server = Server::start().await;
    let jid = "0123456789abcdef01234567";
    let raw = Payload::of(&Killer {}).unwrap().with("jid", jid).to_bytes();
    let (now, _) = server.query::<(u64, u64)>("TIME").await;
    let mut redis = server.connect().await;
    let () = redis.hset("roustabout:inflight:gone:1:x", "1:1:default", raw).await.unwrap();
    let () = redis.sadd("roustabout:owners", "gone:1:x").await.unwrap();
    let () = redis.hset("roustabout:rescues", jid, format!("2 {now} gone:1:x/1:1")).await.unwrap();
    let () = server.query("SET queue:default nonsense").await;
    let child = Child::of(&server);
    child.logs("take jobs back from dead processes").await;
    let looks = async || {
        let stats: String = server.query("INFO commandstats").await;
        let looks = stats.split("cmdstat_hkeys:calls=").nth(1);
        looks.and_then(|rest| rest.split(',').next()?.parse::<u32>().ok()).unwrap_or(0)
    };
    let before = looks().await;
    eventually("it tries again", async || looks().await >= before + 2).await;
    assert_eq!(server.query::<u32>("ZCARD dead").await, 0);
    let () = server.query("DEL queue:default").await;
    notes(&server, "will: Poison").await;
    assert_eq!(server.query::<u32>("ZCARD dead").await, 1);
    child.stop().await;
}
