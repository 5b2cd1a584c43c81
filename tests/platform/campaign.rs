//! Deploy after deploy under load, and the books are balanced at the end.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::formation::Formation;
use crate::load::Load;
use crate::pace::Pace;
use crate::platform::{App, Platform};
use crate::procfile::Procfile;
use crate::receiver::Seen;
use crate::support::{Redis, wait_for};
use crate::wire::Request;

/// At every so many deploys there is a job that is longer than the grace.
const HELD: usize = 20;
/// Requests and deliveries until the next deploy: so few, at times, that it meets processes that
/// have not begun.
const BETWEEN: usize = 30;

/// Deploys while connections to Redis are cut.
const CUTS: usize = 12;

const CONFIG: [(&str, &str); 5] = [
    ("API_TOKEN", "t0ken"),
    ("WEBHOOK_ALLOW_PRIVATE", "true"),
    ("WEBHOOK_SECRET", "s3cret"),
    ("SHUTDOWN_TIMEOUT", "4"),
    ("RUST_LOG", "info"),
];

/// 30 s are 7.5 s.
const PACE: Pace = Pace(Duration::from_millis(250));

/// The real programs on this Redis.
fn start(redis: &Redis, formation: &str, more: &[(&str, &str)]) -> Platform {
    let url = redis.url();
    Platform::start(App {
        procfile: Procfile::of_the_repository(),
        formation,
        config: &[&CONFIG[..], &[("REDIS_URL", &url)], more].concat(),
        dir: redis.dir(),
        pace: PACE,
        preboot: false,
        hearsay: 0,
    })
}

#[test]
fn two_hundred_deploys_fail_no_request_and_lose_no_job() {
    let interruptions = deploy(200, "web=1 worker=3", &[]);
    assert!(interruptions > 0, "no import has met a deploy");
}

#[test]
fn nor_do_those_of_a_web_with_a_worker_in_it() {
    deploy(HELD, "web=1", &[("WORKER_EMBEDDED", "true")]);
}

