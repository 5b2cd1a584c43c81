//! What a small plan runs into: no connection left, no memory left, idle connections closed. And a
//! server that throws keys away.

use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, cmd};
use roustabout::engine::{Client, EnqueueError};

use crate::child::{Child, Note, Setup, noted, notes};
use crate::load::{Load, sturdy};
use crate::support::{Server, client, eventually, impatient};

async fn ask<T: FromRedisValue>(admin: &mut MultiplexedConnection, words: &str) -> T {
    let mut command = redis::Cmd::new();
    words.split(' ').for_each(|word| {
        command.arg(word);
    });
    command.query_async(admin).await.expect("an answer")
}

/// The ids of the connections that the server counts, and what each did last.
async fn clients(admin: &mut MultiplexedConnection) -> Vec<(u64, String)> {
    let list: String = ask(admin, "CLIENT LIST").await;
    let field = |line: &str, name: &str| {
        line.split(' ').find_map(|pair| pair.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    list.lines().map(|line| (field(line, "id=").parse().unwrap(), field(line, "cmd="))).collect()
}

#[tokio::test]
async fn without_a_connection_at_boot_it_waits_and_says_what_helps() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    let () = ask(&mut admin, "CONFIG SET maxclients 1").await;
    let child = Child::of(&server);
    child.logs("connections are used up").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let () = ask(&mut admin, "CONFIG SET maxclients 100").await;
    child.identity(&server).await;
    client(&server).enqueue(Note { name: "in".into() }).await.unwrap();
    notes(&server, "in").await;
    child.logs("Redis is back after").await;
    let log = child.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!(told.len() == 1 && told[0].contains("every worker process needs two"), "{log}");
    child.stop().await;
}

#[tokio::test]
async fn when_others_take_its_places_it_waits_for_them() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    let child = Child::of(&server);
    child.identity(&server).await;
    let () = ask(&mut admin, "CONFIG SET maxclients 1").await;
    let () = ask(&mut admin, "CLIENT KILL TYPE normal").await;
    child.logs("connections are used up").await;
    let () = ask(&mut admin, "CONFIG SET maxclients 100").await;
    child.logs("Redis is back after").await;
    client(&server).enqueue(Note { name: "in".into() }).await.unwrap();
    notes(&server, "in").await;
    let warnings = child.log().lines().filter(|line| line.contains("WARN")).count();
    assert_eq!(warnings, 1, "{}", child.log());
    child.stop().await;
}

#[tokio::test]
async fn with_one_connection_it_still_beats_and_works() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    let mut load = Load::on(server.redis());
    let worker = load.worker(impatient(&server.url(), Duration::from_millis(500)), sturdy());
    load.more(10).await;
    load.settles(&server).await;
    let identity: Vec<String> = ask(&mut admin, "SMEMBERS processes").await;
    // the heartbeat's connection is the one that looks for remote commands
    let heartbeat = loop {
        let all = clients(&mut admin).await;
        if let Some((id, _)) = all.into_iter().find(|(_, last)| last.starts_with("exists")) {
            break id;
        }
    };
    let places = clients(&mut admin).await.len() - 1;
    let () = ask(&mut admin, &format!("CONFIG SET maxclients {places}")).await;
    let () = ask(&mut admin, &format!("CLIENT KILL ID {heartbeat}")).await;
    let beats = format!("HGET {} beats", identity[0]);
    let before: u32 = ask(&mut admin, &beats).await;
    // at a lifetime of 5 s, it would be dead by then
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(clients(&mut admin).await.len(), places);
    assert!(ask::<u32>(&mut admin, &beats).await > before + 2, "it beats");
    load.more(20).await;
    let () = ask(&mut admin, "CONFIG SET maxclients 100").await;
    load.settles(&server).await;
    eventually("it has two again", async || clients(&mut admin.clone()).await.len() == places + 1)
        .await;
    worker.stop().await;
    load.check(&server).await;
    for name in ["rescued", "lost_leases"] {
        let counted =
            server.query::<Option<u32>>(&format!("HGET roustabout:counters {name}")).await;
        assert_eq!(counted, None, "{name}");
    }
}

