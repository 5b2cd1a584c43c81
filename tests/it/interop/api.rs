//! Sidekiq's API with only our workers there: what it says of counters, queues, sets, processes
//! and running jobs, and that its commands arrive.

use std::time::{Duration, SystemTime};

use roustabout::engine::{Payload, Registry, Retry};
use serde_json::{Value, json};

use super::ruby::{self, Session};
use crate::child::{Child, Gate, Nap, Note, Setup, notes};
use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Fails { name: String }, |_this, _cx| {
    let cause = std::io::Error::other("the disk is full");
    Err(anyhow::Error::new(cause).context("nothing saved"))
});
job!(Dies { name: String } retry Retry::Times(0), |this, _cx| panic!("{}", this.name));

fn close(found: &Value, expected: f64) {
    let found = found.as_f64().expect("a number");
    assert!((found - expected).abs() < 60.0, "{found} is not about {expected}");
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[tokio::test]
async fn counters_and_queues() {
    if !ruby::is_here() {
        return;
    }
    let server = Server::start().await;
    let (jobs, child) = (client(&server), Child::of(&server));
    let mut ruby = Session::start(&server, "api.rb");
    jobs.enqueue(Gate { name: "runs".into() }).await.unwrap();
    for _ in 0..3 {
        jobs.enqueue(Nap { millis: 0 }).await.unwrap();
    }
    jobs.push(Payload::new("Unheard", json!([]))).await.unwrap();
    jobs.push(Payload::new("Unheard", json!([])).with("retry", 0)).await.unwrap();
    jobs.enqueue_in(Duration::from_secs(3_600), Nap { millis: 0 }).await.unwrap();
    notes(&server, "start runs").await;
    let counted = async || server.query::<Option<u32>>("GET stat:processed").await == Some(5);
    eventually("the counters are there", counted).await;
    child.signal("TSTP");
    let identity = child.identity(&server).await;
    let quiet = async || server.query::<String>(&format!("HGET {identity} quiet")).await == "true";
    eventually("it is quiet", quiet).await;
    let old = now() - 1_000.0;
    let waits = Payload::new("Note", json!([{"a": "é"}])).with("tags", ["x"]);
    let oldest = jobs.push(waits.with("created_at", old)).await.unwrap();
    let other = Payload::new("Note", json!([1, 2])).queue("other");
    let (first, second) = (other.clone().with("jid", "j1"), other.clone().with("jid", "j2"));
    jobs.push(first).await.unwrap();
    jobs.push(second).await.unwrap();

    let stats: Value = ruby.call("stats", json!([])).await;
    close(&stats["default_queue_latency"], 0.0);
    let mut plain = stats.clone();
    plain.as_object_mut().unwrap().remove("default_queue_latency");
    let expected = json!({"processed": 5, "failed": 2, "scheduled_size": 1, "retry_size": 1,
        "dead_size": 1, "enqueued": 3, "processes_size": 1, "workers_size": 1,
        "queues": {"other": 2, "default": 1}, "history": [[5], [2]]});
    assert_eq!(plain, expected);

    let queue: Value = ruby.call("queue", json!(["default"])).await;
    let job = &queue["jobs"][0];
    assert_eq!((&queue["size"], &job["class"]), (&json!(1), &json!("Note")));
    assert_eq!((&job["args"], &job["tags"]), (&json!([{"a": "é"}]), &json!(["x"])));
    close(&job["created_at"], old);
    close(&job["enqueued_at"], now());
    for latency in [&queue["latency"], &job["latency"]] {
        close(latency, 0.0);
    }
    let found: Value = ruby.call("find_in_queue", json!(["default", oldest])).await;
    assert_eq!(found["jid"], json!(oldest));
    let names: Vec<String> = ruby.call("queues", json!([])).await;
    assert_eq!(names, ["default", "other"]);
    assert!(ruby.call::<bool>("delete_from_queue", json!(["other", "j1"])).await);
    let queue: Value = ruby.call("queue", json!(["other"])).await;
    assert_eq!((&queue["size"], &queue["jobs"][0]["jid"]), (&json!(1), &json!("j2")));
    let names: Vec<String> = ruby.call("clear_queue", json!(["other"])).await;
    assert_eq!((names, held(&server).await), (vec!["default".to_owned()], 1));
    // a queue that was cleared is one again with the next push
    jobs.push(other).await.unwrap();
    assert_eq!(ruby.call::<Vec<String>>("queues", json!([])).await, ["default", "other"]);
}

#[tokio::test]
async fn entries_of_the_three_sets() {
    let Some((server, mut ruby)) = Session::begin("api.rb").await else { return };
    let jobs = client(&server);
    let registry = Registry::new(Diary::default()).job::<Fails>().job::<Dies>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let traced = |class| Payload::new(class, json!([{"name": "é\u{1f600}"}])).with("backtrace", 3);
    let failed = jobs.push(traced("Fails")).await.unwrap();
    let dead = jobs.push(traced("Dies").with("retry", 0)).await.unwrap();
    let hour = Duration::from_secs(3_600);
    let later = jobs.enqueue_in(hour, Fails { name: "x".into() }).await.unwrap();
    eventually("both failed", async || {
        server.query::<u32>("ZCARD retry").await + server.query::<u32>("ZCARD dead").await == 2
    })
    .await;
    worker.stop().await;
    let mut only = async |set: &str| {
        let all: Value = ruby.call("entries", json!([set])).await;
        assert_eq!((&all["size"], all["entries"].as_array().unwrap().len()), (&json!(1), 1));
        let entry = all["entries"][0].clone();
        let jid = entry["jid"].as_str().unwrap();
        let same: Value = ruby.call("find", json!([set, jid])).await;
        assert_eq!((&same["jid"], &same["score"]), (&entry["jid"], &entry["score"]));
        assert_eq!(ruby.call::<Vec<String>>("scan", json!([set, jid])).await, [jid]);
        entry
    };
    let entry = only("retry").await;
    assert_eq!((&entry["jid"], &entry["class"]), (&json!(failed), &json!("Fails")));
    assert_eq!((&entry["error?"], &entry["error_class"]), (&json!(true), &json!("Error")));
    assert_eq!(entry["error_message"], "nothing saved: the disk is full");
    let lines = entry["error_backtrace"].as_array().unwrap();
    assert_eq!(lines[..2], ["nothing saved: the disk is full", "caused by: the disk is full"]);
    assert_eq!((&entry["retry_count"], &entry["args"]), (&json!(0), &json!([{"name": "é😀"}])));
    close(&entry["failed_at"], now());
    close(&entry["at"], now() + 20.0);

    let entry = only("dead").await;
    assert_eq!((&entry["jid"], &entry["error_class"]), (&json!(dead), &json!("Panic")));
    let lines = entry["error_backtrace"].as_array().unwrap();
    let place = lines[1].as_str().unwrap();
    assert!(place.starts_with("panicked at tests/it/interop/api.rs:"), "{place}");
    close(&entry["at"], now());

    let entry = only("schedule").await;
    assert_eq!((&entry["jid"], &entry["error?"]), (&json!(later), &json!(false)));
    assert_eq!(entry["enqueued_at"], Value::Null);
    close(&entry["at"], now() + 3_600.0);
}

#[tokio::test]
async fn processes_and_running_jobs() {
    let Some((server, mut ruby)) = Session::begin("api.rb").await else { return };
    let children = [3, 4].map(|concurrency| Setup { concurrency, ..Setup::new(&server) }.start());
    let mut keys = "EXISTS".to_owned();
    for child in &children {
        keys += &format!(" {}:workers", child.identity(&server).await);
    }
    let gate = Payload::new("Gate", json!([{"name": "é"}])).with("cattr", json!({"a": []}));
    let jid = client(&server).push(gate).await.unwrap();
    notes(&server, "start é").await;
    eventually("a beat tells of it", async || server.query::<u32>(&keys).await == 1).await;
    let seen: Value = ruby.call("workers", json!([])).await;
    let work = &seen["each"][0][2];
    assert_eq!((&seen["size"], &work["queue"]), (&json!(1), &json!("default")));
    assert!(work["run_at"].is_u64());
    close(&work["run_at"], now());
    assert_eq!((&work["payload"]["jid"], &work["payload"]["class"]), (&json!(jid), &json!("Gate")));
    assert_eq!(work["payload"]["cattr"], json!({"a": []}));

    let all: Value = ruby.call("processes", json!([])).await;
    assert_eq!((&all["size"], &all["leader"]), (&json!(2), &json!("")));
    assert_eq!(all["total_concurrency"], 7);
    let each = all["each"].as_array().unwrap();
    let rss: u64 = each.iter().map(|process| process["rss"].as_u64().unwrap()).sum();
    assert_eq!((all["total_rss"].as_u64(), each.len()), (Some(rss), 2));
    for process in each {
        let identity = process["identity"].as_str().unwrap();
        let pid = format!(":{}:", process["pid"]);
        assert!(identity.starts_with(process["hostname"].as_str().unwrap()));
        assert!(identity.contains(&pid) && process["rss"].as_u64() > Some(1_000), "{process}");
        assert!(process["rtt_us"].as_u64() > Some(0), "{process}");
        assert_eq!(
            (&process["tag"], &process["labels"]),
            (&json!(env!("CARGO_PKG_NAME")), &json!([]))
        );
        assert_eq!(process["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!((&process["quiet"], &process["stopping?"]), (&json!("false"), &json!(false)));
        assert!(process["queues"].as_array().unwrap().contains(&json!("default")), "{process}");
        close(&process["started_at"], now());
        close(&process["beat"], now());
    }
    let busy = |process: &&Value| process["busy"] == 1 && seen["each"][0][0] == process["identity"];
    assert_eq!(each.iter().filter(busy).count(), 1);
}

#[tokio::test]
async fn commands_arrive() {
    let Some((server, mut ruby)) = Session::begin("api.rb").await else { return };
    let mut child = Child::of(&server);
    let identity = child.identity(&server).await;
    let jobs = client(&server);
    let jid = jobs.enqueue(Gate { name: "runs".into() }).await.unwrap();
    notes(&server, "start runs").await;
    let _: Option<()> = ruby.call("command", json!(["dump_threads"])).await;
    child.logs(&format!("Gate {jid} on default")).await;
    let _: Option<()> = ruby.call("command", json!(["quiet!"])).await;
    let quiet = async || server.query::<String>(&format!("HGET {identity} quiet")).await == "true";
    eventually("it is quiet", quiet).await;
    let all: Value = ruby.call("processes", json!([])).await;
    assert_eq!(all["each"][0]["stopping?"], true);
    jobs.enqueue(Note { name: "for others".into() }).await.unwrap();
    let () = server.query("SET test:gate open").await;
    notes(&server, "end runs").await;
    let _: Option<()> = ruby.call("command", json!(["stop!"])).await;
    assert_eq!(child.ended().await, Some(0), "{}", child.log());
    let all: Value = ruby.call("processes", json!([])).await;
    assert_eq!((&all["size"], server.query::<u32>("LLEN queue:default").await), (&json!(0), 1));
}

#[tokio::test]
async fn the_monitor_prints_us() {
    if !ruby::is_here() {
        return;
    }
    let server = Server::start().await;
    let child = Child::of(&server);
    let identity = child.identity(&server).await;
    child.signal("TSTP");
    let quiet = async || server.query::<String>(&format!("HGET {identity} quiet")).await == "true";
    eventually("it is quiet", quiet).await;
    client(&server).enqueue(Nap { millis: 0 }).await.unwrap();
    let text = ruby::prints(&server, "sidekiqmon").await;
    let line = |words: &str| assert!(text.contains(words), "no {words:?} in {text}");
    line("---- Processes (1) ----");
    line(&format!("{identity} [{}] [quiet]", env!("CARGO_PKG_NAME")));
    line("Threads: 10 (0 busy)");
    line("Enqueued: 1");
    line("---- Queues (1) ----");
    let queue = text.lines().find(|line| line.starts_with("default")).expect("the queue");
    assert_eq!(queue.split_whitespace().nth(1), Some("1"), "{text}");
}
