//! What an autoscaler is told.

use serde_json::json;

use crate::support::{Redis, Web, wait_for};

const TOKEN: (&str, &str) = ("HIREFIRE_TOKEN", "s3cret/token");
const INFO: &str = "/hirefire/s3cret%2Ftoken/info";

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn push(redis: &Redis, queue: &str, waited: u64) {
    let job = json!({ "class": "A", "args": [], "jid": "1", "enqueued_at": now() - waited });
    redis.ask::<()>(&["SADD", "queues", queue]);
    redis.ask::<()>(&["LPUSH", &format!("queue:{queue}"), &job.to_string()]);
}

fn value(web: &Web) -> u64 {
    let answer = web.get(INFO);
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let value = told[0]["value"].as_u64().unwrap_or_else(|| panic!("{told}"));
    assert_eq!(told, json!([{ "name": "worker", "value": value }]));
    value
}

#[test]
fn it_is_told_for_how_long_the_oldest_job_has_waited() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[TOKEN]);
    assert_eq!(value(&web), 0);
    push(&redis, "slow", 7_200);
    push(&redis, "quick", 3_600);
    push(&redis, "quick", 60); // behind that
    let (longest, told) = (7_200, value(&web));
    assert!((longest..longest + 120).contains(&told), "{told}");
    // nobody could work on these
    redis.ask::<()>(&["SADD", "paused", "slow"]);
    let (longest, told) = (3_600, value(&web));
    assert!((longest..longest + 120).contains(&told), "{told}");
    redis.ask::<()>(&["DEL", "queue:quick"]);
    assert_eq!(value(&web), 0);
    // due, and not in its queue yet
    redis.ask::<()>(&["ZADD", "schedule", &(now() - 600).to_string(), "{}"]);
    redis.ask::<()>(&["ZADD", "retry", &(now() + 600).to_string(), "{}"]);
    let told = value(&web);
    assert!((600..720).contains(&told), "{told}");
}

#[test]
fn a_running_job_keeps_its_worker() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[TOKEN]);
    redis.ask::<()>(&["SADD", "processes", "h:1:a"]);
    redis.ask::<()>(&["HSET", "h:1:a", "info", "{}", "busy", "3"]);
    assert_eq!(value(&web), 1);
}

#[test]
fn only_the_token_opens_it() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[TOKEN]);
    let answer = web.get(INFO);
    let cache = Some("must-revalidate, private, max-age=0");
    assert_eq!((answer.status, answer.header("cache-control")), (200, cache));
    assert!(answer.header("content-type").unwrap().starts_with("application/json"));
    assert!(answer.header("hirefire-resource").unwrap().starts_with("Rust-"));
    let by_header = |token| web.request("GET", "/hirefire", &[("hirefire-token", token)], b"");
    assert_eq!(by_header(TOKEN.1).json(), answer.json());
    assert_eq!((by_header("wrong").status, web.get("/hirefire").status), (404, 404));
    for path in ["/hirefire/wrong/info", "/hirefire/s3cret%2Ftoke/info", "/hirefire/%FF/info"] {
        let refused = web.get(path);
        assert_eq!((refused.status, refused.error().is_empty()), (404, false), "{path}");
    }
    // from anywhere: it comes over the platform's router
    let outside = [("host", "app.example.com"), ("x-forwarded-for", "1.2.3.4")];
    assert_eq!(web.request("GET", INFO, &outside, b"").status, 200);
    let closed = Web::ready(&redis, &[]);
    assert_eq!(closed.get("/hirefire//info").status, 404);
    assert_eq!(closed.request("GET", "/hirefire", &[("hirefire-token", "")], b"").status, 404);
}

#[test]
fn without_redis_it_is_no_zero() {
    let mut redis = Redis::start();
    let web = Web::ready(&redis, &[TOKEN]);
    redis.stop();
    wait_for("503", || (web.get(INFO).status == 503).then_some(()));
}

#[test]
fn a_server_that_answers_late_is_not_waited_for() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[TOKEN]);
    // each question is answered in time, all of them together are not; again where this machine let
    // several pass between two pauses
    let pause = || redis.ask::<()>(&["CLIENT", "PAUSE", "1500"]);
    let late = || {
        pause();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| web.get(INFO));
            while !answer.is_finished() {
                pause();
            }
            let answer = answer.join().unwrap();
            answer.status == 503 && answer.error() == "Redis did not answer in time"
        })
    };
    assert!((0..5).any(|_| late()), "waited for all the same");
}
