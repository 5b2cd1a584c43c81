//! A clone made one's own, in a copy of this tree: renamed, the sample deleted, a job written. What
//! is left has no warnings, its tests pass, its programs run, and jobs of before are run.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::readme::{Copied, blocks};
use crate::support::{Process, Redis, Web, wait_for, worker};
use crate::webhook::PRIVATE;

const NAME: &str = "zz-mine";
const CRATE: &str = "zz_mine";

/// The tests of the rest that are worth their time: of each program, of the endpoints, of the docs.
const SOME: [&str; 4] = ["boot", "guard", "stop", "enqueue"];

/// A job that a worker of the old name had in progress when it died.
fn orphan(redis: &Redis) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let job = json!({ "class": "DeliverWebhook", "args": [url, {}], "jid": "of before" });
    redis.ask::<()>(&["LPUSH", "queue:webhooks", &job.to_string()]);
    let mut worker = worker(redis, &[PRIVATE]);
    silent.accept().unwrap();
    worker.kill();
}

#[test]
fn a_clone_becomes_an_app_of_ones_own() {
    let redis = Redis::start();
    orphan(&redis);
    let place = tempfile::tempdir().unwrap();
    let copied = Copied::new(place.path(), "mine");
    let said = copied.run("bin/rename", &[NAME]);
    assert!(said.contains(&format!("is now {NAME}, in Rust {CRATE}")), "{said}");
    let lock = copied.read("Cargo.lock");
    copied.cargo(&["metadata", "--locked", "--format-version", "1"]);
    copied.write_first_job();
    delete_sample(&copied, &lock);
    copied.is_formatted();

    let log = place.path().join("worker.log");
    let _worker = Process::logging(copied.program("worker", &redis), &log);
    let clippy = Command::new("cargo-clippy").arg("--version").output().is_ok();
    if clippy {
        copied.cargo(&["clippy", "--locked", "--all-targets", "--", "-D", "warnings"]);
    }
    let words = ["test", "--locked", "--test", "app", "--"];
    copied.cargo(&[&words[..], &SOME].concat());
    wait_for("the job of before", || {
        let dead: usize = redis.ask(&["ZCARD", "dead"]);
        (dead == 1).then_some(()) // its receiver is at a private address
    });
    assert!(fs::read_to_string(&log).unwrap().contains(&format!("{CRATE}::")));
    copied.greets(&Redis::start(), &place.path().join("greeting.log"));
    let web = Web::launch(copied.program("web", &redis));
    let first = web.get("/");
    assert_eq!((first.status, first.header("location")), (307, Some("/dashboard")));
    assert_eq!(web.get("/imports").status, 404);
}

/// Does what the documentation says.
fn delete_sample(copied: &Copied, lock: &str) {
    let steps = &blocks(&copied.read("docs/architecture.md"), "### Deleting the sample")[0];
    assert_eq!(steps.0, "sh");
    let said = copied.run("sh", &["-euc", &steps.1]);
    assert!(!said.contains("warning"), "{said}");
    let mut marks = Command::new("grep");
    let left = marks.args(["-rnE", "[/#] sample$", "."]).current_dir(&copied.tree).output();
    assert_eq!(String::from_utf8(left.unwrap().stdout).unwrap(), "");
    let without_csv = |line: &&str| !line.contains("\"csv");
    let packages = |lock: &str| {
        let names = lock.lines().filter(|line| line.starts_with("name = "));
        names.filter(without_csv).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(packages(&copied.read("Cargo.lock")), packages(lock));
    assert!(!copied.read("Cargo.lock").contains("\"csv\""));
}
