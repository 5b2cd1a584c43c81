//! Payloads that were made to do harm, or by mistake: by way of a queue, of the timed sets, and
//! of a process that died. Each ends where it belongs with what it had, and none holds up another.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{Payload, Registry, WorkerOptions};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::hostile_cases::End::{AsItIs, Dead, Dropped, Ran, Retry};
use crate::hostile_cases::{Case, End, FOREIGN, SECRET, cases};
use crate::lost_replies::held;
use crate::support::{Diary, Log, Running, Server, brisk, client, eventually};

job!(Good { mark: u32 }, |this, cx| {
    cx.app.note(format!("good {}", this.mark));
    Ok(())
});
job!(Any { value: Value }, |_this, cx| {
    cx.app.note("any");
    Ok(())
});
job!(Steps {}, |_this, cx| {
    let from = cx.cursor::<u32>().await?.unwrap_or(0);
    cx.checkpoint(from + 1).await?;
    cx.app.note("steps");
    Ok(())
});
job!(Fails {}, |_this, cx| {
    cx.app.note("fails");
    anyhow::bail!("no luck")
});

fn registry(diary: &Diary) -> Registry<Diary> {
    Registry::new(diary.clone()).job::<Good>().job::<Any>().job::<Steps>().job::<Fails>()
}

fn options() -> WorkerOptions {
    WorkerOptions { ttl: Duration::from_secs(5), ..brisk() }
}

/// Waits until everything is where it belongs, stops the worker, and looks.
async fn all_end_well(server: &Server, diary: &Diary, worker: Running, cases: &[Case]) {
    let ends = |end: End| cases.iter().filter(|case| case.end == end).count();
    let count = async |command: &str| server.query::<Option<usize>>(command).await.unwrap_or(0);
    eventually("all ran that can", async || diary.count("any") + diary.count("steps") >= ends(Ran))
        .await;
    let dead = ends(AsItIs) + ends(Dead);
    eventually("the dead are there", async || count("ZCARD dead").await == dead).await;
    eventually("the others wait", async || count("ZCARD retry").await == ends(Retry)).await;
    eventually("nothing is in flight", async || held(server).await == 0).await;
    client(server).enqueue(Good { mark: 0 }).await.unwrap();
    eventually("a good one runs", async || diary.count("good 0") == 1).await;
    worker.stop().await;
    assert_eq!(diary.count("any") + diary.count("steps"), ends(Ran), "each once");
    assert_eq!(count("HGET roustabout:counters buried").await, dead);
    assert_eq!(count("HGET roustabout:counters discarded").await, ends(Dropped));
    assert_eq!(count("EXISTS queue:default schedule roustabout:owners").await, 0);
    let cursors: Vec<Vec<u8>> = server.query("KEYS it-*").await;
    assert!(cursors.is_empty(), "{cursors:?}");
    let mut found: BTreeMap<End, Vec<Vec<u8>>> = BTreeMap::new();
    let all_dead: Vec<Vec<u8>> = server.query("ZRANGE dead 0 -1").await;
    for payload in all_dead {
        let untouched = cases.iter().any(|case| case.bytes == payload);
        found.entry(if untouched { AsItIs } else { Dead }).or_default().push(payload);
    }
    found.insert(Retry, server.query("ZRANGE retry 0 -1").await);
    for case in cases {
        let shown = String::from_utf8_lossy(&case.bytes[..case.bytes.len().min(200)]);
        let there = found.get(&case.end).map_or(&[][..], Vec::as_slice);
        match case.end {
            AsItIs => assert!(there.contains(&case.bytes), "{shown}"),
            Dead | Retry => assert!(there.iter().any(|after| keeps(&case.bytes, after)), "{shown}"),
            Ran | Dropped => {}
        }
    }
}

/// Whether this is the same job after a failure, with all that no failure is to change.
fn keeps(before: &[u8], after: &[u8]) -> bool {
    let mark = |payload: &[u8]| payload.split(|byte| *byte == b',').next().map(<[u8]>::to_vec);
    if mark(before) != mark(after) {
        return false;
    }
    let text = String::from_utf8(after.to_vec()).expect("UTF-8");
    let (before, after) = (Payload::parse(before).unwrap(), Payload::parse(after).unwrap());
    let same = |field: &&str| {
        let raw =
            |payload: &Payload| payload.get::<Box<RawValue>>(field).map(|raw| raw.to_string());
        raw(&before) == raw(&after)
    };
    let fixed = ["class", "args", "retry_for", "dead", "at", "created_at"];
    // a payload without `retry` gets the job's own
    let ruled = before.get::<Value>("retry").is_none_or(|retry| retry.is_null());
    assert!(ruled || same(&"retry"), "{text:.300}");
    assert_eq!(after.get::<String>("queue").as_deref(), Some("default"), "{text:.300}");
    let changed = fixed.iter().find(|field| !same(field));
    assert_eq!(changed, None, "{text:.300}");
    text.contains(&FOREIGN.replace("\\u0079", "y")) && after.get::<String>("error_class").is_some()
}

