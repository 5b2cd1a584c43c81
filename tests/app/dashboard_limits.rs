//! The dashboard of a Redis that is full, read-only, away, or full of strange things.

use crate::dashboard::{PAGES, bury, died, job};
use crate::support::{Redis, Web, wait_for};

#[test]
fn a_full_redis_is_named_and_what_frees_memory_works() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    bury(&redis, &["j1", "j2", "j3", "j4"]);
    redis.ask::<()>(&["ZADD", "retry", "9999999999", &job("r1", "")]);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    for path in PAGES {
        let page = web.get(path);
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("Redis is full"), "{path}: {}", page.body);
    }
    let paused = web.told("/dashboard/queues", "action=pause&queue=default");
    assert!(paused.contains("Redis is full") && paused.contains("nothing was changed"), "{paused}");
    let cancelled = web.told("/dashboard/busy", "action=cancel&jid=j1");
    assert!(cancelled.contains("Redis is full"), "{cancelled}");
    let one = format!("action=delete&job={}%7Cj1", died());
    assert_eq!(web.told("/dashboard/dead", &one), "1 job: The job is deleted.");
    assert_eq!(web.told("/dashboard/jobs/j2", "action=delete"), "The job is deleted.");
    assert_eq!(web.told("/dashboard/jobs/j3", "action=retry"), "The job went to its queue.");
    assert_eq!(web.told("/dashboard/retries", "action=kill-all"), "1 job: The job is dead now.");
    assert_eq!(
        web.told("/dashboard/dead?search=r1", "action=retry-all"),
        "1 job: The job went to its queue."
    );
    let left: Vec<String> = redis.ask(&["ZRANGE", "dead", "0", "-1"]);
    assert!(left.len() == 1 && left[0].contains("j4"), "{left:?}");
    assert_eq!(redis.ask::<usize>(&["LLEN", "queue:default"]), 2);
}

#[test]
fn a_read_only_replica_is_named_and_changes_nothing() {
    let redis = Redis::start();
    bury(&redis, &["j1"]);
    redis.ask::<()>(&["SADD", "processes", "p:1:a"]);
    redis.ask::<()>(&["HSET", "p:1:a", "info", "{}", "busy", "0"]);
    let web = Web::ready(&redis, &[]);
    redis.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    for path in PAGES.into_iter().chain(["/dashboard/jobs/j1"]) {
        let page = web.get(path);
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("read-only replica"), "{path}: {}", page.body);
    }
    for (path, form) in [
        ("/dashboard/dead", "action=delete-all"),
        ("/dashboard/dead", &format!("action=retry&job={}%7Cj1", died())),
        ("/dashboard/jobs/j1", "action=delete"),
        ("/dashboard/queues", "action=pause&queue=default"),
        ("/dashboard/processes", "action=stop-all"),
        ("/dashboard/busy", "action=cancel&jid=j1"),
    ] {
        let told = web.told(path, form);
        assert!(
            told.contains("read-only replica") && told.contains("nothing was"),
            "{path}: {told}"
        );
    }
    assert_eq!(redis.ask::<usize>(&["ZCARD", "dead"]), 1);
    assert_eq!(web.get("/ready").status, 503, "such an answer costs the connection");
    redis.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    wait_for("web to be ready", || (web.get("/ready").status == 200).then_some(()));
    assert!(!web.get("/dashboard").body.contains("read-only"));
    assert!(web.told("/dashboard/dead", "action=delete-all").contains("1 job"));
}

#[test]
fn without_redis_a_page_says_so_and_is_there_again_with_it() {
    let mut redis = Redis::absent();
    let web = Web::start(&redis, &[]);
    for path in ["/dashboard", "/dashboard/dead", "/dashboard/jobs/j1"] {
        let page = web.get(path);
        assert_eq!((page.status, page.header("retry-after")), (503, Some("5")), "{path}");
        assert!(page.body.contains("Redis cannot be used now"), "{path}: {}", page.body);
    }
    assert_eq!(web.get("/dashboard/nothing").status, 404);
    redis.run();
    wait_for("Redis", || (web.get("/dashboard").status == 200).then_some(()));
}

#[test]
fn whatever_stands_under_the_keys_there_is_a_page() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let strange = [
        "queues",
        "queue:default",
        "schedule",
        "retry",
        "dead",
        "processes",
        "paused",
        "roustabout:owners",
        "roustabout:rescues",
        "roustabout:counters",
        "roustabout:runs",
        "stat:processed",
        "stat:failed",
        "cron_jobs:roustabout",
    ];
    for other in [["SET", "x", "1"].as_slice(), &["RPUSH", "x"], &["HSET", "x", "f"]] {
        redis.ask::<()>(&["FLUSHALL"]);
        for key in strange {
            let mut command = other.to_vec();
            command[1] = key;
            if other.len() == 2 || other[0] == "HSET" {
                command.push("\u{202e}<script>window.hacked=1</script>");
            }
            redis.ask::<()>(&command);
        }
        for path in PAGES.into_iter().chain(["/dashboard/jobs/j1", "/dashboard/queues/default"]) {
            let page = web.get(path);
            assert!([200, 404].contains(&page.status), "{path}: {page:?}");
            assert!(!page.body.contains("<script>window"), "{path}");
        }
    }
}

