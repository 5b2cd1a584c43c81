//! A job that hangs, and what operators do about it: the script that they know from Sidekiq,
//! run by a real Ruby with a real Sidekiq against our worker, and `jobs check --stop`, against
//! our worker and a Ruby one. Without Ruby and Sidekiq those tests say so and pass.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::child::{Child, Gate, Setup, noted, notes};
use crate::interop::ruby;
use crate::lost_replies::held;
use crate::receiver::Receiver;
use crate::support::{Server, client, eventually};

fn file(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stuck");
    dir.join(name).display().to_string()
}

/// The script's lines, with this threshold in seconds.
fn script(server: &Server, threshold: u32) -> String {
    let mut ruby = Command::new("ruby");
    ruby.arg(file("stuck.rb")).env("REDIS_URL", server.url());
    said(&ruby.env("THRESHOLD", threshold.to_string()).output().expect("ruby"), &[0])
}

/// `jobs` with these arguments, and its exit code, which must be 0 or 1.
fn jobs(server: &Server, words: &str, vars: &[(&str, &str)]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobs"));
    command.env_clear().env("REDIS_URL", server.url()).envs(vars.iter().copied());
    let output = command.args(words.split(' ')).output().expect("jobs");
    (said(&output, &[0, 1]), output.status.code().expect("a code"))
}

fn said(output: &Output, codes: &[i32]) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{errors}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// A worker, a job that hangs in it, and the job's id.
async fn hanging(server: &Server) -> (Child, String) {
    let child = Setup { grace: Duration::from_secs(1), ..Setup::new(server) }.start();
    let jid = client(server).enqueue(Gate { name: "hung".into() }).await.unwrap();
    notes(server, "start hung").await;
    (child, jid.into())
}

/// It stopped as one that was asked to, and the job runs elsewhere, to its end.
async fn stops_and_gives_back(server: &Server, mut child: Child) {
    assert_eq!(child.ended().await, Some(0), "{}", child.log());
    assert_eq!((server.query::<u32>("LLEN queue:default").await, held(server).await), (1, 0));
    let next = Child::of(server);
    eventually("it runs again", async || noted(server, "start hung").await == 2).await;
    let () = server.query("SET test:gate open").await;
    notes(server, "end hung").await;
    assert_eq!(server.query::<u32>("EXISTS retry dead roustabout:rescues").await, 0);
    next.stop().await;
}

#[tokio::test]
async fn the_script_that_operators_know_stops_a_worker_of_ours() {
    if !ruby::is_here() {
        return;
    }
    let server = Server::start().await;
    let (mut child, jid) = hanging(&server).await;
    let identity = child.identity(&server).await;
    eventually("its age shows", async || jobs(&server, "check --max-runtime 2", &[]).1 == 1).await;
    assert_eq!(script(&server, 3_600), "");
    assert!(child.runs() && !server.query::<bool>(&format!("EXISTS {identity}-signals")).await);
    let line = script(&server, 1);
    assert!(line.starts_with(&identity), "{line}");
    assert!(line.ends_with(&format!(": Gate {jid} on default\n")), "{line}");
    stops_and_gives_back(&server, child).await;
}

#[tokio::test]
async fn our_own_check_stops_it_and_tells() {
    let (server, receiver) = (Server::start().await, Receiver::start());
    let (mut child, jid) = hanging(&server).await;
    let identity = child.identity(&server).await;
    let vars = [("STUCK_JOB_WEBHOOK", &*receiver.url), ("WEBHOOK_ALLOW_PRIVATE", "true")];
    let check = |words: &str| jobs(&server, &format!("check --max-runtime {words}"), &vars);
    eventually("its age shows", async || check("1s").1 == 1).await;
    let (text, code) = check("1h --stop");
    assert_eq!((&*text, code), ("no job has run longer than 1h (running: 1, processes: 1)\n", 0));
    let (text, _) = check("1s");
    assert!(text.contains(&format!("\n  Gate {jid} on default for ")), "{text}");
    assert!(child.runs() && !server.query::<bool>(&format!("EXISTS {identity}-signals")).await);
    assert!(receiver.texts().is_empty(), "{:?}", receiver.texts());
    let (text, code) = check("1s --stop");
    assert_eq!(code, 1);
    assert!(text.ends_with(&format!(" in {identity}\ntold {identity} to stop\n")), "{text}");
    let texts = receiver.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    for words in ["Gate", &*jid, "on default", "running for", &*identity, "told to stop"] {
        assert!(texts[0].contains(words), "{words}: {texts:?}");
    }
    assert!(!texts[0].contains("hung"), "an argument: {texts:?}");
    stops_and_gives_back(&server, child).await;
    assert_eq!(check("1s").1, 0);
}

/// A real Sidekiq with its own jobs; it dies with this.
struct Ruby(std::process::Child);

impl Ruby {
    fn start(server: &Server) -> Ruby {
        let mut command = Command::new("sidekiq");
        command.args(["-r", &file("worker.rb"), "-c", "1", "-t", "1", "-q", "ruby"]);
        command.env("REDIS_URL", server.url()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ruby(command.spawn().expect("sidekiq"))
    }
}

impl Drop for Ruby {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn our_own_check_stops_a_ruby_worker() {
    if !ruby::is_here() {
        return;
    }
    let server = Server::start().await;
    let mut ruby = Ruby::start(&server);
    let mut push = redis::cmd("LPUSH");
    push.arg("queue:ruby");
    push.arg(r#"{"class":"Hang","args":["s3cret"],"queue":"ruby","jid":"abc","retry":true}"#);
    let () = push.query_async(&mut server.connect().await).await.unwrap();
    let check = |words: &str| jobs(&server, &format!("check --max-runtime {words}"), &[]);
    eventually("it is seen", async || check("1s").1 == 1).await;
    assert_eq!(check("1h").1, 0);
    let (json, _) = check("1s --json --stop");
    let seen: Value = serde_json::from_str(&json).unwrap();
    let stuck = &seen["stuck"][0];
    assert_eq!((&stuck["class"], &stuck["jid"]), (&"Hang".into(), &"abc".into()), "{json}");
    assert_eq!((&stuck["queue"], &seen["running"]), (&"ruby".into(), &1.into()), "{json}");
    assert_eq!(seen["stopped"][0], stuck["process"], "{json}");
    assert!(stuck["process"].as_str().unwrap().contains(&format!(":{}:", ruby.0.id())), "{json}");
    assert!(!json.contains("s3cret"), "{json}");
    let mut ended = || ruby.0.try_wait().expect("ours").is_some();
    eventually("it ends", || std::future::ready(ended())).await;
    assert_eq!(ruby.0.wait().unwrap().code(), Some(0));
    assert_eq!(server.query::<u32>("LLEN queue:ruby").await, 1);
    let notes: Vec<String> = server.query("KEYS roustabout:*").await;
    assert!(notes.is_empty(), "a Ruby process would not say that it is back: {notes:?}");
}
