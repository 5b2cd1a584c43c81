//! A process that is stuck, or too large, says so, gives back what it can and makes room for a
//! fresh one.

use std::time::Duration;

use roustabout::engine::{Registry, State, WorkerOptions};

use crate::child::{Block, Child, Clog, Gate, Leak, Note, Setup, diary, notes};
use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

/// The child's runtime has two threads.
const THREADS: usize = 2;

fn stalling(server: &Server, stall: u64) -> Setup {
    let stall_timeout = Some(Duration::from_secs(stall));
    Setup { grace: Duration::from_secs(1), stall_timeout, ..Setup::new(server) }
}

async fn rescued(server: &Server) -> u32 {
    server.query::<Option<u32>>("HGET roustabout:counters rescued").await.unwrap_or(0)
}

async fn waiting(server: &Server) -> usize {
    server.query("LLEN queue:default").await
}

async fn gates(server: &Server, names: &[&str]) {
    for name in names {
        client(server).enqueue(Gate { name: name.to_string() }).await.unwrap();
    }
    for name in names {
        notes(server, &format!("start {name}")).await;
    }
}

async fn block(child: &Child, server: &Server, threads: usize) {
    client(server).enqueue_all((0..threads).map(|_| Block {})).await.unwrap();
    let late = || child.log().matches("the job holds a thread").count();
    eventually("they hold their threads", async || late() == threads).await;
}

#[tokio::test]
async fn a_job_that_never_gives_its_thread_back_costs_its_process_and_is_buried() {
    let server = Server::start().await;
    let mut child = stalling(&server, 3).start();
    gates(&server, &["a", "b"]).await;
    block(&child, &server, 1).await;
    client(&server).enqueue(Note { name: "beside".into() }).await.unwrap();
    notes(&server, "beside").await;
    assert_eq!(child.ended().await, Some(70), "{}", child.log());
    let log = child.log();
    let named = log.lines().filter(|line| line.contains("ERROR") && line.contains("Block"));
    assert_eq!(named.count(), 1, "{log}");
    assert_eq!((waiting(&server).await, held(&server).await), (2, 1), "the others are back");
    for _ in 0..2 {
        let mut next = stalling(&server, 1).start();
        assert_eq!(next.ended().await, Some(70), "{}", next.log());
    }
    let () = server.query("SET test:gate open").await;
    let last = stalling(&server, 1).start();
    for name in ["end a", "end b"] {
        notes(&server, name).await;
    }
    eventually("it is buried", async || server.query::<u32>("ZCARD dead").await == 1).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    last.stop().await;
    let dead: Vec<String> = server.query("ZRANGE dead 0 -1").await;
    assert!(dead[0].contains("Block") && dead[0].contains("Poison"), "{dead:?}");
    assert_eq!(rescued(&server).await, 2, "the gates are not counted");
}

#[tokio::test]
async fn a_runtime_that_does_not_answer_at_all_is_left_from_outside() {
    let server = Server::start().await;
    let mut child = stalling(&server, 3).start();
    gates(&server, &["a", "b"]).await;
    block(&child, &server, THREADS).await;
    assert_eq!(child.ended().await, Some(70), "{}", child.log());
    for line in ["the runtime does not answer", "stopped while the runtime was stuck"] {
        assert!(child.log().contains(line), "{}", child.log());
    }
    assert_eq!((waiting(&server).await, held(&server).await), (2, THREADS));
    let () = server.query("SET test:gate open").await;
    let _next = Child::of(&server);
    for name in ["end a", "end b"] {
        notes(&server, name).await;
    }
    eventually("those come back too", async || rescued(&server).await == THREADS as u32).await;
}

#[tokio::test]
async fn a_stuck_runtime_hears_a_term_and_gives_everything_back() {
    let server = Server::start().await;
    let mut child = Setup { grace: Duration::from_secs(3), ..Setup::new(&server) }.start();
    gates(&server, &["a"]).await;
    block(&child, &server, THREADS).await;
    child.signal("TERM");
    assert_eq!(child.ended().await, Some(0), "{}", child.log());
    assert_eq!((waiting(&server).await, held(&server).await), (THREADS + 1, 0));
    assert_eq!(server.query::<u32>("EXISTS processes roustabout:owners").await, 0);
}

