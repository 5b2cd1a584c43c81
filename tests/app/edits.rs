//! `jobs retry`, `kill`, `delete`: each job is in one place before and after, as Sidekiq's API
//! would leave it, and nothing is lost between.

use std::process::Output;

use serde_json::{Value, json};

use crate::jobs::{jobs, now, process, text};
use crate::support::{Redis, wait_for, worker};
use crate::webhook::{PRIVATE, receiver};

/// As Sidekiq 8 writes it: times in milliseconds, a number that no type of ours holds.
const RUBYS: &str = r#"{"retry":true,"queue":"low","class":"Report","args":[1.50,1180591620717411303424,{"b":1,"a":2}],"jid":"JID","created_at":1700000000000,"enqueued_at":1700000000500,"error_message":"no","error_class":"RuntimeError","failed_at":1700000001000,"retry_count":COUNT,"unknown":null}"#;

fn rubys(jid: &str, count: i64) -> String {
    RUBYS.replace("JID", jid).replace("COUNT", &count.to_string())
}

fn run(redis: &Redis, words: &[&str]) -> (String, String, Option<i32>) {
    let Output { stdout, stderr, status } = jobs(redis, words, &[]);
    (text(&stdout), text(&stderr), status.code())
}

fn done(redis: &Redis, words: &[&str]) -> String {
    let (said, remarks, code) = run(redis, words);
    assert_eq!(code, Some(0), "{words:?}: {said} {remarks}");
    said
}

fn queue(redis: &Redis, name: &str) -> Vec<String> {
    redis.ask(&["LRANGE", &format!("queue:{name}"), "0", "-1"])
}

fn set(redis: &Redis, name: &str) -> Vec<String> {
    redis.ask(&["ZRANGE", name, "0", "-1"])
}

#[test]
fn a_retry_is_what_sidekiqs_api_makes_of_it() {
    let redis = Redis::start();
    for (set_of, expected) in [("retry", 2), ("dead", 2), ("schedule", 3)] {
        redis.ask::<()>(&["ZADD", set_of, "5000000000", &rubys("one", 3), "5", &rubys("other", 0)]);
        let said = done(&redis, &["retry", "one"]);
        assert!(said.starts_with("retried: Report one, "), "{said}");
        assert_eq!(set(&redis, set_of), [rubys("other", 0)]);
        let jobs = queue(&redis, "low");
        assert_eq!(jobs.len(), 1);
        let pushed: Value = serde_json::from_str(&jobs[0]).unwrap();
        let at = pushed["enqueued_at"].as_f64().unwrap();
        assert!((at - now() as f64).abs() < 60.0, "{at}");
        let before = rubys("one", expected).replace("1700000000500", &format!("{:?}", at));
        assert_eq!(jobs[0], before, "the rest is as it was");
        assert_eq!(redis.ask::<Vec<String>>(&["SMEMBERS", "queues"]), ["low"]);
        redis.ask::<()>(&["DEL", set_of, "queue:low", "queues"]);
    }
}

#[test]
fn from_a_queue_the_job_itself_goes_and_no_other() {
    let redis = Redis::start();
    let all = ["a", "b", "c", "d"].map(|jid| rubys(jid, 0).replace("COUNT", "0"));
    redis.ask::<()>(&[&["RPUSH", "queue:low"][..], &all.each_ref().map(String::as_str)].concat());
    redis.ask::<()>(&["SADD", "queues", "low"]);
    let said = done(&redis, &["kill", "b"]);
    assert_eq!(said, "killed: Report b, in the queue low, 2 before it\n");
    assert_eq!((queue(&redis, "low").len(), set(&redis, "dead")), (3, vec![all[1].clone()]));
    assert_eq!(done(&redis, &["delete", "d", "a"]).lines().count(), 2);
    assert_eq!(queue(&redis, "low"), [all[2].clone()]);
    assert!(done(&redis, &["retry", "c"]).starts_with("left alone: Report c, next in the queue"));
    assert!(done(&redis, &["kill", "b"]).starts_with("left alone: Report b, dead since"));
    assert_eq!(
        redis.ask::<Vec<u32>>(&["HMGET", "roustabout:counters", "buried", "deleted"]),
        [1, 2]
    );
    let (said, remark, code) = run(&redis, &["delete", "nobody", "c"]);
    assert_eq!((said.lines().count(), code), (1, Some(1)));
    assert_eq!(remark, "jobs: no job nobody waits, runs or is dead\n");
    assert_eq!(redis.ask::<u32>(&["EXISTS", "queue:low"]), 0);
}

