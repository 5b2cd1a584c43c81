//! A trace id, from the header of a request to every line about its jobs.

use std::fs;

use serde_json::Value;

use crate::support::{DEADLINE, Process, Redis, Web, program, wait_for};
use crate::webhook::{PRIVATE, receiver};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const HEADER: (&str, &str) =
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

/// The payload of the job that waits, and what it says of its trace.
fn waiting(redis: &Redis) -> (String, String) {
    let job: String = redis.ask(&["RPOP", "queue:imports"]);
    let traceparent = serde_json::from_str::<Value>(&job).unwrap()["traceparent"].take();
    (job, traceparent.as_str().expect("a text").to_owned())
}

#[test]
fn the_lines_of_a_job_and_of_the_job_it_enqueues_have_the_trace_of_the_request() {
    for format in ["text", "json"] {
        let (port, deliveries) = receiver(&["500 Oops", "410 Gone"]);
        let redis = Redis::start();
        let web = Web::ready(&redis, &[]);
        let path = format!("/imports?callback_url=http://127.0.0.1:{port}/");
        let headers = [("content-type", "text/csv"), HEADER];
        let answer = web.request("POST", &path, &headers, b"id\n1\n");
        assert_eq!((answer.status, answer.header("traceparent")), (202, None));
        let log = redis.dir().join("log");
        let vars = [PRIVATE, ("LOG_FORMAT", format), ("RUST_LOG", "warn,roustabout::jobs=info")];
        let _worker = Process::logging(program("worker", &redis, &vars), &log);
        let traced = |words: &str| {
            let line = wait_for(words, || {
                let log = fs::read_to_string(&log).unwrap();
                log.lines().find(|line| line.contains(words)).map(str::to_owned)
            });
            assert!(line.contains(TRACE), "{line}");
        };
        traced("imported 1 of 1 rows");
        deliveries.recv_timeout(DEADLINE).unwrap();
        traced("failed: again in"); // what the engine says of it
        let retry: String = wait_for("the retry", || {
            redis.ask::<Vec<String>>(&["ZRANGE", "retry", "0", "-1"]).pop()
        });
        redis.ask::<()>(&["ZADD", "retry", "1", &retry]);
        traced("the receiver is gone for good"); // what the job says, at its second run
    }
}

#[test]
fn a_job_gets_another_place_in_the_trace_of_its_request() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let headers = [("content-type", "text/csv"), HEADER];
    assert_eq!(web.request("POST", "/imports", &headers, b"id\n1\n").status, 202);
    let (_, traceparent) = waiting(&redis);
    let parts: Vec<&str> = traceparent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"));
    assert_ne!(parts[2], "00f067aa0ba902b7");
}

#[test]
fn whatever_a_stranger_sends_leaves_nothing_but_a_new_trace() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let long = format!("{}{}", HEADER.1, "-0".repeat(4_000));
    let hostile: [&[(&str, &str)]; 7] = [
        &[],
        &[("traceparent", "")],
        &[("traceparent", "evil\", \"queue\": \"evil")],
        &[("traceparent", "00-évil2f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01")],
        &[("traceparent", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")],
        &[HEADER, HEADER],
        &[("traceparent", &long)],
    ];
    for headers in hostile {
        let headers = [headers, &[("content-type", "text/csv")]].concat();
        assert_eq!(web.request("POST", "/imports", &headers, b"id\n1\n").status, 202);
        let (job, traceparent) = waiting(&redis);
        assert_eq!((traceparent.len(), traceparent.split('-').count()), (55, 4), "{job}");
        assert!(!job.contains(TRACE) && !job.contains("vil"), "{job}");
    }
}