#[test]
fn a_button_in_a_row_means_that_row() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    // one without a name beside one with one
    for identity in ["", "p:1:a"] {
        redis.ask::<()>(&["SADD", "processes", identity]);
        redis.ask::<()>(&["HSET", identity, "info", "{}", "busy", "0"]);
    }
    web.told("/dashboard/processes", "action=stop&identity=");
    assert_eq!(redis.ask::<usize>(&["EXISTS", "p:1:a-signals"]), 0);
    web.told("/dashboard/processes", "action=stop-all");
    assert_eq!(redis.ask::<usize>(&["EXISTS", "p:1:a-signals"]), 1);

    // two with the same id: the button of each place acts there
    redis.ask::<()>(&["ZADD", "retry", "9999999999", &job("twin", "")]);
    bury(&redis, &["twin"]);
    let page = web.get("/dashboard/jobs/twin").body;
    let places: Vec<&str> = page
        .split(r#"name="place" value=""#)
        .skip(1)
        .map(|rest| rest.split_once('"').unwrap().0)
        .collect();
    assert_eq!(places.len(), 2, "{page}");
    let dead = places.iter().find(|place| place.starts_with("dead")).unwrap().replace('|', "%7C");
    let told = web.told("/dashboard/jobs/twin", &format!("action=delete&place={dead}"));
    assert_eq!(told, "The job is deleted.");
    let left = ["retry", "dead"].map(|set| redis.ask::<usize>(&["ZCARD", set]));
    assert_eq!(left, [1, 0]);
    // a second click means the same one, and not its twin
    let told = web.told("/dashboard/jobs/twin", &format!("action=delete&place={dead}"));
    assert!(told.contains("not there any more"), "{told}");
    assert_eq!(redis.ask::<usize>(&["ZCARD", "retry"]), 1);
    // without a place it is wherever it is
    let told = web.told("/dashboard/jobs/twin", "action=kill");
    assert_eq!(told, "The job is dead now.");
    // twice
    web.told("/dashboard/jobs/twin", "action=delete");
    let told = web.told("/dashboard/jobs/twin", "action=delete");
    assert!(told.contains("not there any more"), "{told}");
}

#[test]
fn many_clicks_at_once_are_as_one() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jids: Vec<String> = (0..300).map(|n| format!("j{n}")).collect();
    bury(&redis, &jids.iter().map(|jid| &**jid).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for n in 0..8 {
            let web = &web;
            let form = format!("action=retry&job={}%7Cj7", died() + 7);
            let form = if n % 2 == 0 { "action=retry-all".to_owned() } else { form };
            scope.spawn(move || assert_eq!(web.form("/dashboard/dead", &form).status, 303));
        }
    });
    let left = [["ZCARD", "dead"], ["LLEN", "queue:default"]].map(|it| redis.ask::<usize>(&it));
    assert_eq!(left, [0, 300]);
}

#[test]
fn a_job_without_an_id_has_no_page_and_can_be_dealt_with_all_the_same() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    for (at, raw) in [("1", r#"{"class":"A","args":[]}"#), ("2", "no job"), ("inf", "{}")] {
        redis.ask::<()>(&["ZADD", "dead", at, raw]);
    }
    let page = web.get("/dashboard/dead").body;
    assert!(!page.contains("/dashboard/jobs/%3F"), "{page}");
    for (at, left) in [("2", 2), ("inf", 1), ("1", 0)] {
        assert!(page.contains(&format!(r#"value="{at}|?""#)), "{page}");
        web.told("/dashboard/dead", &format!("action=delete&job={at}%7C%3F"));
        assert_eq!(redis.ask::<usize>(&["ZCARD", "dead"]), left);
    }
}

#[test]
fn no_number_is_too_large() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[("HIREFIRE_TOKEN", "t")]);
    let most = u64::MAX.to_string();
    for identity in ["p:1:a", "p:2:b"] {
        redis.ask::<()>(&["SADD", "processes", identity]);
        let numbers = ["busy", &*most, "concurrency", &*most, "rss", "1e300", "beat", "1e300"];
        redis.ask::<()>(&[&["HSET", identity, "info", "{}"], &numbers[..]].concat());
    }
    for what in ["f", "us", "0", "1"] {
        for class in ["A", "B", "\u{202e}", "\\u{202e}"] {
            redis.ask::<()>(&["HSET", "roustabout:runs", &format!("{class}|{what}"), &most]);
        }
    }
    redis.ask::<()>(&["HSET", "roustabout:counters", "rescued", &most]);
    for kind in ["processed", "failed"] {
        redis.ask::<()>(&["SET", &format!("stat:{kind}"), &most]);
    }
    for path in PAGES.into_iter().chain(["/metrics", "/hirefire/t/info"]) {
        assert_eq!(web.get(path).status, 200, "{path}");
    }
}
