//! What the log says of outages: one line when one begins, with the reason, and one when it is
//! over, with its length. Nothing else, whatever the outage looks like, and a connection that is
//! back at once is worth one line in all.

use std::time::Duration;

use crate::child::{Child, Nap, Setup, notes};
use crate::relay::{Door, Relay};
use crate::support::{Server, client, eventually};
use crate::trouble::Trouble;

const DOWN: &str = "Redis is not reachable";
const UP: &str = "Redis is back after";
const BLIP: &str = "was lost and is back after";

/// A worker behind a relay, and the outages it has seen.
struct Watched {
    child: Child,
    outages: usize,
}

impl Watched {
    fn said(&self, words: &str) -> Vec<String> {
        let log = self.child.log();
        log.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// Waits until the outage is told of; returns the line.
    async fn goes_down(&mut self) -> String {
        self.outages += 1;
        eventually("it is down", async || self.said(DOWN).len() == self.outages).await;
        self.said(DOWN).remove(self.outages - 1)
    }

    async fn comes_back(&self) {
        eventually("it is back", async || self.said(UP).len() == self.outages).await;
    }

    fn check(&self) {
        let log = self.child.log();
        assert_eq!(
            (self.said(DOWN).len(), self.said(UP).len()),
            (self.outages, self.outages),
            "{log}"
        );
        let loud = self.said("WARN").len() + self.said("ERROR").len();
        assert_eq!(loud, self.outages, "{log}");
    }
}

async fn watched(server: &Server, relay: &Relay) -> Watched {
    let child = Setup { url: relay.url(), ..Setup::new(server) }.start();
    child.identity(server).await;
    // for longer than it takes to count as recovered
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    Watched { child, outages: 0 }
}

/// Jobs that end while the outage lasts: their ends have to wait, and are no news.
async fn naps(server: &Server) {
    client(server).enqueue_all((0..20).map(|_| Nap { millis: 500 })).await.unwrap();
}

#[tokio::test]
async fn two_lines_for_every_trouble_of_the_server() {
    let mut server = Trouble::prone().await;
    let relay = Relay::to(&server).await;
    let mut watched = watched(&server, &relay).await;
    for trouble in Trouble::ALL {
        naps(&server).await;
        trouble.begin(&mut server).await;
        let line = watched.goes_down().await;
        // of a server that is gone, a relay only tells that the line is dead
        assert!(trouble == Trouble::Loading || line.contains(trouble.words()), "{line}");
        tokio::time::sleep(Duration::from_millis(700)).await;
        trouble.end(&server).await;
        watched.comes_back().await;
    }
    watched.check();
    assert!(watched.said(BLIP).is_empty(), "{}", watched.child.log());
    watched.child.stop().await;
}

#[tokio::test]
async fn two_lines_for_every_trouble_on_the_way() {
    let server = Server::start().await;
    let relay = Relay::to(&server).await;
    let mut watched = watched(&server, &relay).await;
    for door in [Door::Slammed, Door::Silent] {
        naps(&server).await;
        relay.door(door);
        relay.cut();
        watched.goes_down().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        relay.door(Door::Open);
        relay.cut();
        watched.comes_back().await;
    }
    // it flaps: each connection works, for a moment
    naps(&server).await;
    for _ in 0..20 {
        relay.cut();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    watched.goes_down().await;
    watched.comes_back().await;
    watched.check();
    watched.child.stop().await;
}

#[tokio::test]
async fn one_line_for_a_connection_that_is_back_at_once() {
    let server = Server::start().await;
    let relay = Relay::to(&server).await;
    let watched = watched(&server, &relay).await;
    for times in 1..=3 {
        let () = server.query("CLIENT KILL TYPE normal").await;
        eventually("it is told", async || watched.said(BLIP).len() == times).await;
    }
    watched.check();
    client(&server).enqueue(crate::child::Note { name: "well".into() }).await.unwrap();
    notes(&server, "well").await;
    watched.child.stop().await;
}