#[tokio::test]
async fn from_a_queue() {
    let (log, _guard) = Log::catch();
    let (server, diary, cases) = (Server::start().await, Diary::default(), cases());
    let mut connection = server.connect().await;
    for case in &cases {
        let () = connection.lpush("queue:default", &case.bytes).await.unwrap();
    }
    let worker = Running::start(options(), server.redis(), registry(&diary));
    all_end_well(&server, &diary, worker, &cases).await;
    let failed = cases.iter().filter(|case| case.end != Ran).count();
    assert_eq!(server.query::<usize>("GET stat:failed").await, failed);
    assert_eq!(server.query::<usize>("GET stat:processed").await, cases.len() + 1);
    let lines = log.lines();
    for line in &lines {
        assert!(line.starts_with("20") && line.len() < 11_000, "forged or too long: {line:.300}");
        assert!(!line.contains(SECRET) && !line.contains(char::is_control), "{line:.300}");
    }
    let reasons: Vec<&String> =
        lines.iter().filter(|line| line.contains("error.class=\"BadJson\"")).collect();
    let unclear = cases.iter().filter(|case| case.end == AsItIs).count() + 10;
    assert_eq!(reasons.len(), unclear, "{reasons:#?}");
    let cut = "queue=\"default\" bytes=30 ";
    let place = "EOF while parsing a string at line 1 column 30";
    let telling = |line: &&&String| line.contains(cut) && line.contains(place);
    assert_eq!(reasons.iter().filter(telling).count(), 1, "{reasons:#?}");
}

#[tokio::test]
async fn from_the_timed_sets() {
    let (server, diary, cases) = (Server::start().await, Diary::default(), cases());
    let mut connection = server.connect().await;
    for (n, case) in cases.iter().enumerate() {
        let set = ["schedule", "retry"][n % 2];
        let () = connection.zadd(set, &case.bytes, n).await.unwrap();
    }
    // the last of all to be due
    let good = json!({"class": "Good", "args": [1], "jid": "good"}).to_string();
    let () = connection.zadd("schedule", good, 1_000_000).await.unwrap();
    let worker = Running::start(options(), server.redis(), registry(&diary));
    eventually("the last one runs", async || diary.count("good 1") == 1).await;
    all_end_well(&server, &diary, worker, &cases).await;
}

#[tokio::test]
async fn the_dead_set_stays_in_bounds() {
    let (log, _guard) = Log::catch();
    let (server, diary) = (Server::start().await, Diary::default());
    let mut connection = server.connect().await;
    let full = "for n = 1, 9999 do redis.call('ZADD', 'dead', 2e9, n) end redis.call('ZADD', 'dead', 1, 'old')";
    let () = redis::cmd("EVAL").arg(full).arg(0).query_async(&mut connection).await.unwrap();
    for n in 0..3 {
        let () = connection.zadd("schedule", format!("nonsense {n}"), n).await.unwrap();
    }
    let worker = Running::start(options(), server.redis(), registry(&diary));
    let done = async || server.query::<u32>("EXISTS schedule").await == 0;
    eventually("they are buried", done).await;
    worker.stop().await;
    // Sidekiq's rule of trimming keeps one less than 10,000
    assert_eq!(server.query::<u32>("ZCARD dead").await, 9_999);
    assert_eq!(server.query::<Option<u32>>("ZSCORE dead old").await, None);
    let counters: Vec<String> = server.query("HMGET roustabout:counters buried dead_trimmed").await;
    assert_eq!(counters, ["3", "4"]);
    assert!(log.count("the dead set was full") > 0, "{:#?}", log.lines());
}

#[tokio::test]
async fn from_a_process_that_died() {
    let (server, diary, cases) = (Server::start().await, Diary::default(), cases());
    let mut connection = server.connect().await;
    let mut records = redis::cmd("HSET");
    records.arg("roustabout:inflight:ghost");
    for (n, case) in cases.iter().enumerate() {
        records.arg(format!("1:{n}:default")).arg(&case.bytes);
    }
    // what is no record of ours stays where it is, and in nobody's way
    for bad in ["", "7", "x:1:default", "99:short", "-1:2:default"] {
        records.arg(bad).arg("{}");
    }
    let () = records.query_async(&mut connection).await.unwrap();
    let () = connection.sadd("roustabout:owners", "ghost").await.unwrap();
    let worker = Running::start(options(), server.redis(), registry(&diary));
    eventually("only the others are left", async || {
        server.query::<usize>("HLEN roustabout:inflight:ghost").await == 5
    })
    .await;
    let () = connection.del("roustabout:inflight:ghost").await.unwrap();
    let forgotten = async || server.query::<u32>("SISMEMBER roustabout:owners ghost").await == 0;
    eventually("the dead process is forgotten", forgotten).await;
    all_end_well(&server, &diary, worker, &cases).await;
    let rescued = server.query::<usize>("HGET roustabout:counters rescued").await;
    assert_eq!(rescued, cases.len());
}
