//! Payloads that were made to do harm, or by mistake: by way of a queue, of the timed sets, and
//! of a process that died. Each ends where it belongs with what it had, and none holds up another.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{Payload, Registry, WorkerOptions};
use serde_json::value::RawValue;
use serde_json::{Value, json};

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

/// What has to become of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// In the dead set, byte for byte.
    AsItIs,
    /// In the dead set, with the reason.
    Dead,
    Retry,
    Ran,
    Dropped,
}
use End::{AsItIs, Dead, Dropped, Ran, Retry};

/// Something no log may show.
const SECRET: &str = "s3cret";
/// What nobody understands, and has to stay as it is.
const FOREIGN: &str = r#""x":[1.0,1E+2,-0,1e400,123456789012345678901234567890,"\ud800\u0000",{"b":1,"a":{}}],"\u0079":"z""#;

/// What is no payload at all.
fn bad_json() -> Vec<Vec<u8>> {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let job = |args: &str| format!(r#"{{"class":"Any","args":{args},"jid":"{SECRET}"}}"#);
    let texts = [
        String::new(),
        "nonsense".into(),
        format!("\"{SECRET}\""),
        format!("[{{\"class\":\"{SECRET}\"}}]"),
        "null".into(),
        "12345".into(),
        "{".into(),
        format!("{{\"class\":\"Any\",\"{SECRET}"),
        format!("{{\"class\":\"Any\",\"args\":[\"{SECRET}"),
        format!("{} {SECRET}", job("[]")),
        format!("{{\"class\":\"Any\",\"args\":[],}}{SECRET}"),
        format!("{{'class':'Any','args':['{SECRET}']}}"),
        job("[NaN]"),
        job("[01]"),
        format!("\u{feff}{}", job("[]")),
        "[".repeat(1_000_000),
        "{\"a\":".repeat(1_000_000),
        deep(1_000_000),
        job(&deep(1_000_000)),
        job(&deep(100)),
        job(&"[".repeat(200)),
        format!("{{\"class\":\"Good\",\"args\":[7],\"deep\":{}}}", deep(500_000)),
        job("[\"a raw nul: \0\"]"),
        "\0".into(),
        format!("{{\"class\":\"Any\",\"args\":[],\"\\ud800\":\"{SECRET}\"}}"),
    ];
    let mut all: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    for (before, after) in [
        ("{\"class\":\"Any", "\",\"args\":[]}"),
        ("{\"class\":\"Any\",\"args\":[\"", "\"]}"),
        ("{\"class\":\"Any\",\"args\":[],\"jid\":\"", "\"}"),
        ("{\"class\":\"Any\",\"args\":[],\"", "\":1}"),
        ("", "{\"class\":\"Any\",\"args\":[]}"),
    ] {
        all.push([before.as_bytes(), b"\xc3\x28", after.as_bytes()].concat());
    }
    all
}

/// Fields of a job, some of them odd, and its end.
fn odd_jobs() -> Vec<(String, End)> {
    let long = "C".repeat(1_000_000);
    let digits = "9".repeat(400);
    let mut jobs = Vec::new();
    let mut add = |end: End, fields: String| jobs.push((fields, end));
    // nobody knows what to run
    for class in ["7", "null", "[]", "{}", "\"\"", "true", "1e400", "\"\\ud800\""] {
        add(Dead, format!(r#""class":{class},"args":[]"#));
    }
    add(Dead, r#""args":[]"#.into());
    add(Dead, r#""class":7,"args":[],"retry":false,"dead":false"#.into());
    add(Retry, format!(r#""class":"{long}","args":[]"#));
    add(Retry, r#""class":"two\r\nlines WARN forged=\"yes\"","args":[]"#.into());
    add(Retry, r#""class":"\u001b[31mred\u0007\u0000","args":[]"#.into());
    add(Dead, r#""class":"Unknown","args":[],"retry":false"#.into());
    // or with what
    for args in ["null", "{}", "7", "\"[7]\"", "[]", "[null]", "[7,8]", "[1e400]", "[\"\\ud800\"]"]
    {
        add(Retry, format!(r#""class":"Good","args":{args}"#));
    }
    add(Retry, r#""class":"Good""#.into());
    add(Retry, format!(r#""class":"Good","args":[{digits}]"#));
    add(Retry, r#""class":"Any","args":[1e400]"#.into());
    add(Retry, format!(r#""class":"Good","args":["{long}"]"#));
    add(Ran, r#""class":"Any","args":["\u0000"]"#.into());
    add(Ran, format!(r#""class":"Any","args":[{}{}]"#, "[".repeat(97), "]".repeat(97)));
    add(Ran, r#""class":"Fails","class":"Any","args":[],"args":[1]"#.into());
    add(Ran, r#""cl\u0061ss":"Any","args":[1]"#.into());
    // very much of it
    let numbered = |n: usize| format!("\"a{n}\":{n}");
    let many: Vec<String> = (0..100_000).map(numbered).collect();
    let twins = vec!["\"twin\":[1.0]"; 100_000].join(",");
    for class in ["Unknown", "Fails"] {
        add(Retry, format!(r#""class":"{class}","args":[],{}"#, many.join(",")));
        add(Retry, format!(r#""class":"{class}","args":[],{twins}"#));
    }
    // how often
    for retry in ["1e400", "-1", "1.5", "null", "{}", "[]", "\"5\"", "\"x\"", &digits] {
        add(Retry, format!(r#""class":"Fails","args":[],"retry":{retry}"#));
        add(Retry, format!(r#""class":"Fails","args":[],"retry_count":{retry}"#));
        add(Retry, format!(r#""class":"Fails","args":[],"failed_at":{retry},"retry_count":3"#));
    }
    for retry_for in ["1e400", "null", "{}", "\"60\"", "1e300", &digits] {
        add(Retry, format!(r#""class":"Fails","args":[],"retry_for":{retry_for}"#));
    }
    add(Dead, r#""class":"Fails","args":[],"retry_for":-1"#.into());
    add(
        Dead,
        r#""class":"Fails","args":[],"retry_for":5,"retry_count":0,"failed_at":1e-300"#.into(),
    );
    add(Dead, r#""class":"Fails","args":[],"retry":0"#.into());
    add(Dead, r#""class":"Fails","args":[],"retry":0,"dead":"false""#.into());
    add(Dropped, r#""class":"Fails","args":[],"retry":0,"dead":false"#.into());
    add(Dropped, r#""class":"Fails","args":[],"retry":false"#.into());
    for count in ["24", "4294967295", "4294967296", "18446744073709551615"] {
        add(Dead, format!(r#""class":"Fails","args":[],"retry_count":{count}"#));
    }
    for field in
        ["dead", "retried_at", "error_class", "error_message", "enqueued_at", "retry_queue"]
    {
        for value in ["7", "null", "[]", "{}", "\"\"", "1e400"] {
            add(Retry, format!(r#""class":"Fails","args":[],"{field}":{value}"#));
        }
    }
    for field in
        ["at", "created_at", "enqueued_at", "queue", "timeout", "unique_for", "cattr", "bid"]
    {
        for value in ["7", "null", "[]", "\"\"", "1e400"] {
            add(Ran, format!(r#""class":"Any","args":[1],"{field}":{value}"#));
        }
    }
    // who
    for jid in
        ["7", "null", "[]", "\"\"", "\"*\"", "\"\\u0000\\n\"", "\"../x\"", "\"same\"", "\"same\""]
    {
        add(Ran, format!(r#""class":"Steps","args":[],"jid":{jid}"#));
        add(Retry, format!(r#""class":"Fails","args":[],"jid":{jid}"#));
    }
    add(Ran, format!(r#""class":"Steps","args":[],"jid":"{long}""#));
    add(Retry, format!(r#""class":"Fails","args":[],"jid":"{long}""#));
    jobs
}

struct Case {
    bytes: Vec<u8>,
    end: End,
}

/// All of them, each with a mark of its own and with what nobody understands.
fn cases() -> Vec<Case> {
    let bad = bad_json().into_iter().map(|bytes| Case { bytes, end: AsItIs });
    let odd = odd_jobs().into_iter().enumerate().map(|(n, (fields, end))| {
        let bytes = format!("{{\"mark\":{n},{fields},{FOREIGN}}}").into_bytes();
        Case { bytes, end }
    });
    let mut all: Vec<Case> = bad.chain(odd).collect();
    fastrand::shuffle(&mut all);
    all
}

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
    let fixed = ["class", "args", "retry", "retry_for", "dead", "at", "created_at"];
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
        records.arg(format!("1:{n}")).arg([&b"7:default"[..], &case.bytes].concat());
    }
    // what is no record of ours stays where it is, and in nobody's way
    for bad in ["", "7", "x:y", "99:short", "-1:a"] {
        records.arg(format!("2:{bad}")).arg(bad);
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
