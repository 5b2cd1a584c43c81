//! What systemd hears of the programs, on a real socket.

use std::net::TcpListener;
use std::process::Command;

use crate::notify::Notify;
use crate::support::{Process, Redis, Web, program, wait_for, worker};

/// A watchdog that wants to be fed every 100 ms.
const WATCHED: (&str, &str) = ("WATCHDOG_USEC", "600000");

fn hears(notify: &mut Notify, begins: &[&str]) {
    wait_for(begins.last().unwrap(), || notify.has(begins).then_some(()));
}

/// Enqueues a job that runs until the listener goes, or for 15 s.
fn hang(redis: &Redis) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let job = format!(r#"{{"class":"DeliverWebhook","args":["{url}",{{}}],"jid":"1"}}"#);
    let () = redis.ask(&["LPUSH", "queue:webhooks", &job]);
    listener
}

/// Ten seconds, as `sd_notify(3)` wants them.
const EXTEND: &str = "EXTEND_TIMEOUT_USEC=10000000";

#[test]
fn a_worker_tells_its_life_in_order() {
    let mut redis = Redis::absent();
    let mut notify = Notify::at_a_path();
    let name = notify.name.clone();
    let vars = [("NOTIFY_SOCKET", name.as_str()), WATCHED, ("WEBHOOK_ALLOW_PRIVATE", "true")];
    let mut worker = worker(&redis, &vars);
    hears(&mut notify, &["STATUS=waiting for Redis"]);
    assert_eq!(notify.count("READY"), 0);
    redis.run();
    hears(&mut notify, &["READY=1", "STATUS=0 of 10 busy"]);
    assert_eq!(redis.ask::<usize>(&["SCARD", "processes"]), 1);
    let listener = hang(&redis);
    hears(&mut notify, &["STATUS=1 of 10 busy", "WATCHDOG=1"]);
    worker.signal("TSTP");
    hears(&mut notify, &["STATUS=quiet, 1 job left", "WATCHDOG=1"]);
    assert_eq!((notify.count("STOPPING"), notify.count(EXTEND)), (0, 0));
    worker.signal("TERM");
    hears(&mut notify, &["STOPPING=1", "STATUS=stopping, 1 job left", EXTEND, EXTEND]);
    hears(&mut notify, &["STOPPING=1", "WATCHDOG=1"]);
    assert!(worker.exited().is_none());
    drop(listener);
    assert_eq!(worker.end().code(), Some(0));
    let all = ["STATUS=waiting", "READY", "STATUS=0", "STATUS=1", "STATUS=quiet", "STOPPING"];
    assert!(notify.has(&all), "{:?}", notify.heard());
    assert_eq!((notify.count("READY"), notify.count("STOPPING")), (1, 1));
}

#[test]
fn a_status_is_sent_when_it_changes() {
    let mut redis = Redis::start();
    let mut notify = Notify::abstract_name();
    let name = notify.name.clone();
    let worker = worker(&redis, &[("NOTIFY_SOCKET", &name), WATCHED]);
    hears(&mut notify, &["READY=1", "STATUS=0 of 10 busy"]);
    notify.forget();
    // meanwhile the engine has looked twice
    wait_for("it is fed", || (notify.count("WATCHDOG") > 15).then_some(()));
    assert_eq!(notify.count("STATUS"), 0, "{:?}", notify.heard());
    redis.stop();
    hears(&mut notify, &["STATUS=waiting for Redis"]);
    redis.run();
    hears(&mut notify, &["STATUS=waiting for Redis", "STATUS=0 of 10 busy"]);
    assert_eq!(notify.count("READY"), 0);
    drop(worker);
}

#[test]
fn web_is_ready_when_its_port_is_bound() {
    let redis = Redis::absent();
    for mut notify in [Notify::at_a_path(), Notify::abstract_name()] {
        let name = notify.name.clone();
        let mut web = Web::start(&redis, &[("NOTIFY_SOCKET", &name), WATCHED]);
        let port = format!("STATUS=listening on port {}", web.port);
        hears(&mut notify, &["READY=1", &port, "WATCHDOG=1"]);
        web.process.signal("TERM");
        assert_eq!(web.process.end().code(), Some(0));
        assert!(notify.has(&["READY", "STOPPING=1"]), "{:?}", notify.heard());
    }
}

#[test]
fn web_with_a_worker_in_it_is_ready_without_redis_and_tells_of_both() {
    let mut redis = Redis::absent();
    let mut notify = Notify::at_a_path();
    let name = notify.name.clone();
    let vars = [("NOTIFY_SOCKET", name.as_str()), WATCHED, ("WORKER_EMBEDDED", "true")];
    let mut web = Web::start(&redis, &vars);
    let listening = format!("STATUS=listening on port {}, jobs: ", web.port);
    hears(&mut notify, &["READY=1", &format!("{listening}waiting for Redis")]);
    redis.run();
    hears(&mut notify, &[&format!("{listening}0 of 10 busy"), "WATCHDOG=1"]);
    web.process.signal("TERM");
    assert_eq!(web.process.end().code(), Some(0));
    assert!(notify.has(&["READY", "STOPPING=1"]), "{:?}", notify.heard());
}

#[test]
fn a_port_that_is_taken_is_never_ready() {
    let redis = Redis::absent();
    let mut notify = Notify::at_a_path();
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let name = notify.name.clone();
    let vars = [("NOTIFY_SOCKET", name.as_str()), ("PORT", &port)];
    let mut web = Process::spawn(program("web", &redis, &vars));
    assert_eq!(web.end().code(), Some(1));
    assert!(notify.heard().is_empty());
}

/// A worker that systemd watches by this id (`$$` is its own).
fn watched_as(pid: &str, redis: &Redis, notify: &Notify) -> Process {
    let inner = program("worker", redis, &[("NOTIFY_SOCKET", &notify.name), WATCHED]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("WATCHDOG_PID={pid} exec \"$0\"")]).arg(inner.get_program());
    shell.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Process::spawn(shell)
}

#[test]
fn only_our_own_watchdog_is_fed() {
    let redis = Redis::start();
    let (mut foreign, mut own) = (Notify::at_a_path(), Notify::at_a_path());
    let _not = watched_as("1", &redis, &foreign);
    hears(&mut foreign, &["READY=1"]);
    let _fed = watched_as("$$", &redis, &own);
    wait_for("ours is fed", || (own.count("WATCHDOG") > 5).then_some(()));
    assert_eq!(foreign.count("WATCHDOG"), 0);
}

#[test]
fn a_socket_that_we_cannot_use_is_said_and_survived() {
    let redis = Redis::start();
    for name in ["vsock:2:1", "/no/such/socket"] {
        let log = redis.dir().join("log");
        let command = program("worker", &redis, &[("NOTIFY_SOCKET", name), WATCHED]);
        let mut worker = Process::logging(command, &log);
        let said = |words: &str| std::fs::read_to_string(&log).unwrap().contains(words);
        wait_for("it works", || said("ready: ").then_some(()));
        worker.signal("TERM");
        assert_eq!(worker.end().code(), Some(0));
        assert_eq!(said("NOTIFY_SOCKET"), name.starts_with("vsock"), "{name}");
    }
}
