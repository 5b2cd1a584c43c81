//! The program `jobs`: what it sees, whoever wrote it; what it stops; deploy marks.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Process, Redis, program, run, wait_for};

pub fn jobs(redis: &Redis, words: &[&str], vars: &[(&str, &str)]) -> Output {
    let mut command: Command = program("jobs", redis, vars);
    command.args(words);
    run(command)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it answers, all being well or not.
fn check(redis: &Redis, words: &[&str]) -> (String, Option<i32>) {
    let output = jobs(redis, &[&["check", "--max-runtime"], words].concat(), &[]);
    (text(&output.stdout), output.status.code())
}

fn seen(redis: &Redis) -> Value {
    serde_json::from_str(&check(redis, &["30m", "--json"]).0).unwrap()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A process as Sidekiq writes it, with one job since a day under each of these names.
pub fn process(redis: &Redis, identity: &str, work: &[&str], job: &Value) {
    redis.ask::<()>(&["SADD", "processes", identity]);
    redis.ask::<()>(&["HSET", identity, "info", "{}", "busy", "1", "quiet", "false"]);
    let job = job.to_string();
    let entry = json!({ "queue": "q", "payload": job, "run_at": now() - 86_400 });
    for name in work {
        redis.ask::<()>(&["HSET", &format!("{identity}:{name}"), "tid", &entry.to_string()]);
    }
}

#[test]
fn sidekiqs_processes_of_all_ages_are_seen() {
    let redis = Redis::start();
    assert_eq!(check(&redis, &["30m"]).1, Some(0));
    let job = |class: &str| json!({ "class": class, "jid": class, "args": ["s3cret"] });
    let wrapper = json!({ "class": "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper",
                          "wrapped": "Wrapped", "jid": "Wrapped" });
    process(&redis, "a:1:old", &["workers"], &job("Old"));
    process(&redis, "b:1:both", &["work", "workers"], &job("Both"));
    process(&redis, "c:1:new", &["work"], &wrapper);
    process(&redis, "d:1:gone", &["work", "workers"], &job("Gone"));
    redis.ask::<()>(&["DEL", "d:1:gone"]);
    let answer = seen(&redis);
    let classes: Vec<&str> = answer["stuck"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["class"].as_str().unwrap())
        .collect();
    assert_eq!(classes, ["Old", "Both", "Wrapped"]);
    assert_eq!((&answer["processes"], &answer["running"]), (&json!(3), &json!(3)));
    let age = answer["stuck"][0]["age"].as_u64().unwrap();
    assert!((86_400..86_520).contains(&age), "{age}");
    assert!(!answer.to_string().contains("s3cret"));
    let (words, code) = check(&redis, &["86399"]);
    assert_eq!((words.lines().count(), code), (4, Some(1)), "{words}");
    assert!(words.contains("  Wrapped Wrapped on q for 1day"), "{words}");
    assert_eq!(check(&redis, &["2d"]).1, Some(0));
}

#[test]
fn whatever_else_stands_there_is_counted_and_shown_without_effect() {
    let redis = Redis::start();
    let job = json!({ "class": "\u{1b}[2J\u{202e}Evil", "jid": "a\r\nb", "wrapped": 7 });
    process(&redis, "a:1:evil\u{1b}]0;", &["work"], &job);
    process(&redis, "b:1:odd", &[], &json!({}));
    let odd = "b:1:odd:work";
    for (field, entry) in [("1", "no JSON"), ("2", "{}"), ("3", "[1]"), ("4", r#"{"run_at":{}}"#)] {
        redis.ask::<()>(&["HSET", odd, field, entry]);
    }
    redis.ask::<()>(&["HSET", odd, "5", r#"{"run_at":1,"payload":{"class":"Object"},"queue":3}"#]);
    redis.ask::<()>(&["SADD", "processes", "a list"]);
    redis.ask::<()>(&["LPUSH", "a list", "1"]);
    process(&redis, "c:1:text", &[], &json!({}));
    redis.ask::<()>(&["SET", "c:1:text:work", "no hash"]);
    let output = jobs(&redis, &["check", "--max-runtime", "30m"], &[]);
    let (words, remark) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{words} {remark}");
    assert!(!words.contains(['\u{1b}', '\r', '\u{202e}']), "{words:?}");
    assert!(words.contains(r"Evil a\r\nb on q for") && words.contains("Object ? on ?"), "{words}");
    assert_eq!(words.lines().count(), 3, "{words}");
    assert_eq!(remark, "jobs: 6 entries could not be read: left out\n");
}

#[test]
fn a_worker_inside_another_program_is_left_alone() {
    let redis = Redis::start();
    process(&redis, "a:1:in", &["work"], &json!({ "class": "A", "jid": "1" }));
    redis.ask::<()>(&["HSET", "a:1:in", "info", r#"{"embedded":true}"#]);
    let output = jobs(&redis, &["check", "--max-runtime", "30m", "--stop"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("inside another program"));
    assert_eq!(redis.ask::<usize>(&["EXISTS", "a:1:in-signals"]), 0);
    process(&redis, "b:1:out", &["work"], &json!({ "class": "A", "jid": "2" }));
    let output = jobs(&redis, &["check", "--max-runtime", "30m", "--stop"], &[]);
    assert!(text(&output.stdout).ends_with("\ntold b:1:out to stop\n"));
    assert_eq!(redis.ask::<Vec<String>>(&["LRANGE", "b:1:out-signals", "0", "-1"]), ["TERM"]);
    assert!((1..=60).contains(&redis.ask::<i64>(&["TTL", "b:1:out-signals"])));
}

#[test]
fn a_deploy_is_marked_as_sidekiq_does() {
    let redis = Redis::start();
    let before = now();
    let output = jobs(&redis, &["mark", "v42 \u{1b}[1mfast"], &[]);
    assert_eq!(text(&output.stdout), "marked: v42 \\u{1b}[1mfast\n");
    let keys: Vec<String> = redis.ask(&["KEYS", "*-marks"]);
    assert_eq!(keys.len(), 1, "{keys:?}");
    let (day, _) = keys[0].split_once('-').unwrap();
    let marks: Vec<(String, String)> = redis.ask(&["HGETALL", &keys[0]]);
    let (minute, label) = &marks[0];
    assert_eq!(label, "v42 \u{1b}[1mfast");
    let minute: chrono::DateTime<chrono::Utc> = minute.parse().unwrap();
    assert_eq!(minute.format("%Y%m%d").to_string(), day);
    let marked = minute.timestamp() as u64;
    assert!(
        marked.is_multiple_of(60) && (before - before % 60..=now()).contains(&marked),
        "{minute}"
    );
    let kept: i64 = redis.ask(&["TTL", &keys[0]]);
    assert!((90 * 86_400 - 60..=90 * 86_400).contains(&kept), "{kept}");
    let lock = "deploylock-v42 \u{1b}[1mfast";
    assert!((1..=60).contains(&redis.ask::<i64>(&["TTL", lock])));

    // once: the lock decides, not the minute
    redis.ask::<()>(&["DEL", &keys[0]]);
    let again = jobs(&redis, &["mark", "v42 \u{1b}[1mfast"], &[]);
    assert_eq!((again.status.code(), redis.ask::<usize>(&["EXISTS", &keys[0]])), (Some(0), 0));
    let release = [("HEROKU_RELEASE_VERSION", "v43"), ("HEROKU_SLUG_DESCRIPTION", "Deploy 1a2b")];
    let output = jobs(&redis, &["mark"], &release);
    assert_eq!(text(&output.stdout), "marked: v43 Deploy 1a2b\n");

    // another one in the same minute is not drawn; should a new minute begin, the next is too late
    let late = (0..3).any(|n| {
        let answer = text(&jobs(&redis, &["mark", &format!("late {n}")], &[]).stdout);
        answer == format!("not marked, this minute has a mark: late {n}\n")
    });
    assert!(late);
}

#[test]
fn cron_hears_only_of_what_is_wrong() {
    let redis = Redis::start();
    let quiet = |limit: &str| {
        let output = jobs(&redis, &["check", "--max-runtime", limit, "--quiet"], &[]);
        (text(&output.stdout), text(&output.stderr), output.status.code())
    };
    let (out, error, code) = quiet("30m");
    let socket = redis.dir().join("redis.sock");
    assert!(
        error.contains("no worker process is alive") && error.contains(socket.to_str().unwrap())
    );
    assert_eq!((out.as_str(), error.lines().count(), code), ("", 1, Some(0)));
    process(&redis, "a:1:x", &["work"], &json!({ "class": "Old", "jid": "1" }));
    assert_eq!(quiet("2d"), (String::new(), String::new(), Some(0)));
    let (out, error, code) = quiet("30m");
    assert!(out.contains("Old 1 on q") && error.is_empty(), "{out} {error}");
    assert_eq!(code, Some(1));
}

/// A receiver that takes webhooks; those to `/hang` get no answer. Gives path and body.
pub fn receiver() -> (u16, Receiver<(String, String)>) {
    use std::io::{BufRead, BufReader, Read};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, posts) = channel();
    std::thread::spawn(move || {
        let mut unanswered = Vec::new();
        for socket in listener.incoming().flatten() {
            let (mut reader, mut head) = (BufReader::new(socket), String::new());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let mut body = vec![0; length.lines().next().unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            if path == "/hang" {
                unanswered.push(reader);
            } else {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                reader.get_mut().write_all(answer).unwrap();
            }
            if sender.send((path, text(&body))).is_err() {
                return;
            }
        }
    });
    (port, posts)
}

/// The text of the next notice.
fn notice(posts: &Receiver<(String, String)>) -> String {
    wait_for("a notice", || {
        let (path, body) = posts.recv_timeout(Duration::from_secs(60)).unwrap();
        (path == "/chat").then_some(body)
    })
}

#[test]
fn the_programs_tell_of_a_hung_job_of_its_end_and_of_the_return() {
    let redis = Redis::start();
    let (port, posts) = receiver();
    let (chat, hang) =
        (format!("http://127.0.0.1:{port}/chat"), format!("http://127.0.0.1:{port}/hang"));
    let told =
        [("STUCK_JOB_WEBHOOK", &*chat), ("WEBHOOK_ALLOW_PRIVATE", "true"), ("DYNO", "worker.1")];
    let worker = |seconds: &str| {
        let vars = [&told[..], &[("JOB_TIMEOUT", seconds), ("SHUTDOWN_TIMEOUT", "1")]].concat();
        Process::spawn(program("worker", &redis, &vars))
    };
    let push = |jid: &str| {
        let args = json!([hang, { "type": "s3cret" }]);
        let job = json!({ "class": "DeliverWebhook", "args": args, "jid": jid, "retry": false });
        redis.ask::<()>(&["LPUSH", "queue:webhooks", &job.to_string()]);
    };

    let mut first = worker("1");
    push("limited");
    let text = notice(&posts);
    for words in ["DeliverWebhook", "limited", "on webhooks", "worker.1:", "counts as failed"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("s3cret") && !text.contains("hang"), "{text}");
    first.signal("TERM");
    assert_eq!(first.end().code(), Some(0));

    let mut second = worker("0");
    push("endless");
    let stop = ["check", "--max-runtime", "1", "--stop"];
    wait_for("the check to find it", || {
        (jobs(&redis, &stop, &told).status.code() == Some(1)).then_some(())
    });
    let text = notice(&posts);
    assert!(text.contains("endless") && text.contains("told to stop"), "{text}");
    assert_eq!(second.end().code(), Some(0));
    assert_eq!(redis.ask::<usize>(&["LLEN", "queue:webhooks"]), 1, "the job is back");
    let _third = worker("0");
    let text = notice(&posts);
    assert!(text.contains("is back after") && text.contains("endless"), "{text}");
}

#[test]
fn a_queue_is_paused_and_resumed() {
    let redis = Redis::start();
    let command = |words: &[&str]| {
        let output = jobs(&redis, words, &[]);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        (text(&output.stdout), text(&output.stderr))
    };
    let paused = || redis.ask::<Vec<String>>(&["SMEMBERS", "paused"]);
    redis.ask::<()>(&["SADD", "queues", "imports"]);
    let said = command(&["pause", "imports"]);
    assert_eq!(said, ("paused: imports; `jobs resume imports` ends it\n".into(), String::new()));
    assert_eq!(paused(), ["imports"]);
    assert_eq!(command(&["pause", "imports"]).0, "imports was paused before\n");
    assert_eq!(command(&["resume", "imports"]), ("resumed: imports\n".into(), String::new()));
    assert_eq!(command(&["resume", "imports"]).0, "imports was not paused\n");
    assert!(paused().is_empty());
    let (said, remark) = command(&["pause", "imprts\u{1b}[2J"]);
    assert!(said.starts_with("paused: imprts\\u{1b}[2J"), "{said}");
    assert!(remark.starts_with("jobs: nobody has pushed to a queue imprts"), "{remark}");
    redis.ask::<()>(&["DEL", "paused"]);
    redis.ask::<()>(&["SET", "paused", "no set"]);
    let output = jobs(&redis, &["pause", "imports"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("WRONGTYPE"));
}
