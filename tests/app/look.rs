//! `jobs stats`, `queues`, `busy`, `processes`, `retries`, `scheduled`, `dead`: what they show, on
//! which screen, and of what strangers wrote.

use std::process::Command;

use serde_json::{Value, json};

use crate::jobs::{jobs, now, process, receiver, text};
use crate::support::{Redis, installed, program, wait_for, worker};

pub fn answer(redis: &Redis, words: &[&str]) -> Value {
    let output = jobs(redis, &[words, &["--json"]].concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn shown(redis: &Redis, words: &[&str]) -> String {
    let output = jobs(redis, words, &[]);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_worker_and_what_it_runs() {
    let redis = Redis::start();
    let (port, _posts) = receiver();
    let limits = [("WEBHOOK_ALLOW_PRIVATE", "true"), ("QUEUE_LIMITS", "webhooks:1,other:9/m")];
    let mut worker = worker(&redis, &[&limits[..], &[("CONCURRENCY", "3")]].concat());
    let args = json!([format!("http://127.0.0.1:{port}/hang"), { "s3cret": 1 }]);
    for jid in ["first", "second"] {
        let job = json!({ "class": "DeliverWebhook", "args": args, "jid": jid, "queue": "webhooks",
                          "enqueued_at": now() as f64 - 90.0 });
        redis.ask::<()>(&["LPUSH", "queue:webhooks", &job.to_string()]);
    }
    redis.ask::<()>(&["SADD", "paused", "other"]);
    let busy = wait_for("its heartbeat", || {
        let busy = answer(&redis, &["busy"]);
        (busy["running"].as_array().unwrap().len() == 1).then_some(busy)
    });
    let job = &busy["running"][0];
    assert_eq!((&job["jid"], &job["queue"]), (&json!("first"), &json!("webhooks")));

    let processes = answer(&redis, &["processes"]);
    let process = &processes["processes"][0];
    assert_eq!((&process["ours"], &process["concurrency"]), (&json!(true), &json!(3)));
    assert!(process["queues"].as_array().unwrap().contains(&json!("webhooks")), "{process}");
    assert!(process["rss_kib"].as_u64().unwrap() > 1_000);
    let identity = process["identity"].as_str().unwrap();
    assert!(shown(&redis, &["processes"]).contains(identity));
    assert!(shown(&redis, &["busy"]).contains("DeliverWebhook"));

    let output = jobs(&redis, &["queues", "--json"], &limits);
    let queues: Value = serde_json::from_slice(&output.stdout).unwrap();
    let queue = |name: &str| {
        let all = queues["queues"].as_array().unwrap();
        all.iter().find(|queue| queue["name"] == name).unwrap().clone()
    };
    let webhooks = queue("webhooks");
    assert_eq!((&webhooks["size"], &webhooks["running"]), (&json!(1), &json!(1)));
    assert_eq!(webhooks["at_once"], json!({ "most": 1, "held": 1 }));
    assert!(webhooks["latency"].as_f64().unwrap() > 80.0, "{webhooks}");
    assert_eq!((&queue("other")["paused"], &queue("other")["size"]), (&json!(true), &json!(0)));
    assert_eq!(queue("other")["starts"], json!({ "most": 9, "seconds": 60.0, "used": 0 }));
    let table = text(&jobs(&redis, &["queues"], &limits).stdout);
    assert!(table.contains("1 of 1 at once") && table.contains("paused"), "{table}");

    let stats = answer(&redis, &["stats"]);
    assert_eq!((&stats["enqueued"], &stats["busy"]), (&json!(1), &json!(1)));
    assert_eq!((&stats["concurrency"], &stats["processes"]), (&json!(3), &json!(1)));
    assert!(shown(&redis, &["stats"]).contains("of 3 places in 1 processes"));
    worker.kill();
}

/// A job of Sidekiq 8: times in milliseconds.
fn failed(class: &str, jid: &str) -> String {
    json!({ "retry": true, "queue": "low", "class": class, "args": ["s3cret"], "jid": jid,
            "created_at": 1_700_000_000_000u64, "error_class": "RuntimeError",
            "error_message": "no\u{1b}[2J luck", "failed_at": 1_700_000_001_000u64,
            "retry_count": 1 })
    .to_string()
}

#[test]
fn sets_are_listed_in_the_order_in_which_they_matter() {
    let redis = Redis::start();
    let soon = now() + 3_600;
    for n in 0..60 {
        let jid = format!("j{n:02}");
        redis.ask::<()>(&["ZADD", "retry", &format!("{}", soon + n), &failed("A", &jid)]);
        redis.ask::<()>(&["ZADD", "schedule", &format!("{}", soon + n), &failed("A", &jid)]);
        redis.ask::<()>(&["ZADD", "dead", &format!("{}", 1_700_000_000 + n), &failed("A", &jid)]);
    }
    for (set, first) in [("retries", "j00"), ("scheduled", "j00"), ("dead", "j59")] {
        let listing = answer(&redis, &[set, "--limit", "55"]);
        let all = listing["jobs"].as_array().unwrap();
        assert_eq!((all.len(), &listing["total"], &all[0]["jid"]), (55, &json!(60), &json!(first)));
        assert_eq!((&all[0]["failures"], &all[0]["queue"]), (&json!(2), &json!("low")));
        assert_eq!(all[0]["failed_at"], 1_700_000_001.0);
        assert!(!listing.to_string().contains("s3cret"));
        let output = jobs(&redis, &[set, "--limit", "3"], &[]);
        let table = text(&output.stdout);
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(table.contains(first) && !table.contains('\u{1b}'), "{table:?}");
        assert_eq!(text(&output.stderr), "jobs: and 57 more (--limit N)\n");
        assert_eq!(answer(&redis, &[set, "--limit", "0"])["total"], 60);
    }
    assert!(shown(&redis, &["retries"]).contains("RuntimeError: no\\u{1b}[2J luck"));
}

#[test]
fn strangers_move_no_cursor_and_hide_nothing() {
    let redis = Redis::start();
    let evil = "\u{1b}]0;x\u{7}\u{202e}\r\n";
    let job = json!({ "class": evil, "jid": evil, "queue": evil, "error_class": evil, "error_message": evil });
    for (at, member) in ["no job", "\u{0}", "{}", "[]", &job.to_string()].iter().enumerate() {
        redis.ask::<()>(&["ZADD", "dead", &at.to_string(), member]);
        redis.ask::<()>(&["ZADD", "retry", "inf", member]);
        redis.ask::<()>(&["ZADD", "schedule", "-inf", member]);
        redis.ask::<()>(&["LPUSH", &format!("queue:{evil}"), member]);
    }
    redis.ask::<()>(&["SADD", "queues", evil, "none"]);
    redis.ask::<()>(&["SET", "queue:none", "no list"]);
    process(&redis, &format!("a:1:{evil}"), &["work"], &job);
    let info = json!({ "queues": [evil], "concurrency": "x", "started_at": {} }).to_string();
    redis.ask::<()>(&["HSET", &format!("a:1:{evil}"), "info", &info, "rss", "-7", "beat", "inf"]);
    redis.ask::<()>(&["SET", "stat:processed", "many"]);
    redis.ask::<()>(&["HSET", "roustabout:counters", evil, "7", "odd", "x"]);
    for words in [
        &["stats"][..],
        &["queues"],
        &["busy"],
        &["processes"],
        &["retries"],
        &["scheduled"],
        &["dead"],
        &["why", evil],
    ] {
        let table = shown(&redis, words);
        assert!(!table.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']), "{words:?}: {table:?}");
        answer(&redis, words);
    }
    assert_eq!(shown(&redis, &["dead"]).lines().count(), 6);
    let output = jobs(&redis, &["queues"], &[]);
    assert!(text(&output.stderr).contains("1 entries could not be read"));
}

#[test]
fn other_types_under_the_keys_are_left_out() {
    let redis = Redis::start();
    for key in ["queues", "paused", "processes", "roustabout:owners", "roustabout:counters", "dead"]
    {
        redis.ask::<()>(&["SET", key, "x"]);
    }
    for command in ["stats", "queues", "busy", "processes"] {
        let output = jobs(&redis, &[command], &[]);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("could not be read"), "{command}");
    }
    let output = jobs(&redis, &["dead"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("WRONGTYPE"));
}

#[test]
fn tables_fit_the_screen_and_colours_are_for_terminals() {
    let redis = Redis::start();
    let long = failed(&"Reports::".repeat(9), "0123456789abcdef01234567");
    redis.ask::<()>(&["ZADD", "dead", "1", &long]);
    let widest = |columns: &str| {
        let output = jobs(&redis, &["dead"], &[("COLUMNS", columns)]);
        text(&output.stdout).lines().map(|line| line.chars().count()).max().unwrap()
    };
    assert!(widest("") > 100, "a pipe gets all of it");
    assert!(widest("90") <= 90 && widest("120") <= 120);
    assert!(
        text(&jobs(&redis, &["dead"], &[("COLUMNS", "20")]).stdout)
            .contains("0123456789abcdef01234567")
    );

    if !installed("script") {
        return;
    }
    let on_terminal = |vars: &[(&str, &str)]| {
        let path = program("jobs", &redis, &[]).get_program().to_owned();
        let mut command = Command::new("script");
        command.env("REDIS_URL", redis.url()).env("TERM", "xterm").envs(vars.iter().copied());
        let line = format!("stty rows 20 cols 70; {} dead", path.display());
        let output = command.args(["-qec", &line, "/dev/null"]).current_dir(redis.dir()).output();
        text(&output.unwrap().stdout)
    };
    let painted = on_terminal(&[]);
    assert!(painted.contains("\u{1b}[1m"), "{painted:?}");
    let plain = on_terminal(&[("NO_COLOR", "1")]);
    assert!(!plain.contains('\u{1b}') && plain.contains("Report"), "{plain:?}");
    assert!(plain.lines().all(|line| line.chars().count() <= 70), "{plain}");
}
