//! One process that serves and works.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::http::read;
use crate::import::long_file;
use crate::support::{DEADLINE, Redis, Web, program, run, wait_for, worker};
use crate::webhook::{PRIVATE, receiver};

const EMBEDDED: (&str, &str) = ("WORKER_EMBEDDED", "1");

/// What the process tells about itself.
fn info(redis: &Redis) -> Value {
    wait_for("the process to register", || {
        let processes: Vec<String> = redis.ask(&["SMEMBERS", "processes"]);
        let info: Option<String> = redis.ask(&["HGET", processes.first()?, "info"]);
        serde_json::from_str(&info?).ok()
    })
}

#[test]
fn one_process_with_two_connections_imports_a_file() {
    let redis = Redis::start();
    let vars = [EMBEDDED, ("CONCURRENCY", "3"), ("QUEUES", "imports,default")];
    let web = Web::ready(&redis, &vars);
    let import = web.settled(&web.imported("", "id,a\n1,2\n"));
    assert_eq!((&import["state"], &import["accepted"]), (&json!("done"), &json!(1)));
    let info = info(&redis);
    assert_eq!((&info["embedded"], &info["concurrency"]), (&json!(true), &json!(3)));
    assert_eq!(info["queues"], json!(["imports", "default"]));
    let connections = || {
        let clients: String = redis.ask(&["CLIENT", "LIST"]);
        clients.lines().filter(|client| !client.contains("cmd=client|list")).count()
    };
    wait_for("two connections", || (connections() == 2).then_some(()));
    let jids: Vec<String> = (0..20).map(|_| web.imported("", "id,a\n1,2\n")).collect();
    jids.iter().for_each(|jid| drop(web.settled(jid)));
    wait_for("two connections", || (connections() == 2).then_some(()));
}

#[test]
fn a_stop_answers_requests_and_gives_jobs_back_at_the_same_time() {
    let redis = Redis::start();
    let mut web = Web::ready(&redis, &[EMBEDDED]);
    let jid = web.imported("", long_file());
    let head = [("content-type", "text/csv"), ("content-length", "10")];
    let mut upload = web.begin("POST", "/imports", &head);
    upload.write_all(b"id,a\n").unwrap();
    let processed = || web.get(&format!("/imports/{jid}")).json()["processed"].as_u64();
    wait_for("some rows", || (processed() > Some(0)).then_some(()));
    web.process.signal("TERM");
    let port = web.port;
    wait_for("no new connection", || TcpStream::connect(("127.0.0.1", port)).err());
    // the worker part has signed off, the request is still open, and what it enqueues gets in
    wait_for("the worker part to sign off", || {
        (redis.ask::<usize>(&["SCARD", "processes"]) == 0).then_some(())
    });
    assert_eq!(redis.ask::<usize>(&["LLEN", "queue:imports"]), 1);
    assert_eq!(redis.ask::<usize>(&["EXISTS", &format!("it-{jid}")]), 1, "its cursor");
    web.process.signal("TERM");
    web.process.signal("INT");
    upload.write_all(b"12,3\n").unwrap();
    let answer = read(upload);
    assert_eq!(answer.status, 202);
    assert_eq!(web.process.end().code(), Some(0));
    // the interrupted one is the next to run
    let waiting: Vec<String> = redis.ask(&["LRANGE", "queue:imports", "0", "-1"]);
    assert!(waiting.len() == 2 && waiting[1].contains(&jid), "{waiting:?}");

    let web = Web::ready(&redis, &[EMBEDDED]);
    let import = web.settled(&jid);
    assert_eq!((&import["state"], &import["processed"]), (&json!("done"), &json!(120_000)));
    assert!(import["interruptions"].as_u64() >= Some(1), "{import}");
    assert_eq!(web.settled(answer.json()["jid"].as_str().unwrap())["state"], "done");
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
fn signals_reach_the_worker_part_and_remote_commands_do_not() {
    let redis = Redis::start();
    let log = redis.dir().join("log");
    let mut web = Web::logging(&redis, &[EMBEDDED], &log);
    let log = || fs::read_to_string(&log).unwrap();
    let said = |words: &str, times: usize| {
        wait_for(words, || (log().matches(words).count() == times).then_some(()));
    };
    let commands = format!("{}-signals", info(&redis)["identity"].as_str().unwrap());
    redis.ask::<()>(&["LPUSH", &commands, "TERM", "TSTP", "TTIN"]);
    said("running jobs, as asked for", 1);
    said("remote command ignored", 2);
    assert_eq!(web.settled(&web.imported("", "id\n1\n"))["state"], "done");
    web.process.signal("TTIN");
    said("running jobs, as asked for", 2);
    web.process.signal("TSTP");
    said("quiet: no new jobs", 1);
    let jid = web.imported("", "id\n1\n");
    assert_eq!(redis.ask::<usize>(&["LLEN", "queue:imports"]), 1);
    assert_eq!(web.get(&format!("/imports/{jid}")).json()["state"], "queued");
    web.process.signal("HUP");
    assert_eq!(web.process.end().code(), Some(0));
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
