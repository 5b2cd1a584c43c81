//! A relay of bytes on a TCP port before a Redis. It knows nothing of the protocol, so it does what
//! networks do: it leads elsewhere after a failover, slams the door, goes silent, delivers byte by
//! byte and late, and breaks in the middle of anything, in one direction or in both.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use roustabout::engine::Redis;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{Server, impatient};

/// What becomes of a new connection.
#[derive(Clone, Copy, PartialEq)]
pub enum Door {
    /// It is led to the server.
    Open,
    /// It is accepted and closed again.
    Slammed,
    /// It is accepted, and nothing ever comes back.
    Silent,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Break {
    /// Both sides are closed, with whatever was under way.
    Close,
    /// The same, but the client gets a reset.
    Reset,
    /// This direction is shut down, the other goes on.
    Half,
    /// This direction stops, the other goes on; what was under way may come when all is over.
    Stall,
}

const BREAKS: [Break; 4] = [Break::Close, Break::Reset, Break::Half, Break::Stall];

/// The relay; it ends with this.
pub struct Relay {
    port: u16,
    desk: Arc<Desk>,
    accepting: JoinHandle<()>,
}

struct Desk {
    target: Mutex<PathBuf>,
    door: Mutex<Door>,
    /// Every change cuts the connections that are there.
    cuts: watch::Sender<usize>,
    rough: AtomicBool,
    /// How the next connections break, and whether on their way up.
    ordered: Mutex<Vec<(Break, bool)>>,
    rng: Mutex<Rng>,
    struck: [AtomicUsize; BREAKS.len()],
}

impl Relay {
    pub async fn to(server: &Server) -> Relay {
        Relay::seeded(server, 0).await
    }

