//! What Prometheus reads.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::exposition::Exposition;
use crate::support::{Redis, Web, wait_for, worker};
use crate::webhook;

fn page(web: &Web) -> Exposition {
    let answer = web.get("/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::read(&answer.body)
}

fn push(redis: &Redis, queue: &str, job: &serde_json::Value) {
    redis.ask::<()>(&["SADD", "queues", queue]);
    redis.ask::<()>(&["LPUSH", &format!("queue:{queue}"), &job.to_string()]);
}

#[test]
fn the_fleet_is_counted_over_all_processes() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let _workers =
        ["3", "4"].map(|places| worker(&redis, &[("CONCURRENCY", places), webhook::PRIVATE]));
    let (port, _deliveries) = webhook::receiver(&["204 No Content"]);
    for jid in ["a", "b", "c", "d", "e"] {
        webhook::enqueue(&redis, jid, &format!("http://127.0.0.1:{port}/"));
    }
    push(&redis, "default", &json!({ "class": "Evil\"\n", "args": [], "jid": "1" }));
    let runs = "roustabout_job_runs_total{class=\"DeliverWebhook\",outcome=\"success\"}";
    let page = wait_for("heartbeats to bring the numbers", || {
        let page = page(&web);
        let there = page.has(runs) && page.value("roustabout_jobs_failed_total") == 1.0;
        (there && page.value(runs) == 5.0).then_some(page)
    });
    assert_eq!(page.value("roustabout_jobs_processed_total"), 6.0);
    let took = "roustabout_job_duration_seconds_count{class=\"DeliverWebhook\"}";
    assert_eq!(page.value(took), 5.0);
    assert_eq!(page.value("roustabout_processes"), 2.0);
    assert_eq!(page.value("roustabout_concurrency"), 7.0);
    assert_eq!(page.value("roustabout_set_jobs{set=\"retry\"}"), 1.0);
    assert_eq!(page.value("roustabout_redis_up"), 1.0);
    for above in [
        "roustabout_redis_round_trip_seconds",
        "roustabout_redis_memory_used_bytes",
        "roustabout_processes_resident_memory_bytes",
        "process_resident_memory_bytes",
    ] {
        assert!(page.value(above) > 0.0, "{above}");
    }
}

#[test]
fn a_worker_counts_for_itself() {
    let redis = Redis::start();
    let worker = Web::worker(&redis, &[webhook::PRIVATE]);
    let (port, _deliveries) = webhook::receiver(&["204 No Content"]);
    let url = format!("http://127.0.0.1:{port}/");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let job = json!({ "class": "Evil\"\n", "args": [], "jid": "1" });
    push(&redis, "odd \"queue\"\n", &job);
    let runs = |class: &str, outcome: &str| {
        format!("roustabout_worker_job_runs_total{{class=\"{class}\",outcome=\"{outcome}\"}}")
    };
    let success = runs("DeliverWebhook", "success");
    let ready = || page(&worker).value("roustabout_worker_ready") == 1.0;
    wait_for("it is ready", || ready().then_some(()));
    assert_eq!(page(&worker).value(&success), 0.0, "there from the beginning");
    let args = json!([url, {}]);
    let job =
        json!({ "class": "DeliverWebhook", "args": args, "jid": "2", "enqueued_at": now - 120 });
    push(&redis, "default", &job);
    let page = wait_for("both to run", || {
        let page = page(&worker);
        let both = [runs("other", "failure"), success.clone()];
        both.iter().all(|series| page.has(series) && page.value(series) == 1.0).then_some(page)
    });
    // strangers have no series of their own
    assert!(!format!("{page:?}").contains("Evil"));
    let waited = |what: &str| format!("roustabout_worker_queue_wait_seconds_{what}");
    let default = |what: &str| page.value(&(waited(what) + "{queue=\"default\"}"));
    assert_eq!(default("count"), 1.0);
    assert!((120.0..240.0).contains(&default("sum")), "{}", default("sum"));
    assert_eq!(page.value("roustabout_worker_concurrency"), 10.0);
}

