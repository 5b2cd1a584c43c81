//! One process that takes the files and imports them.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use super::import::long_file;
use crate::embedded::{EMBEDDED, info};
use crate::http::read;
use crate::support::{Redis, Web, wait_for};

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
