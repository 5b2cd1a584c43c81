//! From the upload to the records, interrupted or not.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::support::{Redis, Web, wait_for, worker};

/// The records of `web`, whose Redis has seen nothing but `file`.
fn records_of(query: &str, file: &[u8]) -> (Value, Value) {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let _worker = worker(&redis, &[]);
    let import = web.settled(&web.imported(query, file));
    (import, web.get("/records").json())
}

#[test]
fn files_as_programs_write_them_give_the_same_records() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let _worker = worker(&redis, &[]);
    let expected =
        json!([{ "id": "1", "name": "Zoë, \"Z\"" }, { "id": "2", "name": "two\nlines" }]);
    for file in [
        "id,name\n1,\"Zoë, \"\"Z\"\"\"\n2,\"two\nlines\"\n",
        "id,name\r\n1,\"Zoë, \"\"Z\"\"\"\r\n2,\"two\nlines\"\r\n",
        "\u{feff}id;name\r\n1;\"Zoë, \"\"Z\"\"\"\r\n2;\"two\nlines\"",
        "id\tname\n1\t\"Zoë, \"\"Z\"\"\"\n2\t\"two\nlines\"\n\n",
        "\"id\",\"name\"\n\"1\",\"Zoë, \"\"Z\"\"\"\n\"2\",\"two\nlines\"\n",
    ] {
        redis.ask::<()>(&["DEL", "roustabout:records", "roustabout:records:keys"]);
        let import = web.settled(&web.imported("", file));
        assert_eq!(
            (&import["state"], &import["accepted"]),
            (&"done".into(), &2.into()),
            "{file:?}"
        );
        assert_eq!(web.get("/records").json(), expected, "{file:?}");
    }
}

#[test]
fn bad_rows_are_told_by_line_and_the_rest_goes_in() {
    let file = b"id,name\r\n1,a\r\n2\r\n\r\n3,\"two\r\nlines\"\r\n4,d,e\r\n,f\r\n1,again\r\n";
    let (import, records) = records_of("", file);
    assert_eq!(import["state"], "done");
    assert_eq!(
        (&import["processed"], &import["total"], &import["accepted"]),
        (&6.into(), &6.into(), &3.into())
    );
    assert_eq!(
        import["rejected"],
        json!([
            { "line": 3, "reason": "too few fields: 1 instead of 2" },
            { "line": 7, "reason": "too many fields: 3 instead of 2" },
            { "line": 8, "reason": "the key column \"id\" is empty" },
        ])
    );
    assert_eq!(
        records,
        json!([{ "id": "1", "name": "again" }, { "id": "3", "name": "two\r\nlines" }])
    );
}

#[test]
fn another_column_can_be_the_key_and_a_repeat_leaves_one_record() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let _worker = worker(&redis, &[]);
    for _ in 0..2 {
        web.settled(&web.imported("?key=name", "id,name\n1,b\n2,a\n3,c\n"));
    }
    let names = |path| {
        let records = web.get(path).json();
        records.as_array().unwrap().iter().map(|record| record["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("/records"), ["a", "b", "c"]);
    assert_eq!(names("/records?limit=2"), ["a", "b"]);
    assert_eq!(names("/records?limit=0").len(), 0);
    assert_eq!(names("/records?limit=1000000").len(), 3);
    assert_eq!(web.get("/records?limit=x").status, 400);
}

#[test]
fn a_large_field_and_many_rejections_are_fine() {
    let mut file = format!("id,text\n0,\"{}\"\n", "x".repeat(1_000_000));
    (0..2500).for_each(|_| file.push_str("too,many,fields\n"));
    let (import, records) = records_of("", file.as_bytes());
    assert_eq!((&import["processed"], &import["accepted"]), (&2501.into(), &1.into()));
    assert_eq!(import["rejected"].as_array().unwrap().len(), 1000);
    assert_eq!(records[0]["text"].as_str().unwrap().len(), 1_000_000);
}

#[test]
fn the_event_stream_tells_the_same_until_the_end() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n2\n");
    let events = web.events(&jid);
    let _worker = worker(&redis, &[]);
    let told: Vec<Value> = events
        .filter_map(|line| {
            line.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap())
        })
        .collect();
    assert_eq!(told.first().unwrap()["state"], "queued");
    assert_eq!(*told.last().unwrap(), web.get(&format!("/imports/{jid}")).json());
    assert_eq!(told.last().unwrap()["state"], "done");
    assert_eq!(web.get("/imports/000000000000000000000000/events").status, 404);
    assert_eq!(web.get("/imports/000000000000000000000000").status, 404);
    assert_eq!(web.get(&format!("/imports/{jid}:body")).status, 404);
    assert_eq!(web.get("/imports/%ff").status, 404);
}

/// 120,000 rows, every hundredth bad, keys used several times over.
pub fn long_file() -> String {
    let mut file = String::from("id,name,text\r\n");
    for row in 0..120_000 {
        match row % 100 {
            99 => writeln!(file, "{row},too few\r").unwrap(),
            _ => writeln!(file, "{},name {row},\"quoted\r\n{row}\"\r", row % 20_000).unwrap(),
        }
    }
    file
}

