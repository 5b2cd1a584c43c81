//! `jobs enqueue`: jobs of this program and of others. `jobs quiet`, `jobs stop`: to whom.

use serde_json::{Value, json};

use crate::jobs::{jobs, now, process, text};
use crate::look::answer;
use crate::support::{Redis, wait_for, worker};
use crate::webhook::{PRIVATE, receiver};

fn enqueue(redis: &Redis, words: &[&str]) -> (String, String) {
    let output = jobs(redis, &[&["enqueue"], words].concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
    (text(&output.stdout).trim_end().to_owned(), text(&output.stderr))
}

fn next(redis: &Redis, queue: &str) -> (String, Value) {
    let raw: String = redis.ask(&["LPOP", &format!("queue:{queue}")]);
    let payload = serde_json::from_str(&raw).unwrap();
    (raw, payload)
}

#[test]
fn a_class_that_is_known_comes_with_all_that_its_type_says() {
    let redis = Redis::start();
    let args = r#"{ "url": "https://example.com/a b", "event": { "n": 1 } }"#;
    let (jid, remarks) = enqueue(&redis, &["DeliverWebhook", args]);
    let (_, job) = next(&redis, "webhooks");
    assert_eq!((job["jid"].as_str(), &*remarks), (Some(&*jid), ""));
    assert_eq!(job["args"], json!([{ "url": "https://example.com/a b", "event": { "n": 1 } }]));
    assert!(job["enqueued_at"].is_f64() && job["created_at"].is_f64(), "{job}");
    assert_eq!(redis.ask::<Vec<String>>(&["SMEMBERS", "queues"]), ["webhooks"]);
    let positional = r#"["https://example.com", {"n":1}]"#;
    enqueue(&redis, &["DeliverWebhook", positional, "--queue", "slow"]);
    assert_eq!(next(&redis, "slow").1["args"][0]["url"], "https://example.com");
    for bad in ["{}", "[7]", r#"{"url":1}"#] {
        let output = jobs(&redis, &["enqueue", "DeliverWebhook", bad], &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{bad}");
        assert!(
            text(&output.stderr).starts_with("jobs: these are no arguments of DeliverWebhook: ")
        );
    }
    assert_eq!(redis.ask::<u32>(&["EXISTS", "queue:webhooks", "queue:slow"]), 0);
}

#[test]
fn one_of_another_language_is_pushed_as_it_is() {
    let redis = Redis::start();
    let (jid, remarks) =
        enqueue(&redis, &["Ruby::Report", "[ 1180591620717411303424, 1.50, \"a b\" ]"]);
    assert!(remarks.starts_with("jobs: Ruby::Report is no job of this program"), "{remarks}");
    let (raw, job) = next(&redis, "default");
    assert!(raw.contains(r#""args":[1180591620717411303424,1.50,"a b"]"#), "{raw}");
    assert_eq!((job["jid"].as_str(), &job["retry"]), (Some(&*jid), &json!(true)));

    let (jid, remarks) = enqueue(&redis, &["Ruby", "{}", "--queue", "low", "--in", "90"]);
    assert!(remarks.contains("to run in 1m 30s"), "{remarks}");
    let later: Vec<(String, f64)> = redis.ask(&["ZRANGE", "schedule", "0", "-1", "WITHSCORES"]);
    let (raw, at) = &later[0];
    assert!(
        raw.contains(&jid) && raw.contains(r#""queue":"low""#) && !raw.contains("\"at\""),
        "{raw}"
    );
    assert!((at - now() as f64 - 90.0).abs() < 30.0, "{at}");
}

#[test]
fn an_enqueued_job_runs() {
    let redis = Redis::start();
    let mut worker = worker(&redis, &[PRIVATE]);
    let (port, _deliveries) = receiver(&["204 No Content"]);
    enqueue(&redis, &["DeliverWebhook", &format!(r#"["http://127.0.0.1:{port}/", {{}}]"#)]);
    wait_for("its run", || (answer(&redis, &["stats"])["processed"] == 1).then_some(()));
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
}

#[test]
fn processes_are_told_by_name_by_host_or_all() {
    let redis = Redis::start();
    let commands = |identity: &str| {
        redis.ask::<Vec<String>>(&["LRANGE", &format!("{identity}-signals"), "0", "-1"])
    };
    for identity in ["w.1:4:a", "w.1:5:b", "w.10:4:c", "in:1:d"] {
        process(&redis, identity, &[], &json!({}));
    }
    redis.ask::<()>(&["HSET", "in:1:d", "info", r#"{"embedded":true}"#]);
    let told = |words: &[&str]| {
        let output = jobs(&redis, words, &[]);
        (text(&output.stdout), text(&output.stderr), output.status.code())
    };
    assert_eq!(told(&["quiet", "w.1:4:a"]).0, "told w.1:4:a to be quiet\n");
    assert_eq!(told(&["stop", "w.1"]).0, "told w.1:4:a to stop\ntold w.1:5:b to stop\n");
    assert_eq!(
        (commands("w.1:4:a"), commands("w.10:4:c")),
        (vec!["TERM".into(), "TSTP".into()], vec![])
    );
    let (said, remark, code) = told(&["stop"]);
    assert_eq!((said.lines().count(), code), (3, Some(0)));
    assert!(remark.contains("in:1:d runs inside another program"), "{remark}");
    assert!(commands("in:1:d").is_empty());
    for nobody in ["w", "w.1:", "nobody\u{1b}"] {
        let (said, remark, code) = told(&["stop", nobody]);
        assert_eq!((&*said, code), ("", Some(1)));
        assert!(remark.contains("no live process is named") && !remark.contains('\u{1b}'));
    }
}

#[test]
fn a_worker_is_quiet_then_stops() {
    let redis = Redis::start();
    let mut worker = worker(&redis, &[]);
    wait_for("its heartbeat", || (answer(&redis, &["stats"])["processes"] == 1).then_some(()));
    assert_eq!(jobs(&redis, &["quiet"], &[]).status.code(), Some(0));
    wait_for("it to be quiet", || {
        (answer(&redis, &["processes"])["processes"][0]["quiet"] == true).then_some(())
    });
    assert_eq!(jobs(&redis, &["stop"], &[]).status.code(), Some(0));
    assert_eq!(worker.end().code(), Some(0));
    assert_eq!(jobs(&redis, &["stop"], &[]).status.code(), Some(1), "nobody is there any more");
}