/// So many deploys under load, and the books. Returns how often imports were interrupted.
fn deploy(deploys: usize, formation: &str, more: &[(&str, &str)]) -> u64 {
    let redis = Redis::start();
    let platform = start(&redis, formation, more);
    let load = Load::new(&platform.router, &redis);
    under(&load, || {
        for deploy in 0..deploys {
            if deploy % HELD == HELD / 2 {
                load.hold_one();
            }
            go_on(&load, fastrand::usize(..BETWEEN));
            platform.deploy();
        }
    });
    let done = all_done(&load);
    nothing_left(&redis);
    platform.shut_down();
    let failed = load.failed.lock().unwrap();
    assert!(failed.is_empty(), "{} requests failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(platform.log.errors(), [""; 0]);
    let ends = platform.ends();
    let odd: Vec<_> = ends.iter().filter(|end| !end.in_order()).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert_eq!(ends.len(), Formation::parse(formation).slots().len() * (deploys + 1));
    each_once(&load, deploys / HELD);
    nothing_failed(&redis);
    assert_eq!(redis.ask::<usize>(&["GET", "stat:processed"]), done.jobs, "each counted once");
    let requests = load.answered.load(Ordering::Relaxed);
    eprintln!("{formation}: {deploys} deploys, {requests} requests, {done:?}");
    done.interruptions
}

// what was in doubt when its connection went may be refused, or run again; it may not be lost
#[test]
fn deploys_with_cut_connections_to_redis_lose_no_job() {
    let redis = Redis::start();
    let platform = start(&redis, "web=1 worker=3", &[]);
    let load = Load::new(&platform.router, &redis);
    under(&load, || {
        for _ in 0..CUTS {
            go_on(&load, BETWEEN);
            platform.deploy();
            for _ in 0..3 {
                go_on(&load, fastrand::usize(..BETWEEN / 4));
                load.cut_connections();
            }
        }
    });
    all_done(&load);
    nothing_left(&redis);
    platform.shut_down();
    assert_eq!(platform.log.errors(), [""; 0]);
}

/// Does this while there is load.
fn under(load: &Load<'_>, act: impl FnOnce()) {
    thread::scope(|scope| {
        let _ends = Ends(load);
        scope.spawn(|| load.visit());
        scope.spawn(|| load.visit());
        scope.spawn(|| load.march());
        scope.spawn(|| load.push_like_ruby());
        act();
    });
}

/// Ends the load also where an assertion fails: else the scope would wait for ever.
struct Ends<'a, 'b>(&'a Load<'b>);

impl Drop for Ends<'_, '_> {
    fn drop(&mut self) {
        self.0.enough.store(true, Ordering::Relaxed);
    }
}

/// Waits for so many more requests and deliveries.
fn go_on(load: &Load<'_>, further: usize) {
    let progress = || load.answered.load(Ordering::Relaxed) + load.receiver.answered();
    let wanted = progress() + further;
    wait_for("some progress", || (progress() >= wanted).then_some(()));
}

#[derive(Debug)]
struct Done {
    jobs: usize,
    /// Of imports.
    interruptions: u64,
}

/// Waits for every job that was taken, and sees that imports are whole.
fn all_done(load: &Load<'_>) -> Done {
    let (uploads, pushed) = (load.uploads.lock().unwrap(), load.pushed.lock().unwrap());
    let mut interruptions = 0;
    for upload in uploads.iter() {
        let import = wait_for(&format!("the import {}", upload.jid), || {
            let path = format!("/imports/{}", upload.jid);
            let import: Value = load.router.send(&Request::get(&path)).ok()?.json();
            (import["state"] == "done").then_some(import)
        });
        assert_eq!(import["accepted"], upload.rows, "{import}");
        interruptions += import["interruptions"].as_u64().unwrap();
    }
    for jid in pushed.iter() {
        wait_for(&format!("the job {jid}"), || {
            (load.receiver.seen(jid).answered > 0).then_some(())
        });
    }
    let told = uploads.len() + pushed.len();
    wait_for("all deliveries", || (load.receiver.answered() >= told).then_some(()));
    Done { jobs: uploads.len() + told, interruptions }
}

/// No job has run again, but for those that are longer than the grace; and there is no other.
fn each_once(load: &Load<'_>, held: usize) {
    let (uploads, pushed) = (load.uploads.lock().unwrap(), load.pushed.lock().unwrap());
    let all = load.receiver.all();
    let once = |seen: &Seen| seen.answered == 1 && seen.cut <= 1 && seen.open == 0;
    let odd: Vec<_> = all.iter().filter(|(_, seen)| !once(seen)).collect();
    assert!(odd.is_empty(), "not delivered once: {odd:?}");
    let cut: u32 = all.values().map(|seen| seen.cut).sum();
    assert_eq!(cut as usize, held, "only what is longer than the grace is interrupted");
    assert_eq!(all.len(), uploads.len() + pushed.len(), "a job that nobody has enqueued");
    let rows: usize = uploads.iter().map(|upload| upload.rows).sum();
    assert_eq!(load.redis.ask::<usize>(&["HLEN", "roustabout:records"]), rows);
}

/// Waits until no job is left anywhere, and sees that none is buried.
fn nothing_left(redis: &Redis) {
    let jobs = "EXISTS queue:imports queue:webhooks queue:default retry schedule";
    wait_for("the last job", || {
        let exists: Vec<&str> = jobs.split(' ').collect();
        let held: Vec<String> = redis.ask(&["KEYS", "roustabout:inflight:*"]);
        (redis.ask::<usize>(&exists) == 0 && held.is_empty()).then_some(())
    });
    assert_eq!(redis.ask::<usize>(&["ZCARD", "dead"]), 0);
}

fn nothing_failed(redis: &Redis) {
    assert_eq!(redis.ask::<Option<usize>>(&["GET", "stat:failed"]).unwrap_or(0), 0);
    assert_eq!(redis.ask::<Vec<String>>(&["KEYS", "it-*"]), [""; 0]);
}
