//! Without Redis, or with one that is full.

use std::io::Write;
use std::time::Duration;

use crate::http::read;
use crate::support::{DEADLINE, Redis, Web, wait_for, worker};

#[test]
fn without_redis_web_serves_and_says_why_it_cannot() {
    let mut redis = Redis::absent();
    let web = Web::start(&redis, &[]);
    assert_eq!(web.get("/health").status, 200);
    assert_eq!(web.get("/").status, 200);
    for answer in
        [web.get("/ready"), web.get("/records"), web.get("/imports/0123456789abcdef01234567")]
    {
        assert_eq!(answer.status, 503);
        assert!(answer.error().contains("Redis"));
    }
    let refused = web.import("", "id\n1\n");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some() && refused.error().contains("Redis"));
    // What is wrong with the file itself is said all the same.
    assert_eq!(web.import("", "id,id\n1,2\n").status, 400);
    redis.run();
    wait_for("web to find Redis", || (web.get("/ready").status == 200).then_some(()));
    assert_eq!(web.import("", "id\n1\n").status, 202);
}

#[test]
fn an_upload_that_would_fill_redis_is_not_begun() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let info: String = redis.ask(&["INFO", "memory"]);
    let used =
        info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().to_owned();
    let limit = used.parse::<usize>().unwrap() + 1024 * 1024;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    // Five times this is more than a mebibyte.
    let rows: String = (0..40_000).map(|n| format!("{n},x\n")).collect();
    let refused = web.import("", format!("id,text\n{rows}"));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some() && refused.error().contains("memory"));
    assert_eq!(redis.ask::<Vec<String>>(&["KEYS", "roustabout:import*"]).len(), 0);
    assert_eq!(web.import("", "id,text\n1,x\n").status, 202);
}

#[test]
fn a_redis_full_of_other_data_refuses_uploads_with_the_reason_until_there_is_room() {
    let redis = Redis::start();
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "25mb"]);
    let web = Web::ready(&redis, &[]);
    let waiting = web.imported("", "id\n1\n");
    let set = |n: usize, size: usize| {
        let (key, value) = (format!("foreign:{n}"), "x".repeat(size));
        redis.try_ask::<()>(&["SET", &key, &value]).is_ok()
    };
    let mut n = 0;
    for size in [1_000_000, 10_000, 100] {
        while set(n, size) {
            n += 1;
        }
    }
    // a few free bytes come and go with every connection
    let rows: String = (0..20_000).map(|n| format!("{n},x\n")).collect();
    for _ in 0..3 {
        let refused = web.import("", format!("id,text\n{rows}"));
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some() && refused.error().contains("memory"));
    }
    assert_eq!(web.get("/health").status, 200);
    assert_eq!(web.get(&format!("/imports/{waiting}")).json()["state"], "queued");
    let _worker = worker(&redis, &[]);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(web.settled(&waiting)["state"], "done");
    assert_eq!(web.import("", "id\n2\n").status, 202);
}

// a platform sends what it held during the boot as soon as the port is open
#[test]
fn the_first_requests_wait_for_the_first_connection() {
    let redis = Redis::start();
    redis.signal("STOP");
    let web = Web::start(&redis, &[]);
    let head = [("content-type", "text/csv"), ("content-length", "5")];
    let mut socket = web.begin("POST", "/imports", &head);
    socket.write_all(b"id\n1\n").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(socket.peek(&mut [0]).is_err(), "answered without a connection");
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    redis.signal("CONT");
    assert_eq!(read(socket).status, 202);
}
