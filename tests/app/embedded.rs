//! One process that serves and works.

use std::fs;
use std::io::Write;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::{DEADLINE, Redis, Web, program, run, wait_for, worker};
use crate::webhook::{PRIVATE, receiver};

pub const EMBEDDED: (&str, &str) = ("WORKER_EMBEDDED", "1");

/// What the process tells about itself.
pub fn info(redis: &Redis) -> Value {
    wait_for("the process to register", || {
        let processes: Vec<String> = redis.ask(&["SMEMBERS", "processes"]);
        let info: Option<String> = redis.ask(&["HGET", processes.first()?, "info"]);
        serde_json::from_str(&info?).ok()
    })
}

#[test]
fn a_running_job_has_its_time_when_the_last_request_is_long_answered() {
    let redis = Redis::start();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", receiver.local_addr().unwrap());
    let job = json!({ "class": "DeliverWebhook", "args": [url, {}], "jid": "slow" });
    let log = redis.dir().join("log");
    let mut web = Web::logging(&redis, &[EMBEDDED, PRIVATE], &log);
    redis.ask::<()>(&["LPUSH", "queue:webhooks", &job.to_string()]);
    redis.ask::<()>(&["SADD", "queues", "webhooks"]);
    let (mut socket, _) = receiver.accept().unwrap();
    web.process.signal("TERM");
    wait_for("the last request to be answered", || {
        fs::read_to_string(&log).unwrap().contains("stopped serving").then_some(())
    });
    socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(web.process.end().code(), Some(0));
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("stopped aborted=0 given_back=0"), "{log}");
    assert_eq!(redis.ask::<usize>(&["EXISTS", "queue:webhooks", "retry"]), 0);
}

#[test]
fn the_workers_own_reasons_end_the_process_with_its_code() {
    let redis = Redis::start();
    let mut web = Web::start(&redis, &[EMBEDDED, ("MEMORY_LIMIT_MB", "1")]);
    assert_eq!(web.process.end().code(), Some(75));
}

#[test]
fn people_are_told_of_its_stuck_jobs() {
    let redis = Redis::start();
    let (port, notices) = receiver(&["200 OK"]);
    let chat = format!("http://127.0.0.1:{port}/");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let job = json!({ "class": "DeliverWebhook", "args": [url, {}], "jid": "stuck" });
    redis.ask::<()>(&["LPUSH", "queue:default", &job.to_string()]);
    let vars = [EMBEDDED, PRIVATE, ("JOB_TIMEOUT", "1"), ("STUCK_JOB_WEBHOOK", &chat)];
    let mut web = Web::start(&redis, &vars);
    let (_, notice) = notices.recv_timeout(DEADLINE).unwrap();
    assert!(notice.contains("Stuck job: DeliverWebhook stuck"), "{notice}");
    web.process.signal("TERM");
    assert_eq!(web.process.end().code(), Some(0));
}

#[test]
fn without_redis_it_serves_and_stops() {
    let redis = Redis::absent();
    let mut web = Web::start(&redis, &[EMBEDDED]);
    assert_eq!((web.get("/health").status, web.get("/ready").status), (200, 503));
    web.process.signal("TERM");
    assert_eq!(web.process.end().code(), Some(0));
}

#[test]
fn a_taken_port_is_one_line_and_1() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let vars = [EMBEDDED, ("PORT", port.as_str()), ("RUST_LOG", "off")];
    let output = run(program("web", &Redis::start(), &vars));
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains(&port) && line.lines().count() == 1, "{line}");
}

// a platform gives all processes the same settings
#[test]
fn a_worker_with_the_same_setting_is_a_worker() {
    let redis = Redis::start();
    let _worker = worker(&redis, &[EMBEDDED]);
    assert_eq!(info(&redis)["embedded"], json!(false));
}
