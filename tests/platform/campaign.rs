//! Deploy after deploy under load, and the books are balanced at the end.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::load::Load;
use crate::pace::Pace;
use crate::platform::{App, Platform};
use crate::procfile::Procfile;
use crate::receiver::Seen;
use crate::support::{Redis, wait_for};
use crate::wire::Request;

const DEPLOYS: usize = 200;
/// At every so many deploys there is a job that is longer than the grace.
const HELD: usize = 20;
/// Requests and deliveries until the next deploy: so few, at times, that it meets processes that
/// have not begun.
const BETWEEN: usize = 40;

const CONFIG: [(&str, &str); 5] = [
    ("API_TOKEN", "t0ken"),
    ("WEBHOOK_ALLOW_PRIVATE", "true"),
    ("WEBHOOK_SECRET", "s3cret"),
    ("SHUTDOWN_TIMEOUT", "4"),
    ("RUST_LOG", "info"),
];

/// 30 s are 7.5 s.
const PACE: Pace = Pace(Duration::from_millis(250));

fn app<'a>(redis: &'a Redis, config: &'a [(&'a str, &'a str)]) -> App<'a> {
    App {
        procfile: Procfile::of_the_repository(),
        formation: "web=1 worker=3",
        config,
        dir: redis.dir(),
        pace: PACE,
        preboot: false,
    }
}

#[test]
fn two_hundred_deploys_fail_no_request_and_lose_no_job() {
    let redis = Redis::start();
    let url = redis.url();
    let config = [&CONFIG[..], &[("REDIS_URL", &url)]].concat();
    let platform = Platform::start(app(&redis, &config));
    let load = Load::new(&platform.router, &redis);
    under(&load, || {
        for deploy in 0..DEPLOYS {
            if deploy % HELD == HELD / 2 {
                load.hold_one();
            }
            let wanted = progress(&load) + fastrand::usize(..BETWEEN);
            wait_for("some progress", || (progress(&load) >= wanted).then_some(()));
            platform.deploy();
        }
    });
    let (jobs, interrupted) = all_done(&load);
    platform.shut_down();
    let failed = load.failed.lock().unwrap();
    assert!(failed.is_empty(), "{} requests failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(platform.log.errors(), [""; 0]);
    let ends = platform.ends();
    let odd: Vec<_> = ends.iter().filter(|end| !end.in_order()).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert_eq!(ends.len(), 4 * (DEPLOYS + 1));
    nothing_left(&redis);
    assert_eq!(redis.ask::<usize>(&["GET", "stat:processed"]), jobs, "each counted once");
    assert!(interrupted > 0, "no import has met a deploy");
    eprintln!(
        "{DEPLOYS} deploys, {} requests, {jobs} jobs, {interrupted} interruptions of imports",
        load.answered.load(Ordering::Relaxed)
    );
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

fn progress(load: &Load<'_>) -> usize {
    load.answered.load(Ordering::Relaxed) + load.receiver.answered()
}

/// Waits for every job that was taken, and sees that each ran as often as it should. Returns how
/// many there were, and how often an import was interrupted.
fn all_done(load: &Load<'_>) -> (usize, u64) {
    let (uploads, pushed) = (load.uploads.lock().unwrap(), load.pushed.lock().unwrap());
    let mut interrupted = 0;
    for upload in uploads.iter() {
        let import = wait_for(&format!("the import {}", upload.jid), || {
            let path = format!("/imports/{}", upload.jid);
            let import: Value = load.router.send(&Request::get(&path)).ok()?.json();
            (import["state"] == "done").then_some(import)
        });
        assert_eq!(import["accepted"], upload.rows, "{import}");
        interrupted += import["interruptions"].as_u64().unwrap();
    }
    let told = uploads.len() + pushed.len();
    wait_for("all deliveries", || (load.receiver.answered() >= told).then_some(()));
    for jid in pushed.iter() {
        wait_for(&format!("the job {jid}"), || {
            (load.receiver.seen(jid).answered > 0).then_some(())
        });
    }
    let odd: Vec<_> = load.receiver.all().into_iter().filter(|(_, seen)| !once(*seen)).collect();
    assert!(odd.is_empty(), "not delivered once: {odd:?}");
    let cut: u32 = load.receiver.all().values().map(|seen| seen.cut).sum();
    assert_eq!(cut as usize, DEPLOYS / HELD, "only what is longer than the grace is interrupted");
    assert_eq!(load.receiver.all().len(), told, "a job that nobody has enqueued");
    let rows: usize = uploads.iter().map(|upload| upload.rows).sum();
    assert_eq!(load.redis.ask::<usize>(&["HLEN", "roustabout:records"]), rows);
    (uploads.len() + told, interrupted)
}

/// Answered once; a job that is longer than the grace may have begun before.
fn once(seen: Seen) -> bool {
    seen.answered == 1 && seen.cut <= 1 && seen.open == 0
}

fn nothing_left(redis: &Redis) {
    for key in ["queue:imports", "queue:webhooks", "queue:default", "retry", "dead", "schedule"] {
        assert_eq!(redis.ask::<usize>(&["EXISTS", key]), 0, "{key}");
    }
    for keys in ["roustabout:inflight:*", "it-*"] {
        assert_eq!(redis.ask::<Vec<String>>(&["KEYS", keys]), [""; 0]);
    }
    assert_eq!(redis.ask::<Option<usize>>(&["GET", "stat:failed"]).unwrap_or(0), 0);
}