    /// One whose bad luck follows this seed.
    pub async fn seeded(server: &Server, seed: u64) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let desk = Arc::new(Desk {
            target: Mutex::new(server.socket()),
            door: Mutex::new(Door::Open),
            cuts: watch::Sender::new(0),
            rough: AtomicBool::new(false),
            ordered: Mutex::default(),
            rng: Mutex::new(Rng::with_seed(seed)),
            struck: Default::default(),
        });
        let accepting = tokio::spawn(accept(listener, desk.clone()));
        Relay { port, desk, accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// An engine connection through the relay that soon takes silence for a fault.
    pub fn redis(&self) -> Redis {
        impatient(&self.url(), Duration::from_secs(1))
    }

    /// Leads new connections to this server.
    pub fn lead_to(&self, server: &Server) {
        *self.desk.target.lock().expect("no panic") = server.socket();
    }

    pub fn door(&self, door: Door) {
        *self.desk.door.lock().expect("no panic") = door;
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.desk.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Whether new connections are torn to pieces, and break sooner or later.
    pub fn rough(&self, rough: bool) {
        self.desk.rough.store(rough, Ordering::Relaxed);
    }

    /// The next two connections (a worker's commands and heartbeat) break like this.
    pub fn breaks_next(&self, kind: Break, upwards: bool) {
        *self.desk.ordered.lock().expect("no panic") = vec![(kind, upwards); 2];
    }

    /// How often each kind of break has happened.
    pub fn struck(&self) -> Vec<(Break, usize)> {
        let count = |at: usize| self.desk.struck[at].load(Ordering::Relaxed);
        BREAKS.into_iter().enumerate().map(|(at, kind)| (kind, count(at))).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((client, _)) = listener.accept().await {
        let (cuts, desk) = (desk.cuts.subscribe(), desk.clone());
        let door = *desk.door.lock().expect("no panic");
        match door {
            Door::Open => drop(tokio::spawn(line(client, desk, cuts))),
            Door::Slammed => drop(client),
            Door::Silent => drop(tokio::spawn(silence(client, cuts))),
        }
    }
}

async fn silence(mut client: TcpStream, mut cuts: watch::Receiver<usize>) {
    let mut unheard = Vec::new();
    tokio::select! {
        _ = client.read_to_end(&mut unheard) => {}
        _ = cuts.changed() => {}
    }
}

/// One connection, from both of its ends to its own.
async fn line(mut client: TcpStream, desk: Arc<Desk>, mut cuts: watch::Receiver<usize>) {
    let target = desk.target.lock().expect("no panic").clone();
    let Ok(mut server) = UnixStream::connect(target).await else { return };
    let _ = client.set_nodelay(true);
    let ended = {
        let ((client_in, client_out), (server_in, server_out)) = (client.split(), server.split());
        let order = desk.ordered.lock().expect("no panic").pop();
        let fate = |upwards| Fate::draw(&desk, order.filter(|order| order.1 == upwards));
        let up = pump(client_in, server_out, fate(true));
        let down = pump(server_in, client_out, fate(false));
        tokio::pin!(up, down);
        tokio::select! {
            // what one end has shut, the other gets a moment to answer
            end = &mut up => end.or(timeout(Duration::from_secs(2), &mut down).await.ok().flatten()),
            end = &mut down => end.or(timeout(Duration::from_secs(2), &mut up).await.ok().flatten()),
            _ = cuts.changed() => None,
        }
    };
    if ended == Some(Break::Reset) {
        let _ = client.set_zero_linger();
    }
}

/// What awaits one direction of a connection.
struct Fate {
    desk: Arc<Desk>,
    rough: bool,
    rng: Rng,
    /// Bytes until it breaks, and how.
    fuse: usize,
    kind: Break,
}

impl Fate {
    fn draw(desk: &Arc<Desk>, order: Option<(Break, bool)>) -> Fate {
        let mut rng = desk.rng.lock().expect("no panic").fork();
        let rough = desk.rough.load(Ordering::Relaxed);
        let luck = BREAKS[rng.usize(..BREAKS.len())];
        let fuse = match order {
            Some((_, true)) => rng.usize(1_000..4_000),
            Some((_, false)) => rng.usize(7_000..9_000), // INFO is most of that
            None if rough => rng.usize(300..60_000),
            None => usize::MAX,
        };
        let kind = order.map_or(luck, |(kind, _)| kind);
        Fate { desk: desk.clone(), rough, rng, fuse, kind }
    }

    /// How many of the bytes at hand go next.
    fn piece(&mut self, at_hand: usize) -> usize {
        match self.rough {
            true if self.rng.u8(..8) == 0 => 1,
            true => self.rng.usize(1..=at_hand),
            false => at_hand,
        }
    }

    async fn dawdle(&mut self) {
        if self.rough && self.rng.u8(..16) == 0 {
            sleep(Duration::from_micros(self.rng.u64(..4_000))).await;
        }
    }
}

/// Passes bytes on until the source ends (`None`; the destination is shut then) or it breaks.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut fate: Fate,
) -> Option<Break> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let n = from.read(&mut bytes).await.unwrap_or(0);
        let passed = n.min(fate.fuse);
        let mut rest = &bytes[..passed];
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(fate.piece(rest.len()));
            if to.write_all(piece).await.is_err() {
                return None;
            }
            fate.dawdle().await;
        }
        fate.fuse -= passed;
        if n == 0 {
            let _ = to.shutdown().await;
            return None;
        }
        if fate.fuse == 0 {
            return broken(from, to, &mut fate, &bytes[passed..n]).await;
        }
    }
}

async fn broken(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    fate: &mut Fate,
    rest: &[u8],
) -> Option<Break> {
    fate.desk.struck[fate.kind as usize].fetch_add(1, Ordering::Relaxed);
    let mut held = rest.to_vec();
    match fate.kind {
        Break::Close | Break::Reset => return Some(fate.kind),
        Break::Half => {
            let _ = to.shutdown().await;
            let _ = from.read_to_end(&mut held).await;
        }
        Break::Stall => {
            let _ = from.read_to_end(&mut held).await;
            if fate.rng.bool() {
                let _ = to.write_all(&held).await;
            }
        }
    }
    None
}
