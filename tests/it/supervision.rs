//! systemd's watchdog is fed by the runtime alone: not while that is stuck, and again when it
//! answers. (`tests/app` has what systemd hears of a process that is well.)

use std::future::ready;
use std::time::Duration;

use crate::child::{BAD_ACTS, Block, Child, Hold, PIDFILE, Setup};
use crate::notify::Notify;
use crate::support::{Server, client, eventually};

/// The child's runtime has two threads.
const THREADS: usize = 2;

/// A child that wants to be fed every 100 ms.
fn watched(setup: &Setup, notify: &Notify) -> Child {
    setup.start_with(&[("NOTIFY_SOCKET", &notify.name), ("WATCHDOG_USEC", "600000")])
}

async fn hears(notify: &mut Notify, begins: &[&str]) {
    eventually(begins[0], || ready(notify.has(begins))).await;
}

#[tokio::test]
async fn no_sign_of_life_from_a_runtime_that_is_stuck() {
    let (server, mut notify) = (Server::start().await, Notify::abstract_name());
    let child = watched(&Setup::new(&server), &notify);
    hears(&mut notify, &["READY=1", "WATCHDOG=1"]).await;
    let gate = tempfile::tempdir().unwrap();
    let path = gate.path().join("open").to_str().unwrap().to_owned();
    client(&server).enqueue_all((0..THREADS).map(|_| Hold { path: path.clone() })).await.unwrap();
    child.logs("the runtime does not answer").await;
    notify.forget();
    tokio::time::sleep(Duration::from_secs(1)).await; // ten meals
    assert!(notify.heard().is_empty(), "{:?}", notify.heard());
    std::fs::write(&path, "").unwrap();
    hears(&mut notify, &["WATCHDOG=1"]).await;
    child.stop().await;
}

#[tokio::test]
async fn one_thread_is_enough_to_be_alive() {
    let (server, mut notify) = (Server::start().await, Notify::at_a_path());
    let child = watched(&Setup::new(&server), &notify);
    hears(&mut notify, &["READY=1"]).await;
    let gate = tempfile::tempdir().unwrap();
    let path = gate.path().join("open").to_str().unwrap().to_owned();
    client(&server).enqueue(Hold { path: path.clone() }).await.unwrap();
    child.logs("the job holds a thread").await;
    notify.forget();
    eventually("it is fed", || ready(notify.count("WATCHDOG=1") > 10)).await;
    std::fs::write(&path, "").unwrap();
    child.stop().await;
}

#[tokio::test]
async fn a_stuck_process_that_leaves_takes_its_pidfile_along() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    let (grace, stall_timeout) = (Duration::from_secs(1), Some(Duration::from_secs(1)));
    let setup = Setup { grace, stall_timeout, ..Setup::new(&server) };
    // before it an act that panics, after it one that hangs: neither keeps the process
    let pidfile = path.to_str().unwrap();
    let mut child = setup.start_with(&[(PIDFILE, pidfile), (BAD_ACTS, "1")]);
    eventually("the pidfile", async || path.exists()).await;
    client(&server).enqueue_all((0..THREADS).map(|_| Block {})).await.unwrap();
    assert_eq!(child.ended().await, Some(70), "{}", child.log());
    assert!(child.log().contains("stopped while the runtime was stuck"), "{}", child.log());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
