//! Signals.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::http::read;
use crate::support::{Redis, Web, program, run};

#[test]
fn term_int_hup_and_quit_end_an_idle_web_with_0() {
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        let redis = Redis::absent();
        let mut web = Web::start(&redis, &[]);
        web.process.signal(signal);
        assert_eq!(web.process.end().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_worker_too_large_ends_with_75() {
    let redis = Redis::start();
    let output = run(program("worker", &redis, &[("MEMORY_LIMIT_MB", "1")]));
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{log}");
    assert!(log.contains("MEMORY_LIMIT_MB"), "{log}");
}

#[test]
fn the_signals_of_a_worker_change_nothing() {
    let redis = Redis::absent();
    let web = Web::start(&redis, &[]);
    for signal in ["TSTP", "TTIN", "USR1", "USR2"] {
        web.process.signal(signal);
        assert_eq!(web.get("/health").status, 200, "{signal}");
    }
}

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Asks on a connection that is to be kept; whether the answer says that it is not.
pub fn ask(socket: &mut TcpStream) -> bool {
    socket.write_all(HEALTH).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut bytes = [0; 1024];
        let length = socket.read(&mut bytes).unwrap();
        assert!(length > 0, "cut off after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&bytes[..length]);
    }
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    answer.contains("connection: close")
}

// a router in front of it cannot know of the stop before it comes
#[test]
fn what_was_on_its_way_at_a_term_is_answered() {
    let redis = Redis::absent();
    let mut web = Web::start(&redis, &[]);
    let connect = || TcpStream::connect(("127.0.0.1", web.port)).unwrap();
    let mut kept: Vec<TcpStream> = (0..8).map(|_| connect()).collect();
    assert!(!kept.iter_mut().any(ask));
    // all of it is there before the process can look again
    web.process.signal("STOP");
    web.process.signal("TERM");
    let mut all: Vec<TcpStream> = (0..8).map(|_| connect()).chain(kept).collect();
    all.iter_mut().for_each(|socket| socket.write_all(HEALTH).unwrap());
    web.process.signal("CONT");
    assert!(all.into_iter().all(|socket| read(socket).status == 200));
    assert_eq!(web.process.end().code(), Some(0));
}

#[test]
fn a_connection_that_is_kept_is_told_of_its_end() {
    let redis = Redis::absent();
    let mut web = Web::start(&redis, &[]);
    let mut socket = TcpStream::connect(("127.0.0.1", web.port)).unwrap();
    web.process.signal("TERM");
    while !ask(&mut socket) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    assert_eq!(web.process.end().code(), Some(0));
}
