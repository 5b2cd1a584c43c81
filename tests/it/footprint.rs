//! What a worker costs its server: two connections, and next to nothing when idle.

use crate::child::{Gate, Setup, diary};
use crate::support::{Server, client, eventually};

async fn connections(server: &Server) -> usize {
    server.query::<String>("CLIENT LIST").await.lines().count() - 1
}

#[tokio::test]
async fn two_connections_at_any_concurrency() {
    for concurrency in [1, 100] {
        let server = Server::start().await;
        let child = Setup { concurrency, ..Setup::new(&server) }.start();
        child.identity(&server).await;
        let jobs = (0..2 * concurrency).map(|n| Gate { name: n.to_string() });
        client(&server).enqueue_all(jobs).await.unwrap();
        let all_run = async || diary(&server).await.len() == concurrency;
        eventually("as many as possible run", all_run).await;
        eventually("two connections", async || connections(&server).await == 2).await;
        let () = server.query("SET test:gate open").await;
        eventually("all are done", async || diary(&server).await.len() == 4 * concurrency).await;
        eventually("two connections", async || connections(&server).await == 2).await;
        child.stop().await;
        eventually("none", async || connections(&server).await == 0).await;
    }
}

#[tokio::test]
async fn an_idle_worker_sends_a_handful_of_commands() {
    let server = Server::start().await;
    let child = Setup { unhurried: true, ..Setup::new(&server) }.start();
    child.identity(&server).await;
    let mut looking = server.connect().await;
    let mut look = async || -> (u64, u64) {
        let mut facts = redis::pipe();
        facts.cmd("TIME").cmd("INFO").arg("commandstats");
        let ((now, _), stats): ((u64, u64), String) =
            facts.query_async(&mut looking).await.unwrap();
        let others = stats.lines().filter(|line| !line.starts_with("cmdstat_time:"));
        let others = others.filter(|line| !line.starts_with("cmdstat_info:"));
        let calls = others.filter_map(|line| line.split_once("calls=")?.1.split(',').next());
        (now, calls.map(|calls| calls.parse::<u64>().unwrap()).sum())
    };
    let (began, before) = look().await;
    loop {
        let (now, calls) = look().await;
        let seconds = now - began;
        if seconds >= 30 {
            let sent = calls - before;
            assert!(sent < 3 * seconds, "{sent} in {seconds} s");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    child.stop().await;
}
