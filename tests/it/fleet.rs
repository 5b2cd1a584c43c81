//! Worker processes in a storm: killed, frozen, stopped and replaced, each blow noted in the
//! ledger before it falls.

use std::collections::HashMap;
use std::time::Duration;

use crate::child::{Child, Post, Setup};
use crate::ledger::{Ledger, Sign};
use crate::support::{Server, eventually};

/// One of them.
pub struct Hand {
    name: String,
    grace: Duration,
    child: Child,
    /// Known once it was asked for.
    identity: String,
}

/// All of them.
pub struct Fleet {
    setup: Setup,
    graces: Vec<Duration>,
    ledger: Ledger,
    launched: usize,
    /// At work, oldest first.
    pub hands: Vec<Hand>,
    /// Stopped by SIGSTOP.
    frozen: Vec<Hand>,
    /// On their way out.
    leaving: Vec<Hand>,
    /// What the ended ones have logged.
    logs: HashMap<String, String>,
}

impl Fleet {
    /// Starts so many; each gets one of the graces.
    pub fn start(setup: Setup, graces: &[Duration], ledger: Ledger, size: usize) -> Fleet {
        let (graces, logs) = (graces.to_vec(), HashMap::new());
        let (hands, frozen, leaving) = (Vec::new(), Vec::new(), Vec::new());
        let mut fleet = Fleet { setup, graces, ledger, launched: 0, hands, frozen, leaving, logs };
        (0..size).for_each(|_| fleet.launch());
        fleet
    }

    /// One more.
    pub fn launch(&mut self) {
        let grace = self.graces[self.launched % self.graces.len()];
        self.launched += 1;
        let name = format!("w{}", self.launched);
        let post = self.setup.post.clone().map(|post| Post { name: name.clone(), ..post });
        let child = Setup { grace, post, ..self.setup.clone() }.start();
        self.hands.push(Hand { name, grace, child, identity: String::new() });
    }

    /// SIGKILL for one of those that are not spared, and another one in its place.
    pub async fn kill(&mut self, spared: usize) {
        self.kill_at(fastrand::usize(spared..self.hands.len())).await;
    }

    /// SIGKILL for all, and as many others.
    pub async fn kill_all(&mut self) {
        for _ in 0..self.hands.len() {
            self.kill_at(0).await;
        }
    }

    async fn kill_at(&mut self, at: usize) {
        let mut hand = self.hands.remove(at);
        self.ledger.mark(Sign::Kill, &hand.name).await;
        hand.child.kill();
        self.logs.insert(hand.name, hand.child.log());
        self.launch();
    }

    /// SIGSTOP for one of those that are not spared, until `thaw`.
    pub async fn freeze(&mut self, server: &Server, spared: usize) {
        let mut hand = self.hands.remove(fastrand::usize(spared..self.hands.len()));
        hand.identity = hand.child.identity(server).await;
        self.ledger.mark(Sign::Freeze, &hand.name).await;
        hand.child.signal("STOP");
        self.frozen.push(hand);
    }

    /// SIGCONT for those whose record has expired and whose jobs others have taken.
    pub async fn thaw(&mut self, server: &Server) {
        for hand in std::mem::take(&mut self.frozen) {
            let identity = &hand.identity;
            let there = format!("EXISTS {identity} roustabout:inflight:{identity}");
            if server.query::<u32>(&there).await > 0 {
                self.frozen.push(hand);
                continue;
            }
            self.ledger.mark(Sign::Thaw, &hand.name).await;
            hand.child.signal("CONT");
            self.hands.push(hand);
        }
    }

    pub async fn thaw_all(&mut self, server: &Server) {
        while !self.frozen.is_empty() {
            self.thaw(server).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// These signals, the last of which ends it, for the one at this place.
    pub async fn stop(&mut self, at: usize, signals: &[&str]) {
        let hand = self.hands.remove(at);
        self.ledger.mark(Sign::Stop(hand.grace.as_millis() as u64), &hand.name).await;
        for signal in signals {
            hand.child.signal(signal);
        }
        self.leaving.push(hand);
    }

    /// As in a deploy: the new ones start, then the old ones get TERM, one after the other or
    /// all at once and twice.
    pub async fn deploy(&mut self, at_once: bool) {
        let signals: &[&str] = if at_once { &["TERM", "TERM"] } else { &["TERM"] };
        let old = self.hands.len();
        for _ in 0..old {
            self.launch();
            if !at_once {
                tokio::time::sleep(Duration::from_millis(200)).await;
                self.stop(0, signals).await;
            }
        }
        while self.hands.len() > old {
            self.stop(0, signals).await;
        }
    }

    /// TSTP, and TERM after a while.
    pub async fn quiet(&mut self, server: &Server) {
        let hand = self.hands.pop().expect("one at work");
        let ask = format!("HGET {} quiet", hand.child.identity(server).await);
        self.ledger.mark(Sign::Stop(hand.grace.as_millis() as u64), &hand.name).await;
        hand.child.signal("TSTP");
        self.launch();
        let says = async || server.query::<Option<String>>(&ask).await;
        eventually("it is quiet", async || says().await.as_deref() == Some("true")).await;
        hand.child.signal("TERM");
        self.leaving.push(hand);
    }

    /// TERM for one that has hardly begun.
    pub async fn stop_at_boot(&mut self) {
        self.launch();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..40))).await;
        self.stop(self.hands.len() - 1, &["TERM"]).await;
    }

    /// Waits for those on their way out.
    pub async fn gone(&mut self) {
        for mut hand in std::mem::take(&mut self.leaving) {
            let code = hand.child.ended().await;
            let log = hand.child.log();
            // TERM may come before there is a handler for it
            let at_boot = code.is_none() && log.is_empty();
            assert!(code == Some(0) || at_boot, "{} ended with {code:?}: {log}", hand.name);
            self.logs.insert(hand.name, log);
        }
    }

    /// TERM for all.
    pub async fn end(&mut self) {
        while !self.hands.is_empty() {
            self.stop(0, &["TERM"]).await;
        }
        self.gone().await;
        for (name, log) in &self.logs {
            assert!(!log.contains("panicked"), "{name}: {log}");
        }
    }

    /// How many are at work and registered; waits until that is all who count as owners.
    pub async fn alone(&self, server: &Server) {
        let owners = async || server.query::<usize>("SCARD roustabout:owners").await;
        eventually("the dead are forgotten", async || owners().await == self.hands.len()).await;
    }

    /// What those that stopped say they gave back.
    pub fn given_back(&self) -> u64 {
        let numbers = self.logs.values().flat_map(|log| log.split("given_back=").skip(1));
        let digits = |text: &str| {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            text[..end].parse::<u64>().expect("a number")
        };
        numbers.map(digits).sum()
    }

    /// What one of them has logged, for a report.
    pub fn log(&self, name: &str) -> &str {
        self.logs.get(name).map_or("", String::as_str)
    }
}
