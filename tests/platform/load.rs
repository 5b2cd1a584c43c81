//! The app's users: uploads and looks through the router, jobs pushed by a client in Ruby.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::receiver::Receiver;
use crate::router::Router;
use crate::support::{Redis, wait_for};
use crate::wire::{Answer, Request};

/// A pause of those who are not in a hurry: the machine is small.
const BREATH: Duration = Duration::from_millis(4);
/// The rows of a file whose import outlives many dynos.
const LONG: usize = 20_000;

pub struct Upload {
    pub jid: String,
    pub rows: usize,
}

pub struct Load<'a> {
    pub router: &'a Router,
    pub redis: &'a Redis,
    pub receiver: Receiver,
    /// What has been taken: jobs, and who is to hear of their end.
    pub uploads: Mutex<Vec<Upload>>,
    pub pushed: Mutex<Vec<String>>,
    /// Requests that were not answered as they should.
    pub failed: Mutex<Vec<String>>,
    pub answered: AtomicUsize,
    pub enough: AtomicBool,
    serial: AtomicUsize,
}

impl<'a> Load<'a> {
    pub fn new(router: &'a Router, redis: &'a Redis) -> Load<'a> {
        Load {
            router,
            redis,
            receiver: Receiver::start(),
            uploads: Mutex::default(),
            pushed: Mutex::default(),
            failed: Mutex::default(),
            answered: AtomicUsize::new(0),
            enough: AtomicBool::new(false),
            serial: AtomicUsize::new(0),
        }
    }

    /// Uploads small files and looks at what becomes of them.
    pub fn visit(&self) {
        while !self.enough.load(Ordering::Relaxed) {
            let jid = self.upload(1 + fastrand::usize(..20));
            let jid = jid.unwrap_or_else(|| "0".repeat(24));
            for path in [format!("/imports/{jid}"), "/records?limit=3".into(), "/health".into()] {
                self.ask(&Request::get(&path), 200);
                thread::sleep(BREATH);
            }
        }
    }

    /// One long import after the other.
    pub fn march(&self) {
        while !self.enough.load(Ordering::Relaxed) {
            let Some(jid) = self.upload(LONG) else { continue };
            while !self.enough.load(Ordering::Relaxed) && !self.is_done(&jid) {
                thread::sleep(5 * BREATH);
            }
        }
    }

    /// Pushes deliveries, most of them quick.
    pub fn push_like_ruby(&self) {
        while !self.enough.load(Ordering::Relaxed) {
            for how in ["quick", "quick", "quick", "quick", "slow"] {
                self.push(how);
                thread::sleep(2 * BREATH);
            }
        }
    }

    /// A delivery that nobody answers until it was interrupted; returns when it has begun.
    pub fn hold_one(&self) {
        let jid = self.push("held");
        wait_for(&format!("the job {jid}"), || {
            let seen = self.receiver.seen(&jid);
            (seen.open + seen.cut > 0).then_some(())
        });
    }

    /// Cuts all connections to Redis, but none that pushes.
    pub fn cut_connections(&self) {
        let _pushed = self.pushed.lock().expect("no panic");
        self.redis.ask::<usize>(&["CLIENT", "KILL", "TYPE", "normal"]);
    }

    /// As Sidekiq's client does: LPUSH, and the queue's name.
    fn push(&self, how: &str) -> String {
        let jid = format!("{:024x}", fastrand::u128(..) >> 32);
        let args = json!([self.receiver.url(how), { "type": "test", "how": how }]);
        let job = json!({
            "class": "DeliverWebhook", "args": args, "queue": "webhooks", "jid": jid,
            "retry": true, "created_at": 1.5, "enqueued_at": 1.5,
        });
        let mut pushed = self.pushed.lock().expect("no panic");
        self.redis.ask::<()>(&["SADD", "queues", "webhooks"]);
        self.redis.ask::<()>(&["LPUSH", "queue:webhooks", &job.to_string()]);
        pushed.push(jid.clone());
        jid
    }

    /// Uploads a file of so many rows that no other file has; `None` if it was not taken.
    fn upload(&self, rows: usize) -> Option<String> {
        let file = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut body = "id,name\n".to_owned();
        (0..rows).for_each(|row| writeln!(body, "{file}-{row},somebody").unwrap());
        let path = format!("/imports?callback_url={}", self.receiver.url("quick"));
        let answer = self.ask(&Request { method: "POST", path, body }, 202)?;
        let jid = answer.json()["jid"].as_str().unwrap().to_owned();
        self.uploads.lock().expect("no panic").push(Upload { jid: jid.clone(), rows });
        Some(jid)
    }

    fn is_done(&self, jid: &str) -> bool {
        let answer = self.ask(&Request::get(&format!("/imports/{jid}")), 200);
        answer.is_some_and(|answer| answer.json()["state"] == "done")
    }

    fn ask(&self, request: &Request, expected: u16) -> Option<Answer> {
        let Request { method, path, .. } = request;
        let why = match self.router.send(request) {
            Ok(answer) if answer.status == expected => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                return Some(answer);
            }
            Ok(answer) => format!("{method} {path}: {} {}", answer.status, answer.body),
            Err((code, desc)) => format!("{method} {path}: {code} {desc}"),
        };
        self.failed.lock().expect("no panic").push(why);
        None
    }
}
