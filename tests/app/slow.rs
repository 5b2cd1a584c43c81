//! Clients that do not finish what they begin to ask, or are too many.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::stop::ask;
use crate::support::{DEADLINE, Redis, Web, program, wait_for};

const HALF: &[u8] = b"GET /health HTTP/1.1\r\nhost: loc";

fn connect(web: &Web) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", web.port)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// A connection with half a head on it, which has been seen.
fn half(web: &Web) -> TcpStream {
    let mut socket = connect(web);
    socket.write_all(HALF).unwrap();
    // asked later, answered: those before it have been accepted
    assert_eq!(web.get("/health").status, 200);
    socket
}

/// Waits until the server has closed it.
fn closed(mut socket: &TcpStream) {
    let end = socket.read(&mut [0; 1024]);
    let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
    assert!(matches!(&end, Ok(0)) || end.as_ref().is_err_and(reset), "{end:?}");
}

fn open(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let waits = socket.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    waits
}

// the other process is the clock: its half came first, and goes when the limit for a head is over
#[test]
fn half_a_head_does_not_hold_up_a_stop_nor_stays_for_ever() {
    let redis = Redis::absent();
    let (other, mut web) = (Web::start(&redis, &[]), Web::start(&redis, &[]));
    let mut kept = connect(&other);
    assert!(!ask(&mut kept));
    let limited = half(&other);
    let (first, mut next) = (half(&web), connect(&web));
    assert!(!ask(&mut next));
    next.write_all(HALF).unwrap();
    web.process.signal("TERM");
    closed(&first);
    closed(&next);
    assert_eq!(web.process.end().code(), Some(0));
    assert!(open(&limited), "a stop waited for as long as a head may take");
    closed(&limited);
    // that limit is not for a connection that is kept
    assert!(!ask(&mut kept));
}

#[test]
fn half_a_head_is_closed_on_the_port_of_a_worker_too() {
    let redis = Redis::absent();
    let worker = Web::worker(&redis, &[]);
    let mut socket = connect(&worker);
    socket.write_all(HALF).unwrap();
    closed(&socket);
    assert_eq!(worker.get("/live").status, 200);
}

#[test]
fn it_outlives_more_connections_than_it_may_have() {
    let redis = Redis::absent();
    let mut limited = Command::new("sh");
    let web = program("web", &redis, &[]);
    limited.args(["-c", "ulimit -n 40 && exec \"$0\""]).arg(web.get_program());
    limited.env_clear().current_dir(redis.dir());
    limited.envs(web.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut web = Web::launch(limited);
    let many: Vec<TcpStream> = (0..80).map(|_| connect(&web)).collect();
    let files = format!("/proc/{}/fd", web.process.id());
    wait_for("no file to be left", || {
        (std::fs::read_dir(&files).ok()?.count() >= 40).then_some(())
    });
    drop(many);
    assert_eq!(web.get("/health").status, 200);
    assert!(web.process.exited().is_none());
}
