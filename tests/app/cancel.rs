//! `jobs cancel`: what it says, and what becomes of the job.

use std::collections::BTreeMap;

use serde_json::json;

use crate::jobs::{jobs, process, text};
use crate::support::{Redis, Web, wait_for, worker};

fn cancel(redis: &Redis, jids: &[&str]) -> Vec<String> {
    let output = jobs(redis, &[&["cancel"], jids].concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn it_says_what_is_known() {
    let redis = Redis::start();
    process(&redis, "a:1:x", &["work"], &json!({ "class": "Import", "jid": "runs" }));
    process(&redis, "b:1:x", &["work"], &json!({ "class": "Plain", "jid": "plain" }));
    redis.ask::<()>(&["HSET", "it-runs", "ex", "1", "c", "7", "rt", "0.5"]);
    let lines = cancel(&redis, &["runs", "plain", "no\u{1b}body"]);
    assert_eq!(lines[0], "cancelled: Import runs in a:1:x ends at its next checkpoint");
    assert!(lines[1].contains("Plain plain in b:1:x has saved no cursor so far"), "{lines:?}");
    assert!(lines[2].starts_with(r"cancelled: no\u{1b}body does not run"), "{lines:?}");
    assert!(cancel(&redis, &["runs"])[0].starts_with("was cancelled before: Import runs"));

    let fields: BTreeMap<String, String> = redis.ask(&["HGETALL", "it-runs"]);
    assert_eq!((&*fields["c"], &*fields["ex"]), ("7", "1"), "it may be resumed by hand");
    assert!(fields["cancelled"].parse::<u64>().unwrap() > 1_700_000_000);
    assert!((1..=30 * 86_400).contains(&redis.ask::<i64>(&["TTL", "it-runs"])));
}

#[test]
fn a_waiting_import_ends_when_its_turn_comes() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n2\n");
    assert!(cancel(&redis, &[&jid])[0].contains("when its turn comes"));
    let mut worker = worker(&redis, &[]);
    let import = web.settled(&jid);
    assert_eq!((&import["state"], &import["accepted"]), (&json!("failed"), &json!(0)));
    wait_for("its note to go", || {
        (redis.ask::<usize>(&["EXISTS", &format!("it-{jid}")]) == 0).then_some(())
    });
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
    assert_eq!(redis.ask::<usize>(&["EXISTS", "retry", "dead", "stat:failed"]), 0);
    assert_eq!(redis.ask::<usize>(&["HGET", "roustabout:counters", "cancelled"]), 1);
}
