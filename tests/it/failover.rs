//! The master hands over to its replica, under load. Our connections stay with the old one, which
//! refuses every write from then on, until the way leads to the new one.

use std::net::TcpListener;

use roustabout::engine::EnqueueError;

use crate::load::{Load, sturdy};
use crate::relay::Relay;
use crate::support::{Server, eventually};

/// A master and its replica, each with a port for the other.
struct Pair {
    master: Server,
    replica: Server,
    ports: [u16; 2],
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

async fn on_port(port: u16) -> Server {
    let port = port.to_string();
    let quick = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];
    let mut args = vec!["--port", &port, "--bind", "127.0.0.1", "--save", ""];
    args.extend(quick);
    Server::with(&args).await
}

impl Pair {
    async fn start() -> Pair {
        let ports = [free_port(), free_port()];
        let pair =
            Pair { master: on_port(ports[0]).await, replica: on_port(ports[1]).await, ports };
        let () = pair.replica.query(&format!("REPLICAOF 127.0.0.1 {}", ports[0])).await;
        eventually("the replica follows", async || {
            says(&pair.replica, "master_link_status:up").await
                && says(&pair.master, "state=online").await
        })
        .await;
        pair
    }

    /// Nothing is lost: the master waits for the replica, then they change places.
    async fn hand_over(&self) {
        let () = self.master.query(&format!("FAILOVER TO 127.0.0.1 {}", self.ports[1])).await;
        eventually("the replica is the master", async || says(&self.replica, "role:master").await)
            .await;
        eventually("the master is a replica", async || says(&self.master, "role:slave").await)
            .await;
    }

    /// From outside, with connections open: writes are held up until the replica has everything.
    async fn depose(&self) {
        let () = self.master.query("CLIENT PAUSE 10000 WRITE").await;
        let offset = async |server: &Server, name: &str| {
            let info: String = server.query("INFO replication").await;
            let value = info.lines().find_map(|line| line.strip_prefix(name));
            value.map(|value| value.trim().to_owned())
        };
        eventually("the replica has everything", async || {
            let all = offset(&self.master, "master_repl_offset:").await;
            all.is_some() && all == offset(&self.replica, "slave_repl_offset:").await
        })
        .await;
        let () = self.replica.query("REPLICAOF NO ONE").await;
        let () = self.master.query(&format!("REPLICAOF 127.0.0.1 {}", self.ports[1])).await;
        let () = self.master.query("CLIENT UNPAUSE").await;
    }
}

async fn says(server: &Server, words: &str) -> bool {
    server.query::<String>("INFO replication").await.contains(words)
}

/// What comes after the change of places.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// The way leads elsewhere and the old connections stay.
    Switched,
    /// The old connections are closed as well.
    Cut,
}

async fn each_runs_once(fail_over: impl AsyncFn(&Pair), way: Way) {
    let pair = Pair::start().await;
    let relay = Relay::to(&pair.master).await;
    let mut load = Load::on(relay.redis());
    let workers = [(); 2].map(|()| load.worker(relay.redis(), sturdy()));
    load.more(100).await;
    fail_over(&pair).await;
    // our connections are still there, and every write is refused
    let refusal = load.one_more().await;
    assert!(matches!(refusal, Some(EnqueueError::Unavailable(_))), "{refusal:?}");
    let why = relay.redis();
    let told = async || why.status().is_err_and(|reason| reason.contains("READONLY"));
    eventually("a new connection is told why", told).await;
    relay.lead_to(&pair.replica);
    if way == Way::Cut {
        relay.cut();
    }
    load.more(100).await;
    load.gets_through().await;
    load.settles(&pair.replica).await;
    for worker in workers {
        worker.stop().await;
    }
    assert!(load.enqueued() > 100, "{}", load.enqueued());
    load.check(&pair.replica).await;
    assert_eq!(pair.replica.query::<u32>("EXISTS roustabout:rescues processes").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_with_the_old_connections_left_open() {
    each_runs_once(Pair::hand_over, Way::Switched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_that_cuts_the_old_connections() {
    each_runs_once(Pair::hand_over, Way::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_deposed_from_outside() {
    each_runs_once(Pair::depose, Way::Switched).await;
}
