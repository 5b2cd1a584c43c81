//! Runs scripts of ours, and whole Sidekiq workers, in a real Ruby against a test's own server.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Server, eventually};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/interop");

/// Whether there is a Ruby with Sidekiq and Active Job; says so if not.
pub fn is_here() -> bool {
    static FOUND: LazyLock<bool> =
        LazyLock::new(|| has("sidekiq/cli active_job", "ruby-sidekiq ruby-activejob"));
    *FOUND
}

/// Whether Ruby finds these libraries; says where they come from if not.
pub fn has(libraries: &str, packages: &str) -> bool {
    let mut ruby = Command::new("ruby");
    ruby.args(libraries.split(' ').map(|library| format!("-r{library}"))).args(["-e", ""]);
    let status = ruby.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = status.is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: Ruby has no {libraries} here (apt-get install {packages})");
    }
    found
}

fn command(program: &str, server: &Server) -> Command {
    let mut command = Command::new(program);
    command.current_dir(SCRIPTS).env("REDIS_URL", server.url());
    command.env("RAILS_ENV", "test").env("LANG", "C.UTF-8");
    command
}

/// A program of Sidekiq's, run to its end: what it printed.
pub async fn prints(server: &Server, program: &str) -> String {
    let mut command = command(program, server);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("no panic").expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A script that answers calls: one start of Ruby takes as long as many answers.
pub struct Session {
    process: Child,
    replies: Option<BufReader<ChildStdout>>,
}

impl Session {
    /// A server of its own and a script on it; nothing where there is no Ruby for it.
    pub async fn begin(script: &str) -> Option<(Server, Session)> {
        if !is_here() {
            return None;
        }
        let server = Server::start().await;
        let session = Session::start(&server, script);
        Some((server, session))
    }

    /// Starts one of the scripts beside this file.
    pub fn start(server: &Server, script: &str) -> Session {
        let mut command = command("ruby", server);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::null()).spawn().expect("ruby starts");
        let replies = process.stdout.take().map(BufReader::new);
        Session { process, replies }
    }

    /// Calls a method of the script. This thread stays free for the jobs of the test.
    pub async fn call<T: DeserializeOwned>(&mut self, name: &str, arguments: Value) -> T {
        let mut words = vec![json!(name)];
        words.extend(arguments.as_array().expect("an array").iter().cloned());
        let stdin = self.process.stdin.as_mut().expect("piped");
        writeln!(stdin, "{}", Value::from(words)).expect("it listens");
        let mut replies = self.replies.take().expect("one call after the other");
        let (replies, line) = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            replies.read_line(&mut line).expect("UTF-8");
            (replies, line)
        })
        .await
        .expect("no panic");
        self.replies = Some(replies);
        let mut answer: Value = serde_json::from_str(&line).expect("an answer");
        assert!(answer.get("ok").is_some(), "{answer}");
        serde_json::from_value(answer["ok"].take()).expect("the right type")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Sidekiq worker process with the jobs of `workers.rb`.
pub struct Worker {
    process: Child,
    dir: TempDir,
}

impl Worker {
    /// Starts one, and waits until it is registered.
    pub async fn start(server: &Server, concurrency: usize, queues: &[&str]) -> Worker {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut command = command("sidekiq", server);
        command.args(["-r", "./workers.rb", "-c", &concurrency.to_string(), "-t", "5"]);
        queues.iter().for_each(|queue| {
            command.args(["-q", queue]);
        });
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a log")).stdout(log);
        let worker = Worker { process: command.spawn().expect("sidekiq starts"), dir };
        let mark = format!(":{}:", worker.process.id());
        eventually("it registers", async || {
            let all: Vec<String> = server.query("SMEMBERS processes").await;
            all.iter().any(|identity| identity.contains(&mark))
        })
        .await;
        worker
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