// at the engine's own times: there the heartbeat would be back long before the other tries again
#[tokio::test]
async fn the_only_place_is_not_the_heartbeats() {
    let server = Server::start().await;
    let mut admin = server.connect().await;
    let child = Setup { unhurried: true, ..Setup::new(&server) }.start();
    child.identity(&server).await;
    let us: u64 = ask(&mut admin, "CLIENT ID").await;
    let first = loop {
        let mut all = clients(&mut admin).await;
        all.retain(|(id, _)| *id != us);
        let heartbeat = all.iter().position(|(_, last)| last.starts_with("exists"));
        if let (Some(heartbeat), 2) = (heartbeat, all.len()) {
            break all[1 - heartbeat].0;
        }
    };
    let () = ask(&mut admin, "CONFIG SET maxclients 2").await;
    let () = ask(&mut admin, &format!("CLIENT KILL ID {first}")).await;
    let job = r#"{"class":"Note","queue":"default","args":["in"],"jid":"1"}"#;
    let () = ask(&mut admin, &format!("LPUSH queue:default {job}")).await;
    let left = async || ask::<u32>(&mut admin.clone(), "LLEN queue:default").await;
    eventually("the job is taken", async || left().await == 0).await;
    let () = ask(&mut admin, "CONFIG SET maxclients 100").await;
    notes(&server, "in").await;
    child.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_is_full_and_free_again() {
    let server = Server::start().await;
    let mut load = Load::on(server.redis());
    let workers = [(); 2].map(|()| load.worker(server.redis(), sturdy()));
    for _ in 0..3 {
        load.more(60).await;
        let () = server.query("CONFIG SET maxmemory 1").await;
        for _ in 0..10 {
            assert_eq!(load.one_more().await, Some(EnqueueError::Full));
        }
        let () = server.query("CONFIG SET maxmemory 0").await;
    }
    load.more(20).await;
    load.settles(&server).await;
    for worker in workers {
        worker.stop().await;
    }
    load.check(&server).await;
}

/// Enqueues again and again on a connection that the server has just closed.
async fn wakes_too_late(server: &Server) {
    let (mut admin, redis) = (server.connect().await, server.redis());
    let sleeper = Client::new(redis.clone());
    for n in 0..15 {
        let id: u64 = redis.query(cmd("CLIENT").arg("ID")).await.unwrap();
        let () = ask(&mut admin, &format!("CLIENT KILL ID {id}")).await;
        if n % 3 == 0 {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(..2_000))).await;
        }
        let enqueued = sleeper.enqueue(Note { name: n.to_string() }).await;
        assert!(enqueued.is_ok(), "{n}: {enqueued:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wakes_on_a_connection_closed_meanwhile_enqueues_all_the_same() {
    let server = Server::start().await;
    join_all((0..20).map(|_| wakes_too_late(&server))).await;
    assert_eq!(server.query::<usize>("LLEN queue:default").await, 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed_by_the_server() {
    let server = Server::start().await;
    let redis = server.redis();
    let sleeper = Client::new(redis.clone());
    let child = Setup { unhurried: true, ..Setup::new(&server) }.start();
    child.identity(&server).await;
    let () = server.query("CONFIG SET timeout 1").await;
    for n in 0..3 {
        let before: u64 = redis.query(cmd("CLIENT").arg("ID")).await.unwrap();
        // the server looks once a second
        tokio::time::sleep(Duration::from_millis(3_100 + 70 * n)).await;
        let after: u64 = redis.query(cmd("CLIENT").arg("ID")).await.unwrap();
        assert_ne!(before, after, "it was closed");
        let name = n.to_string();
        sleeper.enqueue(Note { name: name.clone() }).await.unwrap();
        notes(&server, &name).await;
    }
    let log = child.log();
    assert!(!log.contains("WARN"), "{log}");
    for n in 0..3 {
        assert_eq!(noted(&server, &n.to_string()).await, 1);
    }
    child.stop().await;
}

#[tokio::test]
async fn a_server_that_evicts_is_warned_of() {
    let server = Server::with(&["--save", "", "--maxmemory-policy", "allkeys-lru"]).await;
    let child = Child::of(&server);
    child.logs("set maxmemory-policy to noeviction").await;
    child.stop().await;
    let server = Server::start().await;
    let child = Child::of(&server);
    child.logs("ready").await;
    assert!(!child.log().contains("WARN"), "{}", child.log());
    child.stop().await;
}
