//! The platform's contract, rule by rule, and the programs under each.

use std::time::Duration;

use crate::dyno::End;
use crate::pace::Pace;
use crate::platform::{App, Platform};
use crate::procfile::Procfile;
use crate::receiver::Receiver;
use crate::support::{Redis, wait_for};
use crate::wire::Request;

/// A formation on a Redis of its own.
struct Stage {
    platform: Platform,
    redis: Redis,
}

fn stage(formation: &str, change: impl FnOnce(&mut App<'_>)) -> Stage {
    let redis = Redis::start();
    let url = redis.url();
    let config = [
        ("REDIS_URL", url.as_str()),
        ("API_TOKEN", "t0ken"),
        ("WEBHOOK_ALLOW_PRIVATE", "true"),
        ("SHUTDOWN_TIMEOUT", "4"),
    ];
    let mut app = App {
        procfile: Procfile::of_the_repository(),
        formation,
        config: &config,
        dir: redis.dir(),
        pace: Pace(Duration::from_millis(250)),
        preboot: false,
        hearsay: 0,
    };
    change(&mut app);
    let platform = Platform::start(app);
    Stage { platform, redis }
}

fn real(formation: &str) -> Stage {
    stage(formation, |_| {})
}

/// At this pace 30 s are 0.6 s: for what has nothing to finish.
const FAST: Pace = Pace(Duration::from_millis(20));

impl Stage {
    /// Names of the dynos that have ended, in order.
    fn ended(&self) -> Vec<String> {
        self.platform.ends().iter().map(|end| end.name.clone()).collect()
    }

    fn in_order(&self) {
        let odd: Vec<End> = self.platform.ends();
        let odd: Vec<_> = odd.iter().filter(|end| !end.in_order()).collect();
        assert!(odd.is_empty(), "{odd:?}");
        assert_eq!(self.platform.log.errors(), [""; 0]);
    }

    /// How many workers take jobs, by what they say themselves.
    fn registered(&self, name: &str) -> usize {
        let all: Vec<String> = self.redis.ask(&["SMEMBERS", "processes"]);
        all.iter().filter(|identity| identity.starts_with(name)).count()
    }

    fn workers(&self, count: usize) {
        wait_for("the workers", || (self.registered("worker") == count).then_some(()));
    }

    fn status_of(&self, request: &Request) -> Result<u16, &'static str> {
        self.platform.router.send(request).map(|answer| answer.status).map_err(|(code, _)| code)
    }

    /// A job that goes on until the grace of its worker is over. Returns when it has begun.
    fn hold(&self, receiver: &Receiver) -> String {
        let jid = format!("{:024x}", fastrand::u64(..));
        let job = serde_json::json!({
            "class": "DeliverWebhook", "args": [receiver.url("held"), {}], "jid": jid, "retry": true,
        });
        self.redis.ask::<()>(&["LPUSH", "queue:default", &job.to_string()]);
        wait_for("the job to begin", || (receiver.seen(&jid).open == 1).then_some(()));
        jid
    }
}

#[test]
fn a_deploy_has_old_and_new_under_one_name() {
    let (stage, receiver) = (real("worker=2"), Receiver::start());
    stage.workers(2);
    let jid = stage.hold(&receiver);
    stage.platform.deploy();
    stage.workers(3); // the one that has the job, and the new ones
    let twice = ["worker.1", "worker.2"].map(|name| stage.registered(name));
    assert!(twice.contains(&2), "{twice:?}");
    stage.platform.settled();
    assert_eq!(stage.ended().len(), 2);
    wait_for("the job to end", || (receiver.seen(&jid).answered == 1).then_some(()));
    assert_eq!(receiver.seen(&jid).cut, 1);
    stage.in_order();
}

#[test]
fn scaling_down_stops_the_highest_numbers_first_and_nobody_else() {
    let stage = real("web=1 worker=4");
    stage.workers(4);
    stage.platform.settled();
    stage.platform.scale("worker=1");
    stage.workers(1);
    stage.platform.settled();
    let stopped = stage.platform.log.with(&["SIGTERM"]);
    let names: Vec<&str> =
        stopped.iter().map(|line| line.split([':', '[', ']']).nth(1).unwrap()).collect();
    assert_eq!(names, ["worker.4", "worker.3", "worker.2"]);
    stage.platform.scale("worker=2");
    stage.workers(2);
    assert_eq!((stage.registered("worker.1"), stage.registered("worker.2")), (1, 1));
    assert_eq!(stage.platform.log.count(&["heroku[web.1]", "Starting"]), 1);
    assert_eq!(stage.platform.log.count(&["heroku[api]", "Release"]), 1);
    stage.in_order();
}

#[test]
fn a_dyno_is_cycled_without_the_others() {
    let (stage, receiver) = (real("web=1 worker=1"), Receiver::start());
    stage.workers(1);
    let jid = stage.hold(&receiver);
    stage.platform.cycle("worker.1");
    assert_eq!(stage.platform.living("worker.1"), 2);
    wait_for("the job to end", || (receiver.seen(&jid).answered == 1).then_some(()));
    assert_eq!(receiver.seen(&jid).cut, 1);
    stage.platform.settled();
    assert_eq!(stage.ended(), ["worker.1"]);
    assert!(stage.platform.ends().iter().all(|end| end.release == 1));
    stage.in_order();
}