#[test]
fn a_running_job_is_not_touched() {
    let redis = Redis::start();
    let job: Value = serde_json::from_str(&rubys("runs", 0)).unwrap();
    process(&redis, "ruby:1:x", &["work"], &job);
    process(&redis, "ours:1:x", &[], &job);
    redis.ask::<()>(&["SADD", "roustabout:owners", "ours:1:x"]);
    let held = rubys("held", 0);
    redis.ask::<()>(&["HSET", "roustabout:inflight:ours:1:x", "1:1:low", &held]);
    for (jid, process) in [("runs", "ruby:1:x"), ("held", "ours:1:x")] {
        for edit in ["retry", "kill", "delete"] {
            let (said, _, code) = run(&redis, &[edit, jid]);
            assert_eq!(code, Some(1));
            assert!(
                said.starts_with(&format!("left alone: Report {jid}, running in {process}")),
                "{said}"
            );
            assert!(said.contains("`jobs cancel` or `jobs stop`"), "{said}");
        }
    }
    assert_eq!(redis.ask::<u32>(&["EXISTS", "queue:low", "dead", "retry"]), 0);
    assert_eq!(redis.ask::<String>(&["HGET", "roustabout:inflight:ours:1:x", "1:1:low"]), held);
}

#[test]
fn locks_and_statuses_are_settled_beside() {
    let redis = Redis::start();
    let tied = |jid: &str| {
        rubys(jid, 0)
            .replace(r#""unknown":null"#, r#""unique_key":"k","unique_ttl":90,"status_for":60"#)
    };
    let lock = || redis.ask::<Option<String>>(&["GET", "roustabout:unique:k"]);
    let state = |jid: &str| {
        redis.ask::<Option<String>>(&["HGET", &format!("roustabout:status:{jid}"), "state"])
    };
    // killed: its lock is given back, that of another stays
    redis.ask::<()>(&["ZADD", "retry", "5000000000", &tied("one"), "5000000000", &tied("two")]);
    redis.ask::<()>(&["SET", "roustabout:unique:k", "one"]);
    done(&redis, &["kill", "two"]);
    assert_eq!((lock().as_deref(), state("two").as_deref()), (Some("one"), Some("dead")));
    assert!((1..=60).contains(&redis.ask::<i64>(&["TTL", "roustabout:status:two"])));
    // a dead one needs the lock, which the other has
    let before = set(&redis, "dead");
    let (said, _, code) = run(&redis, &["retry", "two"]);
    assert!(said.contains("it has to wait: one is of the same kind") && code == Some(1), "{said}");
    assert_eq!(set(&redis, "dead"), before);
    done(&redis, &["kill", "one"]);
    assert_eq!(lock(), None);
    done(&redis, &["retry", "two"]);
    assert_eq!((lock().as_deref(), state("two").as_deref()), (Some("two"), Some("queued")));
    assert!((1..=90).contains(&redis.ask::<i64>(&["TTL", "roustabout:unique:k"])));
    done(&redis, &["delete", "two"]);
    assert_eq!((lock(), state("two").as_deref()), (None, Some("dead")));
    // Ruby's API kills without a thought of locks
    redis.ask::<()>(&["SET", "roustabout:unique:k", "one"]);
    done(&redis, &["delete", "one"]);
    assert_eq!((lock(), redis.ask::<u32>(&["EXISTS", "dead", "retry", "queue:low"])), (None, 0));
}

#[test]
fn what_redis_refuses_stays_where_it_is() {
    let redis = Redis::start();
    redis.ask::<()>(&["ZADD", "dead", "7", &rubys("one", 0)]);
    redis.ask::<()>(&["SET", "queue:low", "no list"]);
    let (said, _, code) = run(&redis, &["retry", "one"]);
    assert!(said.contains("it stays where it is: Redis refuses it (WRONGTYPE"), "{said}");
    assert_eq!((code, redis.ask::<f64>(&["ZSCORE", "dead", &rubys("one", 0)])), (Some(1), 7.0));
    redis.ask::<()>(&["DEL", "dead", "queue:low"]);
    redis.ask::<()>(&["SET", "dead", "no set"]);
    redis.ask::<()>(&["LPUSH", "queue:default", &rubys("two", 0)]);
    assert_eq!(run(&redis, &["kill", "two"]).2, Some(1));
    assert_eq!(queue(&redis, "default"), [rubys("two", 0)]);

    // one that is full takes it, because the first step makes room
    redis.ask::<()>(&["DEL", "dead"]);
    redis.ask::<()>(&["ZADD", "retry", "5000000000", &rubys("three", 0)]);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    done(&redis, &["kill", "two"]);
    done(&redis, &["retry", "three", "two"]);
    assert_eq!(queue(&redis, "low").len(), 2);
}

#[test]
fn all_of_a_set_each_once() {
    let redis = Redis::start();
    for n in 0..1_500 {
        redis.ask::<()>(&["ZADD", "dead", &n.to_string(), &rubys(&format!("j{n}"), 0)]);
    }
    redis.ask::<()>(&["ZADD", "dead", "1", "no job"]);
    // what has died in the meantime stays: it may have failed again just now
    redis.ask::<()>(&["ZADD", "dead", "5000000000", &rubys("later", 0)]);
    let (said, remark, code) = run(&redis, &["retry", "--dead"]);
    assert_eq!((&*said, code), ("retried: 1500\n", Some(1)));
    assert_eq!(
        remark,
        "jobs: left alone: ?: it is no job that could run: `jobs delete` removes it\n"
    );
    assert_eq!(queue(&redis, "low").len(), 1_500);
    assert_eq!(set(&redis, "dead"), ["no job".to_owned(), rubys("later", 0)]);
    assert_eq!(done(&redis, &["delete", "--dead"]), "deleted: 1\n");

    for n in 0..300 {
        redis.ask::<()>(&["ZADD", "retry", "5000000000", &rubys(&format!("j{n}"), 0)]);
    }
    assert_eq!(done(&redis, &["kill", "--retries"]), "killed: 300\n");
    assert_eq!(done(&redis, &["retry", "--scheduled"]), "retried: 0\n");
    assert_eq!((set(&redis, "retry").len(), set(&redis, "dead").len()), (0, 301));
}

#[test]
fn the_dead_set_lets_go_what_is_beyond_it_and_that_is_said() {
    let redis = Redis::start();
    redis.ask::<()>(&["ZADD", "dead", "1", &rubys("ancient", 0)]);
    redis.ask::<()>(&["ZADD", "retry", "5000000000", &rubys("one", 0)]);
    let (_, remark, code) = run(&redis, &["kill", "one"]);
    assert_eq!((code, set(&redis, "dead")), (Some(0), vec![rubys("one", 0)]));
    assert_eq!(remark, "jobs: the dead set was full or held very old jobs: 1 had to go\n");
    assert_eq!(redis.ask::<u32>(&["HGET", "roustabout:counters", "dead_trimmed"]), 1);
}

#[test]
fn a_worker_runs_what_was_retried() {
    let redis = Redis::start();
    let (port, _deliveries) = receiver(&["204 No Content"]);
    let args = json!([format!("http://127.0.0.1:{port}/"), {}]);
    let job = json!({ "class": "DeliverWebhook", "args": args, "jid": "told", "queue": "default",
                      "retry_count": 25, "failed_at": 1_700_000_000.5 });
    redis.ask::<()>(&["ZADD", "dead", &now().to_string(), &job.to_string()]);
    let mut worker = worker(&redis, &[PRIVATE]);
    done(&redis, &["retry", "--dead"]);
    wait_for("its run", || {
        let processed: Option<u32> = redis.ask(&["GET", "stat:processed"]);
        (processed == Some(1)).then_some(())
    });
    assert_eq!(redis.ask::<u32>(&["EXISTS", "dead", "retry", "queue:default"]), 0);
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
}
