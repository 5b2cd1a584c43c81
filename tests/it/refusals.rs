//! Redis is there and refuses: as a replica, while it loads, without replicas, without a disk, busy
//! with somebody's script, for want of rights. Jobs wait, nothing is lost and nothing runs twice.

use std::time::Duration;

use crate::child::{Child, Note, notes};
use crate::load::{Load, sturdy};
use crate::support::{Server, client, eventually, impatient};
use crate::trouble::Trouble;

async fn each_runs_once(trouble: Trouble) {
    let mut server = Trouble::prone().await;
    let url = server.url();
    let redis = || impatient(&url, Duration::from_secs(1));
    let mut load = Load::on(redis());
    let workers = [(); 2].map(|()| load.worker(redis(), sturdy()));
    load.more(60).await;
    trouble.begin(&mut server).await;
    let newcomer = redis();
    let told = async || newcomer.status().is_err_and(|why| why.contains(trouble.words()));
    eventually("a new connection is told why", told).await;
    load.is_refused().await;
    trouble.end(&server).await;
    load.gets_through().await;
    load.more(60).await;
    load.settles(&server).await;
    for worker in workers {
        worker.stop().await;
    }
    load.check(&server).await;
}

macro_rules! troubles {
    ($($name:ident: $trouble:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            each_runs_once(Trouble::$trouble).await;
        }
    )*};
}

troubles! {
    it_becomes_a_replica: ReadOnly;
    it_becomes_a_replica_without_a_master: MasterDown;
    it_reads_its_data: Loading;
    it_wants_replicas: NoReplicas;
    it_cannot_save: Misconfigured;
    it_is_busy: Busy;
}

/// How often the log of a process says this.
fn said(child: &Child, words: &str) -> usize {
    child.log().lines().filter(|line| line.contains(words)).count()
}

// a right that is missing is named, once, and the connection stays
async fn a_right_is_missing(rules: &str, restored: &str, what: &str, named: &str) {
    let server = Server::start().await;
    let () = server.query("ACL SETUSER worker on >pw ~* &* +@all").await;
    let client = client(&server);
    let child = Child::as_user(&server, "worker:pw");
    child.identity(&server).await;
    let () = server.query(&format!("ACL SETUSER worker {rules}")).await;
    client.enqueue(Note { name: "waits".into() }).await.unwrap();
    child.logs(what).await;
    let connected = async || server.query::<String>("CLIENT LIST").await.lines().count();
    let before = connected().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(connected().await, before);
    let () = server.query(&format!("ACL SETUSER worker {restored}")).await;
    notes(&server, "waits").await;
    child.logs("no longer refuses").await;
    let log = child.log();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains(what) && warnings[0].contains(named), "{log}");
    assert_eq!((said(&child, "no longer refuses"), said(&child, "not reachable")), (1, 0), "{log}");
    child.stop().await;
}

#[tokio::test]
async fn the_right_to_run_scripts_is_missing() {
    a_right_is_missing("-evalsha", "+evalsha", "refuses to", "evalsha").await;
}

#[tokio::test]
async fn the_right_to_take_from_a_queue_is_missing() {
    let rules =
        "resetkeys ~queues ~processes ~roustabout:* ~test:* ~retry ~schedule ~stat:* ~*:*:*";
    a_right_is_missing(rules, "~*", "refuses to hand out jobs", "NOPERM").await;
}

#[tokio::test]
async fn the_right_to_look_for_due_jobs_is_missing() {
    a_right_is_missing("-zcount", "+zcount", "refuses to move jobs that are due", "zcount").await;
}
