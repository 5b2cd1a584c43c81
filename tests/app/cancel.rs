//! `jobs cancel`: what it says, and what becomes of the job.

use std::collections::BTreeMap;

use serde_json::json;

use crate::jobs::{jobs, process, text};
use crate::support::Redis;

pub fn cancel(redis: &Redis, jids: &[&str]) -> Vec<String> {
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
