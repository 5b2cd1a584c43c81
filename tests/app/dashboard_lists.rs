//! The lists of the dashboard: searched, sorted, in pages; and queues and processes by the
//! thousand.

use crate::dashboard::{PAGES, bury, died};
use crate::support::{Redis, Web};

/// The ids of a list's jobs, in its order.
fn listed(web: &Web, path: &str) -> Vec<String> {
    let page = web.get(path);
    assert_eq!(page.status, 200, "{path}");
    let boxes = page.body.split(r#"name="job" value=""#).skip(1);
    let jid = |rest: &str| rest.split_once('"')?.0.split_once('|').map(|(_, jid)| jid.to_owned());
    boxes.filter_map(jid).collect()
}

#[test]
fn lists_are_searched_sorted_and_in_pages() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    for (n, (class, queue, count, error)) in
        [("B", "x", 3, "E"), ("A", "z", 9, "G"), ("C", "y", 1, "F")].into_iter().enumerate()
    {
        let job = format!(
            r#"{{"class":"{class}","args":["naïve {n}"],"queue":"{queue}","jid":"j{n}","retry_count":{count},"error_class":"{error}","error_message":"no luck"}}"#
        );
        redis.ask::<()>(&["ZADD", "dead", &(died() + n).to_string(), &job]);
        redis.ask::<()>(&["ZADD", "retry", &(9_000_000_000_usize + n).to_string(), &job]);
    }
    for (sort, order) in [
        ("", "j2 j1 j0"),
        ("first", "j0 j1 j2"),
        ("class", "j1 j0 j2"),
        ("queue", "j0 j2 j1"),
        ("failures", "j1 j0 j2"),
        ("error", "j0 j2 j1"),
        ("nonsense", "j2 j1 j0"),
    ] {
        assert_eq!(
            listed(&web, &format!("/dashboard/dead?sort={sort}")).join(" "),
            order,
            "{sort}"
        );
    }
    assert_eq!(listed(&web, "/dashboard/retries"), ["j0", "j1", "j2"], "the next one first");
    for (search, found) in [("NA%C3%8FVE+1", "j1"), ("luck", "j2 j1 j0"), ("%22z%22", "j1")] {
        assert_eq!(listed(&web, &format!("/dashboard/dead?search={search}")).join(" "), found);
    }
    let none = web.get("/dashboard/dead?search=nowhere").body;
    assert!(none.contains("Nothing matches") && none.contains("show all"), "{none}");
    let beyond = web.get("/dashboard/dead?from=50").body;
    assert!(beyond.contains("The list ends before this page") && beyond.contains(">first<"));
    // what has moved while somebody looked at it
    redis.ask::<()>(&["DEL", "dead"]);
    let told = web.told("/dashboard/dead", &format!("action=retry&job={}%7Cj0", died()));
    assert_eq!(told, "Nothing was changed: no such job is there any more.");
}

#[test]
fn thousands_of_queues_and_processes_make_no_endless_page() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let many = "for n = 1, 3000 do
        redis.call('SADD', 'queues', 'q' .. n) redis.call('SADD', 'paused', 'q' .. n)
        redis.call('RPUSH', 'queue:q' .. n, '{}')
        redis.call('SADD', 'processes', 'p' .. n) redis.call('HSET', 'p' .. n, 'info', '{}')
        redis.call('HSET', 'roustabout:runs', 'C' .. n .. '|3', 1)
        redis.call('SADD', 'cron_jobs', 'cron_job:l' .. n)
        redis.call('HSET', 'cron_job:l' .. n, 'name', 'l' .. n, 'cron', '* * * * *')
        end";
    redis.ask::<()>(&["EVAL", many, "0"]);
    bury(&redis, &["j1"]);
    for path in PAGES {
        let page = web.get(path);
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.len() < 100_000, "{path}: {} bytes", page.body.len());
    }
    let last = web.get("/dashboard/queues?from=2950").body;
    assert!(last.contains("of 3,0") && last.contains(">first<"), "{last}");
}

#[test]
fn whoever_would_kill_more_than_the_dead_set_keeps_is_warned() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let fill = "for n = 1, 10001 do redis.call('ZADD', 'retry', 9000000000 + n, \
        '{\"class\":\"A\",\"args\":[],\"jid\":\"j' .. n .. '\"}') end";
    redis.ask::<()>(&["EVAL", fill, "0"]);
    let warned = |path: &str| web.get(path).body.contains("the others are gone for good");
    assert!(warned("/dashboard/retries"));
    assert!(!warned("/dashboard/retries?search=j1000"), "those are few");
    let told = web.told("/dashboard/retries", "action=kill-all");
    assert!(told.contains("let 2 jobs go"), "{told}");
    assert!(!warned("/dashboard/dead"));
}
