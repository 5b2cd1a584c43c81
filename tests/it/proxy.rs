//! A proxy between a worker and its Redis that loses replies and delays requests on demand. It
//! pairs each reply with its request, so a fault strikes exactly the step it is meant for.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use redis::Script;
use roustabout::engine::Redis;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::resp::{frame, words};
use crate::support::{Server, impatient};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Register,
    Fetch,
    /// Reading what a fetch took whose reply was lost.
    Adopt,
    /// The removal of plain successes.
    Finish,
    /// The script behind every other end: retry, death, return, the success of an iterable job.
    Ending,
    Checkpoint,
    Beat,
    Requeue,
    Leave,
    /// What a client sends, and a buffered one.
    Enqueue,
    Push,
}

/// What happens to the next request of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The server executes it; the reply is swallowed and both sides are closed.
    Close,
    /// The server executes it; neither this nor any later reply arrives, the socket stays open.
    Mute,
    /// The client waits on an open socket; the request arrives at `Proxy::release`.
    Delay,
}

/// The text of a script as the engine puts it together.
macro_rules! lua {
    ($($file:literal)+) => {
        concat!($(include_str!(concat!("../../src/engine/lua/", $file, ".lua"))),+)
    };
}

static SCRIPTS: LazyLock<HashMap<String, (Kind, Script)>> = LazyLock::new(|| {
    let scripts = [
        (Kind::Register, lua!("register")),
        (Kind::Fetch, lua!("limits" "fetch")),
        (Kind::Ending, lua!("dead" "finish")),
        (Kind::Checkpoint, lua!("checkpoint")),
        (Kind::Beat, lua!("beat")),
        (Kind::Requeue, lua!("dead" "requeue")),
        (Kind::Leave, lua!("dead" "leave")),
        (Kind::Push, lua!("push")),
    ];
    let named = scripts.map(|(kind, text)| (kind, Script::new(text)));
    named.into_iter().map(|(kind, script)| (script.get_hash().to_owned(), (kind, script))).collect()
});

impl Kind {
    fn of(request: &[u8]) -> Option<Kind> {
        let words = words(request);
        let word = |at: usize| std::str::from_utf8(words.get(at)?).ok();
        let inflight = || word(1).is_some_and(|key| key.starts_with("roustabout:inflight:"));
        match word(0)? {
            "EVALSHA" => SCRIPTS.get(word(1)?).map(|(kind, _)| *kind),
            "HDEL" if inflight() => Some(Kind::Finish),
            "HMGET" if inflight() => Some(Kind::Adopt),
            "LPUSH" => Some(Kind::Enqueue),
            _ => None,
        }
    }
}

/// Stands before a server.
pub struct Proxy {
    dir: TempDir,
    desk: Arc<Desk>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(server: &Server) -> Proxy {
        // all scripts are there, so no request fails for want of one and comes twice
        for (_, script) in SCRIPTS.values() {
            script.prepare_invoke().load_async(&mut server.connect().await).await.expect("loaded");
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(dir.path().join("proxy.sock")).expect("a socket");
        let desk = Arc::new(Desk::default());
        let accepting = tokio::spawn(accept(listener, server.socket(), desk.clone()));
        Proxy { dir, desk, accepting }
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.dir.path().join("proxy.sock").display())
    }

    /// An engine connection through the proxy that soon takes silence for a fault.
    pub fn redis(&self) -> Redis {
        impatient(&self.url(), Duration::from_secs(1))
    }

    /// Orders a fault for the next request of a kind; of fetches, one that takes jobs.
    pub fn arm(&self, kind: Kind, fault: Fault) {
        self.desk.orders.lock().expect("no panic").push((kind, fault));
    }

    /// Takes back the orders that have not been carried out.
    pub fn disarm(&self) {
        self.desk.orders.lock().expect("no panic").clear();
    }

    /// From now on about one known request in `n` ends with both sides closed, as likely before
    /// it reached the server as after; 0 = no more.
    pub fn chaos(&self, n: usize) {
        self.desk.chaos.store(n, Ordering::Relaxed);
    }

    /// How many faults have happened.
    pub fn struck(&self) -> usize {
        self.desk.struck.load(Ordering::Relaxed)
    }

    /// Whether new connections are refused.
    pub fn shut(&self, shut: bool) {
        self.desk.shut.store(shut, Ordering::Relaxed);
    }

    /// Lets the delayed requests through.
    pub fn release(&self) {
        self.desk.released.send_replace(true);
    }