#[test]
fn queues_of_strangers_are_shown_as_they_are() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let job = json!({ "class": "A", "args": [], "jid": "1", "enqueued_at": now - 60 });
    push(&redis, "a\"b\\c\nd\u{202e}", &job);
    redis.ask::<()>(&["LPUSH", "queue:plain", "no job"]);
    redis.ask::<()>(&["SADD", "queues", "plain", "string", ""]);
    redis.ask::<()>(&["SET", "queue:string", "not a list"]);
    redis.ask::<()>(&["SADD", "paused", "plain", "never pushed to"]);
    redis.ask::<()>(&["ZADD", "retry", &(now - 90).to_string(), "no job"]);
    redis.ask::<()>(&["SADD", "processes", "gone", "string"]);
    redis.ask::<()>(&["HSET", "roustabout:counters", "e\"vil\n", "3", "rescued", "many"]);
    redis.ask::<()>(&[
        "HSET",
        "roustabout:runs",
        "A|f",
        "18446744073709551615",
        "A|0",
        "x",
        "|",
        "1",
    ]);
    let page = page(&web);
    let odd = r#"{queue="a\"b\\\\c\\nd\\u{202e}"}"#;
    assert_eq!(page.value(&format!("roustabout_queue_jobs{odd}")), 1.0);
    let age = page.value(&format!("roustabout_queue_oldest_job_age_seconds{odd}"));
    assert!((60.0..180.0).contains(&age), "{age}");
    for (queue, jobs, paused) in
        [("plain", 1.0, 1.0), ("string", 0.0, 0.0), ("never pushed to", 0.0, 1.0), ("", 0.0, 0.0)]
    {
        assert_eq!(page.value(&format!("roustabout_queue_jobs{{queue=\"{queue}\"}}")), jobs);
        assert_eq!(page.value(&format!("roustabout_queue_paused{{queue=\"{queue}\"}}")), paused);
        assert_eq!(page.value(&format!("roustabout_queue_served_by{{queue=\"{queue}\"}}")), 0.0);
    }
    let overdue = page.value("roustabout_set_overdue_seconds{set=\"retry\"}");
    assert!((90.0..210.0).contains(&overdue), "{overdue}");
    assert_eq!(page.value(r#"roustabout_events_total{event="e\"vil\\n"}"#), 3.0);
    assert_eq!(page.count("roustabout_events_total"), 1);
    assert_eq!(page.value("roustabout_processes"), 0.0);
}

#[test]
fn ten_thousand_queues_are_some_hundred() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let names: Vec<String> = (0..10_000).map(|n| format!("q{n:05}")).collect();
    for names in names.chunks(1_000) {
        let add = [&["SADD", "queues"][..], &names.iter().map(String::as_str).collect::<Vec<_>>()];
        redis.ask::<()>(&add.concat());
    }
    redis.ask::<()>(&["LPUSH", "queue:q09999", "{}"]);
    let page = page(&web);
    assert_eq!(page.count("roustabout_queue_jobs"), 501);
    assert_eq!(page.value("roustabout_queue_jobs{queue=\"other\"}"), 1.0);
}

#[test]
fn redis_away_is_a_metric() {
    let mut redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    assert_eq!(page(&web).value("roustabout_redis_up"), 1.0);
    redis.stop();
    let page = wait_for("the news", || {
        Some(page(&web)).filter(|page| page.value("roustabout_redis_up") == 0.0)
    });
    assert!(!page.has("roustabout_processes"), "nobody knows");
}

#[test]
fn who_may_look() {
    let redis = Redis::start();
    let basic = |login: &str| format!("Basic {}", BASE64_STANDARD.encode(login));
    let outside = ("host", "app.example.com");
    let asked = |web: &Web, headers: &[(&str, &str)]| web.request("GET", "/metrics", headers, b"");
    let open = Web::ready(&redis, &[]);
    for (headers, status) in [
        (vec![], 200),
        (vec![("host", "127.0.0.1")], 200),
        (vec![outside], 403),
        (vec![("x-forwarded-for", "10.0.0.1")], 403),
        (vec![("forwarded", "for=10.0.0.1")], 403),
        (vec![("authorization", "Basic Og==")], 200),
    ] {
        assert_eq!(asked(&open, &headers).status, status, "{headers:?}");
    }
    assert!(asked(&open, &[outside]).error().contains("DASHBOARD_PASSWORD"));
    let login = [("DASHBOARD_USER", "ann"), ("DASHBOARD_PASSWORD", "s3cret")];
    for (vars, login, status) in [
        (&login[..], "ann:s3cret", 200),
        (&login[..], "bob:s3cret", 401),
        (&login[..], "ann:s3cre", 401),
        (&login[..], ":s3cret", 401),
        (&login[1..], "ann:s3cret", 200),
        (&login[1..], ":s3cret", 200),
        (&login[1..], "ann:", 401),
    ] {
        let web = Web::ready(&redis, vars);
        assert_eq!(
            asked(&web, &[("authorization", &basic(login)), outside]).status,
            status,
            "{login}"
        );
        let refused = asked(&web, &[]);
        assert_eq!(refused.status, 401, "from this machine, too");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic realm="));
        let unused = [("authorization", "Bearer s3cret"), outside];
        assert_eq!(asked(&web, &unused).status, 401);
    }
}

#[test]
fn every_metric_is_in_the_docs_and_no_other() {
    let redis = Redis::start();
    let worker = Web::worker(&redis, &[]);
    let web = Web::ready(&redis, &[]);
    let job = json!({ "class": "DeliverWebhook", "args": [], "jid": "1", "enqueued_at": 1 });
    push(&redis, "default", &job);
    push(&redis, "default", &json!({ "class": "A", "args": [], "jid": "2", "expires_at": 1 }));
    let late = json!({ "class": "DeliverWebhook", "args": [], "jid": "3", "expires_at": 1 });
    push(&redis, "default", &late);
    let shown = wait_for("every metric", || {
        let pages = [page(&worker), page(&web)];
        let all: BTreeSet<String> =
            pages.iter().flat_map(|page| page.families.keys().cloned()).collect();
        let last = ["roustabout_job_runs_total", "roustabout_events_total"];
        let last = last.iter().chain(&["roustabout_worker_events_total"]);
        last.into_iter().all(|name| all.contains(*name)).then_some(all)
    });
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let told: BTreeSet<String> = rows
        .filter(|name| name.starts_with("roustabout_") || name.starts_with("process_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(shown, told);
}