#[test]
fn what_crashes_waits_ever_longer_and_a_release_forgives_it() {
    let stage = stage("worker=1", |app| app.pace = Pace(Duration::from_millis(50)));
    stage.workers(1);
    let log = &stage.platform.log;
    stage.platform.configure(&[("CONCURRENCY", "none")]);
    wait_for("crashes", || (log.count(&["crashed; again in 8 s"]) == 1).then_some(()));
    let pauses = log.with(&["crashed; again in"]);
    let pauses: Vec<&str> = pauses.iter().map(|line| line.rsplit("in ").next().unwrap()).collect();
    assert_eq!(pauses[..4], ["0 s", "2 s", "4 s", "8 s"]);
    let says_why = || log.count(&["app[worker.1]", "CONCURRENCY accepts"]) >= 4;
    wait_for("the reason", || says_why().then_some(()));
    stage.platform.configure(&[("CONCURRENCY", "3")]);
    stage.workers(1);
    stage.platform.settled();
    stage.platform.kill("worker.1");
    wait_for("the next one", || (log.count(&["crashed; again in 0 s"]) == 2).then_some(()));
    let codes: Vec<u8> = stage.platform.ends().iter().map(|end| end.status).collect();
    assert!(codes.iter().filter(|code| **code == 1).count() >= 4, "{codes:?}");
    assert_eq!(codes.last(), Some(&137));
}

#[test]
fn a_config_change_is_a_release_with_another_environment() {
    let stage = real("web=1 worker=1");
    let records = Request::get("/records");
    assert_eq!(stage.status_of(&records), Ok(200));
    stage.platform.configure(&[("API_TOKEN", "an0ther")]);
    assert_eq!(stage.status_of(&records), Ok(200));
    stage.platform.router.clients_use("t0ken");
    assert_eq!(stage.status_of(&records), Ok(401));
    stage.platform.settled();
    assert_eq!(stage.ended().len(), 2);
    stage.in_order();
}

#[test]
fn with_preboot_the_old_ones_answer_until_the_new_ones_are_up() {
    let stage = stage("web=2", |app| app.preboot = true);
    stage.platform.settled();
    stage.platform.deploy();
    while stage.ended().len() < 2 {
        assert_eq!(stage.status_of(&Request::get("/records")), Ok(200));
    }
    stage.platform.settled();
    let lines = stage.platform.log.with(&["heroku[web."]);
    let place = |words: &str| lines.iter().position(|line| line.contains(words)).unwrap();
    let ups = lines[..place("SIGTERM")].iter().filter(|line| line.contains("starting to up"));
    assert_eq!(ups.count(), 4);
    stage.in_order();
}

// nothing says that it hears of a stop before the dyno does
#[test]
fn a_router_that_hears_late_of_a_stop_fails_no_request() {
    let stage = stage("web=1", |app| app.hearsay = 1);
    for _ in 0..10 {
        stage.platform.settled();
        stage.platform.deploy();
        while stage.platform.living("web.1") > 1 {
            assert_eq!(stage.status_of(&Request::get("/records")), Ok(200));
        }
    }
    stage.in_order();
}

#[test]
fn a_one_off_dyno_has_the_config_and_no_port() {
    let stage = real("worker=1");
    stage.workers(1);
    let stats = stage.platform.run(&["./target/release/jobs", "processes"]);
    assert!(stats.status.success(), "{stats:?}");
    assert!(String::from_utf8_lossy(&stats.stdout).contains("worker.1"), "{stats:?}");
    let shown = stage.platform.run(&["sh", "-c", "echo $DYNO:$PORT:$API_TOKEN"]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "run.2::t0ken\n");
}

#[test]
fn a_web_that_never_listens_is_r10() {
    let stage = stage("web=1", |app| {
        app.procfile = Procfile::of_the_repository().with("web", &["sleep", "1000"]);
        app.pace = FAST;
    });
    let health = Request::get("/health");
    // it is held until the boot has failed, or beyond that into the next one
    assert!(matches!(stage.status_of(&health), Err("H10" | "H20")));
    assert!(stage.platform.log.count(&["heroku[web.1]", "Error R10 (Boot timeout)"]) > 0);
    stage.platform.scale("web=0");
    assert_eq!(stage.status_of(&health), Err("H14"));
    assert_eq!(stage.platform.log.count(&["heroku[router]", "at=error code=H14"]), 1);
}

#[test]
fn what_does_not_hear_a_term_is_r12() {
    let deaf = "trap '' TERM; echo here >&2; while :; do sleep 1; done";
    let stage = stage("worker=1", |app| {
        app.procfile = Procfile::of_the_repository().with("worker", &["sh", "-c", deaf]);
        app.pace = FAST;
    });
    let log = &stage.platform.log;
    wait_for("it to be deaf", || (log.count(&["app[worker.1]: here"]) == 1).then_some(()));
    stage.platform.deploy();
    assert_eq!(stage.platform.living("worker.1"), 2);
    wait_for("the end of it", || {
        stage.platform.ends().first().map(|end| assert_eq!(end.status, 137))
    });
    assert_eq!(log.count(&["heroku[worker.1]", "Error R12 (Exit timeout)"]), 1);
    assert_eq!(log.errors().len(), 1);
}
