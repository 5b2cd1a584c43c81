//! What a process is asked to do while it lives: be quiet, list its jobs, commands through
//! Redis.

use std::time::Duration;

use roustabout::engine::{Registry, WorkerOptions};

use crate::child::{Child, Count, Gate, Note, notes};
use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

#[tokio::test]
async fn a_quiet_process_lets_go_of_iterable_jobs_and_stays() {
    let server = Server::start().await;
    let client = client(&server);
    let mut quiet = Child::of(&server);
    client.enqueue(Gate { name: "plain".into() }).await.unwrap();
    client.enqueue(Count { name: "count".into(), to: 300 }).await.unwrap();
    notes(&server, "start plain").await;
    eventually("it counts", async || server.query::<u32>("SCARD test:count").await > 3).await;
    quiet.signal("TSTP");
    let back = async || server.query::<u32>("LLEN queue:default").await == 1;
    eventually("the iterable one is back", back).await;
    assert_eq!(held(&server).await, 1);
    let identity = quiet.identity(&server).await;
    let said = async || server.query::<String>(&format!("HGET {identity} quiet")).await == "true";
    eventually("it says so", said).await;
    quiet.logs("quiet: no new jobs from now on").await;

    let other = Child::of(&server);
    notes(&server, "end count").await;
    assert_eq!(server.query::<u32>("SCARD test:count").await, 300);
    assert_eq!(server.query::<u32>("EXISTS retry dead roustabout:rescues").await, 0);
    other.stop().await;
    client.enqueue(Note { name: "for others".into() }).await.unwrap();
    let () = server.query("SET test:gate open").await;
    notes(&server, "end plain").await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    assert!(quiet.runs());
    quiet.stop().await;
    assert_eq!(server.query::<u32>("LLEN queue:default").await, 1);
}

#[tokio::test]
async fn running_jobs_are_listed_without_their_arguments() {
    let server = Server::start().await;
    let child = Child::of(&server);
    let jid = client(&server).enqueue(Gate { name: "secret".into() }).await.unwrap();
    notes(&server, "start secret").await;
    child.signal("TTIN");
    child.logs(&format!("Gate {jid} on default")).await;
    assert!(!child.log().contains("secret"));
    let () = server.query("SET test:gate open").await;
    child.stop().await;
}

#[tokio::test]
async fn commands_come_through_redis() {
    let server = Server::start().await;
    let mut child = Child::of(&server);
    let identity = child.identity(&server).await;
    let () = server.query(&format!("RPUSH {identity}-signals NONSENSE TSTP")).await;
    let quiet = async || server.query::<String>(&format!("HGET {identity} quiet")).await == "true";
    eventually("it is quiet", quiet).await;
    assert!(child.runs());
    let () = server.query(&format!("LPUSH {identity}-signals TERM")).await;
    assert_eq!(child.ended().await, Some(0), "{}", child.log());
}

#[tokio::test]
async fn resques_usr2_is_quiet_and_usr1_does_nothing() {
    let server = Server::start().await;
    let client = client(&server);
    let child = Child::of(&server);
    let identity = child.identity(&server).await;
    child.signal("USR1");
    child.logs("USR1 ignored").await;
    client.enqueue(Note { name: "after USR1".into() }).await.unwrap();
    notes(&server, "after USR1").await;
    child.signal("USR2");
    let quiet = async || server.query::<String>(&format!("HGET {identity} quiet")).await == "true";
    eventually("it is quiet", quiet).await;
    client.enqueue(Note { name: "for others".into() }).await.unwrap();
    child.stop().await;
    assert_eq!(server.query::<u32>("LLEN queue:default").await, 1);
}

#[tokio::test]
async fn who_asks_for_quiet_sees_it_before_the_next_beat() {
    let server = Server::start().await;
    let hour = Duration::from_secs(3_600);
    let options = WorkerOptions { beat: hour, ttl: 2 * hour, ..brisk() };
    let worker = Running::start(options, server.redis(), Registry::new(Diary::default()));
    let owners = async || server.query::<Vec<String>>("SMEMBERS roustabout:owners").await;
    eventually("it registers", async || !owners().await.is_empty()).await;
    let identity = owners().await.remove(0);
    let () = server.query(&format!("LPUSH {identity}-signals TSTP")).await;
    let quiet = async || {
        let said: Option<String> = server.query(&format!("HGET {identity} quiet")).await;
        said.as_deref() == Some("true")
    };
    eventually("it says so", quiet).await;
    worker.stop().await;
}
