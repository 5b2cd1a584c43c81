//! What a start says, and how it ends when it cannot be.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::{Process, Redis, Web, program, run, wait_for};

#[test]
fn help_and_version_answer_and_bad_usage_is_2() {
    let redis = Redis::absent();
    for (argument, code, says) in [
        ("--help", 0, "PORT"),
        ("--version", 0, env!("CARGO_PKG_VERSION")),
        ("--nonsense", 2, "nonsense"),
        ("extra", 2, "extra"),
    ] {
        let mut command = program("web", &redis, &[]);
        command.arg(argument);
        let output = run(command);
        assert_eq!(output.status.code(), Some(code), "{argument}");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains(says), "{argument}");
    }
}

#[test]
fn a_bad_setting_is_one_line_and_1() {
    let redis = Redis::absent();
    for (name, value, says) in [
        ("PORT", "s3cret", "PORT accepts"),
        ("CONCURRENCY", "0", "CONCURRENCY accepts"),
        ("HIREFIRE_TOKEN", "s3cret token", "HIREFIRE_TOKEN accepts"),
        ("WORKER_HEALTH_PORT", "s3cret", "WORKER_HEALTH_PORT accepts"),
        ("DASHBOARD_USER", "s3cret", "DASHBOARD_USER needs"),
        ("QUEUES", "critical:5,s3cret:x", "QUEUES: entry 2: a weight is"),
        ("QUEUE_LIMITS", "imports:2,s3cret", "QUEUE_LIMITS: entry 2: a limit is"),
        ("REDIS_PROVIDER", "redis://:s3cret@h:1", "REDIS_PROVIDER accepts"),
        ("REDIS_URL", "http://:s3cret@h", "REDIS_URL"),
        ("RUST_LOG", "s3cret=s3cret", "RUST_LOG accepts"),
    ] {
        let output = run(program("web", &redis, &[(name, value)]));
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {line}");
        assert!(
            line.contains(says) && line.lines().count() == 1 && !line.contains("s3cret"),
            "{line}"
        );
    }
}

#[test]
fn a_dyno_without_redis_is_told_the_command() {
    let redis = Redis::absent();
    let mut command = program("web", &redis, &[("DYNO", "web.1")]);
    command.env_remove("REDIS_URL");
    let output = run(command);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("heroku addons:create heroku-redis:mini")
    );
}

#[test]
fn a_dotenv_in_the_working_directory_fills_what_is_unset() {
    let redis = Redis::absent();
    std::fs::write(redis.dir().join(".env"), "PORT=none\nCONCURRENCY=none\n").unwrap();
    let output = run(program("web", &redis, &[("PORT", "1")]));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.starts_with("web: CONCURRENCY accepts"), "{line}");
}

#[test]
fn a_taken_port_is_one_line_and_1() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(program("web", &Redis::absent(), &[("PORT", &port), ("RUST_LOG", "off")]));
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains(&port) && line.lines().count() == 1, "{line}");
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_does_not_hold_up_a_boot() {
    let redis = Redis::start();
    redis.signal("STOP");
    let web = Web::start(&redis, &[]);
    assert_eq!((web.get("/health").status, web.get("/ready").status), (200, 503));
}

#[test]
fn a_worker_beside_rubys_says_which_queues_it_shares_with_them() {
    let redis = Redis::start();
    redis.ask::<()>(&["SADD", "processes", "rails:1:a"]);
    let info = r#"{"hostname":"rails","queues":["mailers","rust"]}"#;
    redis.ask::<()>(&["HSET", "rails:1:a", "info", info, "busy", "0"]);
    for (queues, shared) in [("", "mailers,rust"), ("rust,own", "\"rust\"")] {
        let log = redis.dir().join("worker.log");
        let vars = [("QUEUES", queues), ("DYNO", "worker.1"), ("SHUTDOWN_TIMEOUT", "40")];
        let worker = Process::logging(program("worker", &redis, &vars), &log);
        let said = wait_for("the warning", || {
            let said = std::fs::read_to_string(&log).unwrap();
            said.contains("Ruby's workers serve these queues").then_some(said)
        });
        assert!(said.contains(shared) && said.contains("R12"), "{said}");
        drop(worker);
    }
    let log = redis.dir().join("worker.log");
    let known = || redis.ask::<usize>(&["SCARD", "processes"]);
    let before = known();
    let _worker = Process::logging(program("worker", &redis, &[("QUEUES", "own")]), &log);
    wait_for("it to be known", || (known() > before).then_some(()));
    assert!(!std::fs::read_to_string(&log).unwrap().contains("Ruby's workers"));
}

// again where this machine took so long that a request was no longer one of the first
#[test]
fn health_does_not_wait_for_the_first_connection() {
    let redis = Redis::start();
    redis.signal("STOP");
    let ahead = || {
        let web = Web::start(&redis, &[]);
        let waiting = web.begin("GET", "/ready", &[]);
        assert_eq!(web.get("/health").status, 200);
        waiting.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        waiting.peek(&mut [0]).is_err()
    };
    assert!((0..5).any(|_| ahead()), "answered only when requests that need Redis were");
}
