//! The program `jobs`: help, bad usage, and a Redis that is not there.

use std::io::Write;
use std::net::TcpListener;

use crate::jobs::{jobs, text};
use crate::support::Redis;

#[test]
fn help_teaches_and_bad_usage_is_2() {
    let redis = Redis::absent();
    for (words, code, says) in [
        (&["--help"][..], 0, "jobs check --max-runtime 1h --stop"),
        (&["check", "--help"], 0, "Exit codes:"),
        (&["cancel", "--help"], 0, "Exit codes:"),
        (&["mark", "--help"], 0, "|| true"),
        (&["pause", "--help"], 0, "jobs pause imports"),
        (&["resume", "--help"], 0, "jobs resume imports"),
        (&["--version"], 0, env!("CARGO_PKG_VERSION")),
        (&[], 2, "Usage"),
        (&["chekc"], 2, "chekc"),
        (&["cancel"], 2, "JID"),
        (&["cancel", ""], 2, "JID"),
        (&["check"], 2, "--max-runtime"),
        (&["check", "--max-runtime", "soon"], 2, "30m, 90s, 1h30m"),
        (&["check", "--max-runtime", "0"], 2, "above zero"),
        (&["mark"], 2, "LABEL"),
        (&["pause"], 2, "QUEUE"),
        (&["pause", ""], 2, "QUEUE"),
        (&["resume"], 2, "QUEUE"),
        (&["mark", " "], 2, "LABEL"),
        (&["why", "--help"], 0, "heroku run target/release/jobs why"),
        (&["stats", "--help"], 0, "jobs stats --json"),
        (&["queues", "--help"], 0, "jobs queues --json"),
        (&["busy", "--help"], 0, "jobs busy --json"),
        (&["processes", "--help"], 0, "jobs processes --json"),
        (&["retries", "--help"], 0, "jobs retries --limit 5"),
        (&["scheduled", "--help"], 0, "jobs scheduled --limit 5"),
        (&["dead", "--help"], 0, "jobs retry --dead"),
        (&["enqueue", "--help"], 0, "jobs enqueue Greet"),
        (&["retry", "--help"], 0, "Exit codes:"),
        (&["kill", "--help"], 0, "Exit codes:"),
        (&["delete", "--help"], 0, "Exit codes:"),
        (&["quiet", "--help"], 0, "jobs quiet worker.2"),
        (&["stop", "--help"], 0, "jobs stop worker.2"),
        (&["why"], 2, "JID"),
        (&["why", ""], 2, "JID"),
        (&["retry"], 2, "JID"),
        (&["retry", "--dead", "1"], 2, "cannot be used with"),
        (&["retry", "--dead", "--retries"], 2, "cannot be used with"),
        (&["kill", "--dead"], 2, "--dead"),
        (&["delete"], 2, "JID"),
        (&["dead", "--limit", "x"], 2, "--limit"),
        (&["enqueue"], 2, "CLASS"),
        (&["enqueue", "A"], 2, "ARGS_JSON"),
        (&["enqueue", "A", "7"], 2, "an object with the fields, or an array"),
        (&["enqueue", "A", "[1"], 2, "no JSON"),
        (&["enqueue", "A", "[]", "--in", "soon"], 2, "30m, 90s, 1h30m"),
        (&["enqueue", "A", "[]", "--queue", ""], 2, "--queue"),
    ] {
        let output = jobs(&redis, words, &[]);
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        let said = text(&[output.stdout, output.stderr].concat());
        assert!(said.contains(says), "{words:?}: {said}");
    }
}

#[test]
fn a_redis_that_is_not_there_is_one_line_and_1() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("redis://:s3cret@{}", silent.local_addr().unwrap());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let another = format!("redis://:s3cret@{}", other.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut socket in other.incoming().flatten() {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let absent = Redis::absent();
    let nowhere = absent.url();
    for url in [&silent, &nowhere, &another, "http://:s3cret@h"] {
        for words in
            [&["check", "--max-runtime", "1m", "--stop"][..], &["mark", "v1"], &["why", "1"]]
        {
            let output = jobs(&absent, words, &[("REDIS_URL", url), ("RUST_LOG", "trace")]);
            let line = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{words:?}: {line}");
            assert!(line.starts_with("jobs: Redis") || line.starts_with("jobs: REDIS"), "{line}");
            assert!(line.lines().count() == 1 && !line.contains("s3cret"), "{line}");
            assert!(*url != *silent || line.contains("no answer in time"), "{line}");
            let place = url.rsplit(['@', ':']).next().unwrap().trim_start_matches("//");
            assert!(url.starts_with("http") || line.contains(place), "{line} names no {place}");
            assert!(output.stdout.is_empty(), "{:?}", output.stdout);
        }
    }
}
