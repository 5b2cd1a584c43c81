//! `jobs why`: it finds a job wherever it is, and says what keeps it from running.

use serde_json::{Value, json};

use crate::jobs::{jobs, now, process, receiver, text};
use crate::look::answer;
use crate::support::{Redis, wait_for, worker};

fn job(jid: &str) -> Value {
    json!({ "class": "A", "args": [jid], "jid": jid, "queue": "q", "created_at": 1_700_000_000.5 })
}

fn push(redis: &Redis, jid: &str) {
    redis.ask::<()>(&["SADD", "queues", "q"]);
    redis.ask::<()>(&["LPUSH", "queue:q", &job(jid).to_string()]);
}

/// The place of the only one, and the reasons.
fn why(redis: &Redis, jid: &str) -> (Value, Vec<String>) {
    let answer = answer(redis, &["why", jid]);
    assert_eq!(answer["places"].as_array().unwrap().len(), 1, "{answer}");
    let place = answer["places"][0].clone();
    let because = place["because"].as_array().unwrap().iter();
    (place.clone(), because.map(|it| it["reason"].as_str().unwrap().to_owned()).collect())
}

fn words(redis: &Redis, jid: &str, vars: &[(&str, &str)]) -> String {
    let output = jobs(redis, &["why", jid], vars);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A live process of ours, as far as anybody can tell from outside.
fn serving(redis: &Redis, queues: &[&str], quiet: &str) {
    process(redis, "w:1:x", &[], &json!({}));
    let info = json!({ "queues": queues, "concurrency": 2 }).to_string();
    redis.ask::<()>(&["HSET", "w:1:x", "info", &info, "quiet", quiet, "busy", "0"]);
    redis.ask::<()>(&["SADD", "roustabout:owners", "w:1:x"]);
}

#[test]
fn in_a_queue() {
    let redis = Redis::start();
    for n in 0..200 {
        push(&redis, &format!("j{n}"));
    }
    let (place, because) = why(&redis, "j7");
    assert_eq!(
        (&place["place"], &place["queue"], &place["ahead"]),
        (&json!("queue"), &json!("q"), &json!(7))
    );
    assert_eq!(because, ["no_process", "jobs_before"]);
    assert_eq!(why(&redis, "j0").0["ahead"], 0);
    assert_eq!(why(&redis, "j199").0["ahead"], 199);
    serving(&redis, &["other"], "false");
    assert_eq!(why(&redis, "j0").1, ["not_served"]);
    serving(&redis, &["q"], "true");
    assert_eq!(why(&redis, "j0").1, ["all_quiet"]);
    serving(&redis, &["q"], "false");
    assert!(why(&redis, "j0").1.is_empty());
    assert!(words(&redis, "j0", &[]).contains("next in the queue q"));
    redis.ask::<()>(&["HSET", "w:1:x", "busy", "2"]);
    assert_eq!(why(&redis, "j0").1, ["all_busy"]);
    redis.ask::<()>(&["SADD", "paused", "q"]);
    assert_eq!(why(&redis, "j1").1, ["paused", "all_busy", "jobs_before"]);
    let said = words(&redis, "j1", &[]);
    assert!(said.contains("`jobs resume q` ends that") && said.contains("1 job comes before it"));
    redis.ask::<()>(&["DEL", "paused"]);

    redis.ask::<()>(&["SADD", "roustabout:running:q", "1:1:w:1:x", "1:2:w:1:x"]);
    let said = words(&redis, "j0", &[("QUEUE_LIMITS", "q:2")]);
    assert!(said.contains("at its limit: 2 in progress at once"), "{said}");
    assert!(words(&redis, "j0", &[]).contains("QUEUE_LIMITS here lacks"));
    let bucket = (now() / 36).to_string();
    redis.ask::<()>(&["HSET", "roustabout:starts:h:q", &bucket, "5"]);
    let said = words(&redis, "j0", &[("QUEUE_LIMITS", "q:5/h")]);
    assert!(said.contains("at its limit: 5 starts in 1h"), "{said}");
}

#[test]
fn in_the_sets_with_all_that_is_known_beside() {
    let redis = Redis::start();
    let mut failed = job("sad");
    failed["retry_count"] = json!(1);
    failed["error_class"] = json!("Timeout");
    failed["error_message"] = json!("too \u{1b}[2J slow");
    failed["failed_at"] = json!(1_700_000_001_000u64);
    failed["unique_key"] = json!("A:7");
    redis.ask::<()>(&["ZADD", "retry", &(now() + 600).to_string(), &failed.to_string()]);
    redis.ask::<()>(&["SET", "roustabout:unique:A:7", "sad"]);
    redis.ask::<()>(&[
        "HSET",
        "roustabout:status:sad",
        "state",
        "retrying",
        "progress",
        "3/9",
        "at",
        "1700000001.5",
    ]);
    redis.ask::<()>(&["HSET", "it-sad", "ex", "4", "c", "[17]", "rt", "1.5"]);
    redis.ask::<()>(&["HSET", "roustabout:rescues", "sad", &format!("2 {}", now())]);
    let said = words(&redis, "sad", &[]);
    for part in [
        "A sad\n",
        "in the retry set until ",
        "it waits for its time, in 9m",
        "failed    2 times, last ",
        "Timeout: too \\u{1b}[2J slow",
        "has A:7",
        "retrying, 3 of 9",
        "[17], started 4 times",
        "2 times from a process that died; 3 such bury it",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let all = answer(&redis, &["why", "sad"]);
    assert_eq!((&all["rescues"], &all["cursor"]["at"]), (&json!(2), &json!("[17]")));
    assert_eq!((&all["status"]["current"], &all["status"]["total"]), (&json!(3), &json!(9)));
    assert_eq!(all["places"][0]["lock_holder"], "sad");
    assert!(!all.to_string().contains("args"));

    redis.ask::<()>(&["ZADD", "schedule", "5", &job("due").to_string()]);
    assert_eq!(why(&redis, "due").1, ["no_process", "due"]);
    serving(&redis, &["q"], "false");
    assert_eq!(why(&redis, "due").1, ["due"]);
    let mut late = job("late");
    late["expires_at"] = json!(1_700_000_000.5);
    redis.ask::<()>(&["ZADD", "schedule", &(now() + 60).to_string(), &late.to_string()]);
    redis.ask::<()>(&["HSET", "it-late", "cancelled", "1", "c", "null"]);
    let said = words(&redis, "late", &[]);
    assert!(said.contains("it has expired") && said.contains("it is cancelled"), "{said}");
    redis.ask::<()>(&["ZADD", "dead", "1700000000", &job("gone").to_string()]);
    assert_eq!(why(&redis, "gone").1, ["dead"]);
    assert!(words(&redis, "gone", &[]).contains("`jobs retry gone`"));
}

#[test]
fn in_flight() {
    let redis = Redis::start();
    let (port, _posts) = receiver();
    let mut worker = worker(&redis, &[("WEBHOOK_ALLOW_PRIVATE", "true")]);
    let args = json!([format!("http://127.0.0.1:{port}/hang"), {}]);
    let hangs =
        json!({ "class": "DeliverWebhook", "args": args, "jid": "hangs", "queue": "webhooks" });
    redis.ask::<()>(&["LPUSH", "queue:webhooks", &hangs.to_string()]);
    let place = wait_for("its heartbeat", || {
        let (place, because) = why(&redis, "hangs");
        assert!(because.iter().all(|it| it == "no_process"), "{because:?}");
        place["since"].as_f64().map(|_| place)
    });
    assert_eq!((&place["place"], &place["alive"]), (&json!("process"), &json!(true)));
    assert!(words(&redis, "hangs", &[]).contains("runs      since "));
    worker.kill();
    wait_for("its heartbeat to end", || {
        (why(&redis, "hangs").1 == ["orphan", "no_process"]).then_some(())
    });
    assert!(words(&redis, "hangs", &[]).contains("which is gone"));

    process(&redis, "ruby:1:x", &["work"], &job("there"));
    let (place, because) = why(&redis, "there");
    assert_eq!((&place["process"], because.len()), (&json!("ruby:1:x"), 0));
}

#[test]
fn names_are_taken_as_they_are() {
    let redis = Redis::start();
    for jid in ["a*c", "a?c", "a[b]c", "abc", "é\"\\", "x\u{1b}[2J"] {
        push(&redis, jid);
        redis.ask::<()>(&["ZADD", "dead", "1", &job(&format!("{jid}-dead")).to_string()]);
    }
    // as others write JSON
    redis.ask::<()>(&[
        "ZADD",
        "retry",
        "1",
        r#"{ "class": "A", "jid" : "sp\u0061ce" , "args": []}"#,
    ]);
    redis.ask::<()>(&["ZADD", "retry", "1", r#"{ "class": "A", "jid" : "space" , "args": []}"#]);
    for jid in ["a*c", "a?c", "a[b]c", "abc", "é\"\\", "x\u{1b}[2J"] {
        assert_eq!(why(&redis, jid).0["jid"], jid);
        assert_eq!(why(&redis, &format!("{jid}-dead")).1, ["dead"]);
    }
    assert_eq!(answer(&redis, &["why", "space"])["places"].as_array().unwrap().len(), 1);
    for nobody in ["a.c", "*", "b", "[2J", "j"] {
        let output = jobs(&redis, &["why", nobody], &[]);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{nobody}");
        assert!(said.contains("waits, runs or is dead: it is done, or never was"), "{said}");
    }
}

#[test]
fn a_jid_that_occurs_twice_is_said_and_a_status_tells_of_what_is_done() {
    let redis = Redis::start();
    push(&redis, "twin");
    redis.ask::<()>(&["ZADD", "dead", "1", &job("twin").to_string()]);
    let output = jobs(&redis, &["why", "twin"], &[]);
    assert_eq!(text(&output.stderr), "jobs: 2 jobs have this jid\n");
    assert_eq!(text(&output.stdout).matches("A twin").count(), 2);
    redis.ask::<()>(&["HSET", "roustabout:status:past", "state", "done", "at", "1700000001"]);
    assert!(words(&redis, "past", &[]).contains("status    done, "));
}