/// What an import came to: its numbers and all records, as Redis has them but for the time.
fn outcome(redis: &Redis, web: &Web, jid: &str) -> (Value, Vec<(String, String)>, Vec<String>) {
    let mut import = web.settled(jid);
    import["jid"].take();
    import["interruptions"].take();
    let records: Vec<(String, String)> = redis.ask(&["HGETALL", "roustabout:records"]);
    let mut records: Vec<_> = records
        .into_iter()
        .map(|(key, record)| (key, record.split_once(' ').unwrap().1.to_owned()))
        .collect();
    records.sort();
    (import, records, redis.ask(&["ZRANGE", "roustabout:records:keys", "0", "-1"]))
}

#[test]
fn kills_and_stops_in_the_middle_do_not_show_in_the_result() {
    let file = long_file();
    let (calm, rough) = (Redis::start(), Redis::start());
    let web = Web::ready(&calm, &[]);
    let _worker = worker(&calm, &[]);
    let expected = outcome(&calm, &web, &web.imported("", &file));

    let web = Web::ready(&rough, &[]);
    let jid = web.imported("", &file);
    let processed = || web.get(&format!("/imports/{jid}")).json()["processed"].as_u64().unwrap();
    // INT with TERM behind it is Ctrl-C under foreman
    let blows: [(&[&str], u64); 4] =
        [(&["TERM"], 1), (&["KILL"], 10_000), (&["INT", "TERM"], 25_000), (&["KILL"], 45_000)];
    for (signals, rows) in blows {
        let mut worker = worker(&rough, &[]);
        wait_for("some rows", || (processed() >= rows).then_some(()));
        signals.iter().for_each(|signal| worker.signal(signal));
        let killed = signals.contains(&"KILL");
        assert_eq!(worker.end().code(), if killed { None } else { Some(0) }, "{signals:?}");
    }
    assert!(processed() < 120_000, "the file is too short for this machine");
    let _worker = worker(&rough, &[]);
    assert!(outcome(&rough, &web, &jid) == expected, "the result differs");
    assert!(web.get(&format!("/imports/{jid}")).json()["interruptions"].as_u64().unwrap() >= 2);
    assert_eq!(rough.ask::<usize>(&["EXISTS", &format!("roustabout:import:{jid}:body")]), 0);
}

#[test]
fn an_import_whose_file_is_gone_fails_for_good() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n");
    redis.ask::<()>(&["DEL", &format!("roustabout:import:{jid}:body")]);
    let _worker = worker(&redis, &[]);
    assert_eq!(web.settled(&jid)["state"], "failed");
    wait_for("the job to be buried", || {
        (redis.ask::<usize>(&["ZCARD", "dead"]) == 1).then_some(())
    });
}

#[test]
fn pruning_removes_what_is_older_than_a_week_and_nothing_else() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let _worker = worker(&redis, &[]);
    web.settled(&web.imported("", "id\nfresh\n"));
    for number in 0..1000 {
        let key = format!("old {number}");
        redis.ask::<()>(&["HSET", "roustabout:records", &key, "1000000000 {}"]);
        redis.ask::<()>(&["ZADD", "roustabout:records:keys", "0", &key]);
    }
    let job = json!({ "class": "PruneImports", "args": [], "jid": "cccccccccccccccccccccccc" });
    redis.ask::<()>(&["LPUSH", "queue:default", &job.to_string()]);
    wait_for("the old records to go", || {
        (redis.ask::<usize>(&["HLEN", "roustabout:records"]) == 1).then_some(())
    });
    wait_for("their keys to go", || {
        (redis.ask::<usize>(&["ZCARD", "roustabout:records:keys"]) == 1).then_some(())
    });
    assert_eq!(web.get("/records").json(), json!([{ "id": "fresh" }]));
}

#[test]
fn a_run_after_the_end_changes_nothing() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n");
    let job: String = redis.ask(&["LINDEX", "queue:imports", "0"]);
    let _worker = worker(&redis, &[]);
    let import = web.settled(&jid);
    redis.ask::<()>(&["LPUSH", "queue:imports", &job]);
    // Counted by the heartbeat, so this is not there at once.
    wait_for("the second run", || {
        let processed: Option<u64> = redis.ask(&["GET", "stat:processed"]);
        (processed == Some(2)).then_some(())
    });
    assert_eq!(web.get(&format!("/imports/{jid}")).json(), import);
    assert_eq!(redis.ask::<usize>(&["ZCARD", "retry"]) + redis.ask::<usize>(&["ZCARD", "dead"]), 0);
}

#[test]
fn an_import_that_cannot_go_on_is_failed_after_its_last_attempt() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n");
    redis.ask::<()>(&["SET", &format!("roustabout:import:{jid}:body"), "not what was stored"]);
    let mut job: Value =
        serde_json::from_str(&redis.ask::<String>(&["LPOP", "queue:imports"])).unwrap();
    job["retry"] = 0.into();
    redis.ask::<()>(&["LPUSH", "queue:imports", &job.to_string()]);
    let _worker = worker(&redis, &[]);
    assert_eq!(web.settled(&jid)["state"], "failed");
}

#[test]
fn an_import_that_somebody_buried_is_failed() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n");
    let job: String = redis.ask(&["RPOP", "queue:imports"]);
    let () = redis.ask(&["ZADD", "dead", "1", &job]);
    assert_eq!(web.get(&format!("/imports/{jid}")).json()["state"], "failed");
    assert!(web.events(&jid).any(|line| line.contains("failed")));
}