    /// What the server said to the delayed requests.
    pub fn late_replies(&self) -> Vec<String> {
        self.desk.late.lock().expect("no panic").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The orders, and what became of them.
#[derive(Default)]
struct Desk {
    orders: Mutex<Vec<(Kind, Fault)>>,
    shut: AtomicBool,
    chaos: AtomicUsize,
    struck: AtomicUsize,
    released: watch::Sender<bool>,
    late: Mutex<Vec<String>>,
}

impl Desk {
    /// Whether this request has to wait.
    fn delays(&self, kind: Option<Kind>) -> bool {
        self.carry_out(|order| Some(order.0) == kind && order.1 == Fault::Delay).is_some()
    }

    /// What is to happen to this reply.
    fn swallows(&self, kind: Option<Kind>, reply: &[u8]) -> Option<Fault> {
        let idle_fetch =
            kind == Some(Kind::Fetch) && (reply[0] != b'*' || reply.starts_with(b"*3\r"));
        if reply[0] == b'-' || idle_fetch {
            return None;
        }
        self.carry_out(|order| Some(order.0) == kind && order.1 != Fault::Delay)
    }

    fn carry_out(&self, fits: impl Fn(&(Kind, Fault)) -> bool) -> Option<Fault> {
        let mut orders = self.orders.lock().expect("no panic");
        let (_, fault) = orders.iter().position(fits).map(|at| orders.remove(at))?;
        self.struck.fetch_add(1, Ordering::Relaxed);
        Some(fault)
    }

    fn bad_luck(&self, kind: Option<Kind>) -> bool {
        let n = self.chaos.load(Ordering::Relaxed);
        let strikes = n > 0 && kind.is_some() && fastrand::usize(..2 * n) == 0;
        self.struck.fetch_add(usize::from(strikes), Ordering::Relaxed);
        strikes
    }
}

async fn accept(listener: UnixListener, server: impl AsRef<Path>, desk: Arc<Desk>) {
    while let Ok((client, _)) = listener.accept().await {
        if desk.shut.load(Ordering::Relaxed) {
            continue;
        }
        let Ok(server) = UnixStream::connect(&server).await else { continue };
        let (client, server) = (client.into_split(), server.into_split());
        let (expected, held) = (VecDeque::new(), None);
        let line = Line {
            desk: desk.clone(),
            client: client.1,
            server: server.1,
            expected,
            held,
            mute: false,
        };
        tokio::spawn(line.run(client.0, server.0));
    }
}

/// One connection.
struct Line {
    desk: Arc<Desk>,
    client: OwnedWriteHalf,
    server: OwnedWriteHalf,
    /// The requests whose replies are on their way.
    expected: VecDeque<Option<Kind>>,
    /// The delayed request and what came after it.
    held: Option<Vec<u8>>,
    mute: bool,
}

impl Line {
    /// Passes on until somebody hangs up; then both sides are closed.
    async fn run(mut self, mut client: OwnedReadHalf, mut server: OwnedReadHalf) -> Option<()> {
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                n = client.read_buf(&mut requests) => {
                    if !matches!(n, Ok(1..)) {
                        return self.deliver_late(server).await;
                    }
                    self.requests(&mut requests).await?;
                }
                n = server.read_buf(&mut replies) => {
                    if !matches!(n, Ok(1..)) {
                        return None;
                    }
                    self.replies(&mut replies).await?;
                }
            }
        }
    }

    async fn requests(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        while let Some(end) = frame(bytes) {
            let request: Vec<u8> = bytes.drain(..end).collect();
            let kind = Kind::of(&request);
            match &mut self.held {
                Some(held) => held.extend(request),
                None if self.desk.delays(kind) => self.held = Some(request),
                None if self.desk.bad_luck(kind) => return None,
                None => {
                    self.expected.push_back(kind);
                    self.server.write_all(&request).await.ok()?;
                }
            }
        }
        Some(())
    }

    async fn replies(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        while let Some(end) = frame(bytes) {
            let reply: Vec<u8> = bytes.drain(..end).collect();
            let unasked = reply[0] == b'>';
            let kind = if unasked { None } else { self.expected.pop_front().flatten() };
            match self.desk.swallows(kind, &reply) {
                Some(Fault::Close) => return None,
                Some(_) => self.mute = true,
                None if self.desk.bad_luck(kind) => return None,
                None => {}
            }
            if !self.mute {
                self.client.write_all(&reply).await.ok()?;
            }
        }
        Some(())
    }

    /// The client has hung up: what was held back reaches the server when the test says so.
    async fn deliver_late(mut self, mut server: OwnedReadHalf) -> Option<()> {
        let held = self.held.take()?;
        self.desk.released.subscribe().wait_for(|released| *released).await.ok()?;
        self.server.write_all(&held).await.ok()?;
        let mut replies = Vec::new();
        let reply = loop {
            match frame(&replies) {
                Some(end) if replies[0] == b'>' => drop(replies.drain(..end)),
                Some(end) => break replies[..end].escape_ascii().to_string(),
                None => drop(server.read_buf(&mut replies).await.ok().filter(|n| *n > 0)?),
            }
        };
        self.desk.late.lock().expect("no panic").push(reply);
        Some(())
    }
}