#[tokio::test]
async fn a_frozen_process_is_not_a_stuck_one() {
    let server = Server::start().await;
    let child = stalling(&server, 2).start();
    gates(&server, &["a"]).await;
    child.signal("STOP");
    tokio::time::sleep(Duration::from_secs(4)).await;
    child.signal("CONT");
    let () = server.query("SET test:gate open").await;
    notes(&server, "end a").await;
    tokio::time::sleep(Duration::from_secs(1)).await; // two looks of the watchdog
    assert!(!child.log().contains("does not answer"), "{}", child.log());
    child.stop().await;
}

#[tokio::test]
async fn what_a_stuck_process_had_done_holds_no_lock_and_is_known_as_done() {
    let server = Server::start().await;
    let mut child = stalling(&server, 3_600).start();
    let jid = client(&server).enqueue(Clog {}).await.unwrap();
    notes(&server, "clog").await;
    child.signal("TERM");
    assert_eq!(child.ended().await, Some(0), "{}", child.log());
    assert!(child.log().contains("stopped while the runtime was stuck"), "{}", child.log());
    assert_eq!((waiting(&server).await, held(&server).await), (0, 0));
    let status = client(&server).status(jid.jid()).await.unwrap().unwrap();
    assert_eq!(status.state, State::Done);
    assert_eq!(server.query::<Vec<String>>("KEYS roustabout:unique:*").await, [""; 0]);
}

#[tokio::test]
async fn a_process_that_is_too_large_finishes_what_runs() {
    let server = Server::start().await;
    let mut child = Setup { memory_limit: Some(150), ..Setup::new(&server) }.start();
    gates(&server, &["a"]).await;
    client(&server).enqueue(Note { name: "small".into() }).await.unwrap();
    notes(&server, "small").await;
    client(&server).enqueue(Leak { mib: 160 }).await.unwrap();
    child.logs("MEMORY_LIMIT_MB").await;
    client(&server).enqueue(Note { name: "later".into() }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await; // two looks of the watchdog
    assert!(child.runs(), "{}", child.log());
    let () = server.query("SET test:gate open").await;
    assert_eq!(child.ended().await, Some(75), "{}", child.log());
    assert_eq!(diary(&server).await, ["start a", "small", "leaked", "end a"]);
    assert_eq!((waiting(&server).await, held(&server).await), (1, 0));
}

// at the engine's own times: both connections are gone, and a runtime that is stuck takes no new one
#[tokio::test]
async fn a_stuck_process_lives_through_an_outage() {
    let server = Server::start().await;
    let child = Setup { unhurried: true, ..Setup::new(&server) }.start();
    let identity = child.identity(&server).await;
    block(&child, &server, THREADS).await;
    let mut admin = server.connect().await;
    let mut ask = async |words: &str| {
        let mut command = redis::Cmd::new();
        words.split(' ').for_each(|word| {
            command.arg(word);
        });
        command.query_async::<Option<String>>(&mut admin).await.expect("an answer")
    };
    ask("CONFIG SET maxclients 1").await;
    ask("CLIENT KILL TYPE normal").await;
    // until it has tried the connection of the others, too
    tokio::time::sleep(Duration::from_secs(7)).await;
    ask("CONFIG SET maxclients 100").await;
    let beats = async || {
        let number: Option<u32> = server.query(&format!("HGET {identity} beats")).await;
        number.unwrap_or(0)
    };
    let known = beats().await;
    eventually("it beats", async || beats().await > known + 3).await;
    assert!(server.query(&format!("EXISTS {identity}")).await);
}

job!(Hog {}, |_this, cx| {
    std::thread::sleep(Duration::from_secs(3));
    cx.app.note("hog");
    Ok(())
});
job!(Long {}, |_this, cx| {
    tokio::time::sleep(Duration::from_secs(5)).await;
    cx.app.note("long");
    Ok(())
});

// the place that it gives back is not the one of those that are waited for
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_job_that_ends_after_all_shortens_nobodys_grace() {
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Hog>().job::<Long>();
    let (grace, stall_timeout) = (Duration::from_secs(30), Some(Duration::from_secs(1)));
    let options = WorkerOptions { shutdown_timeout: grace, stall_timeout, ..brisk() };
    let client = client(&server);
    client.enqueue(Hog {}).await.unwrap();
    client.enqueue(Long {}).await.unwrap();
    let worker = Running::start(options, server.redis(), registry);
    worker.lifecycle.stopping().await;
    worker.stop().await;
    assert_eq!(diary.lines(), ["hog", "long"]);
    assert_eq!((waiting(&server).await, held(&server).await), (0, 0));
}
