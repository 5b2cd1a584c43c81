//! Signals, while a file is on its way in or somebody watches.

use std::io::Write;

use crate::http::read;
use crate::support::{Redis, Web, wait_for};

#[test]
fn an_open_event_stream_ends_at_term() {
    let redis = Redis::start();
    let mut web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n");
    let mut events = web.events(&jid);
    assert!(events.any(|line| line.starts_with("data:") && line.contains("queued")));
    web.process.signal("TERM");
    // Ends on both sides, long before the grace for requests in progress.
    let rest: Vec<String> = events.collect();
    assert!(!rest.iter().any(|line| line.starts_with("data:")), "{rest:?}");
    assert_eq!(web.process.end().code(), Some(0));
}

#[test]
fn a_quiet_event_stream_is_kept_open_by_comments() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n");
    assert!(web.events(&jid).any(|line| line.starts_with(':')));
}

#[test]
fn an_upload_in_progress_is_finished_after_term() {
    let redis = Redis::start();
    let mut web = Web::ready(&redis, &[]);
    let head = [("content-type", "text/csv"), ("content-length", "10")];
    let mut socket = web.begin("POST", "/imports", &head);
    socket.write_all(b"id,a\n").unwrap();
    // Answered later than the first request came, so that one has been accepted.
    assert_eq!(web.get("/health").status, 200);
    web.process.signal("TERM");
    let port = web.port;
    wait_for("web to stop listening", || std::net::TcpStream::connect(("127.0.0.1", port)).err());
    socket.write_all(b"12,3\n").unwrap();
    assert_eq!(read(socket).status, 202);
    assert_eq!(web.process.end().code(), Some(0));
    assert_eq!(redis.ask::<usize>(&["LLEN", "queue:imports"]), 1);
}
