//! A worker process of its own, to send signals to: this test binary, run again on the one
//! ignored test below. Its jobs write into a diary in Redis, outside of the engine's keys.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, cmd};
use roustabout::engine::{
    JobContext, Lifecycle, Redis, RedisOptions, Registry, TlsVerify, Worker, WorkerOptions,
};
use roustabout::notices::{Notices, Receiver};
use roustabout::pidfile::Pidfile;
use roustabout::supervision::{self, Service};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::ledger::Ledger;
use crate::support::{Server, brisk, eventually, open};
use crate::toil;

const DIARY: &str = "test:diary";
const SETUP: &str = "WORKER_PROCESS";
/// Where a process with such a variable keeps its pidfile.
pub const PIDFILE: &str = "WORKER_PROCESS_PIDFILE";

/// With such a variable its last acts are bad ones.
pub const BAD_ACTS: &str = "WORKER_PROCESS_BAD_ACTS";

/// How the process works.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    pub url: String,
    pub concurrency: usize,
    pub grace: Duration,
    /// The engine's own times instead of short ones.
    pub unhurried: bool,
    /// When a `Note` of this name is enqueued.
    pub cron: Option<String>,
    pub stall_timeout: Option<Duration>,
    pub memory_limit: Option<u64>,
    pub job_timeout: Option<Duration>,
    /// Where its notices go, and whether that may be on this machine.
    pub notices: Option<(String, bool)>,
    /// Where it records what it does, in a storm.
    pub post: Option<Post>,
}

/// A worker among many.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Post {
    /// What the record calls it; pids come back.
    pub name: String,
    /// The server of the record.
    pub ledger: String,
}

impl Setup {
    pub fn new(server: &Server) -> Setup {
        let (concurrency, grace) = (10, Duration::from_secs(30));
        let (stall_timeout, memory_limit) = (None, None);
        let (url, unhurried, cron, post) = (server.url(), false, None, None);
        let (job_timeout, notices) = (None, None);
        Setup {
            url,
            concurrency,
            grace,
            unhurried,
            cron,
            stall_timeout,
            memory_limit,
            job_timeout,
            notices,
            post,
        }
    }

    pub fn start(&self) -> Child {
        self.start_with(&[])
    }

    /// With these variables as well.
    pub fn start_with(&self, vars: &[(&str, &str)]) -> Child {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "child::worker_process", "--ignored", "--nocapture"]);
        command.env(SETUP, serde_json::to_string(self).expect("JSON"));
        if self.post.is_some() {
            command.env("DYNO", "worker.1"); // as of old and new in a deploy
        }
        command.envs(vars.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Child { process: command.spawn().expect("it starts"), dir }
    }
}

/// The process; it dies with this.
pub struct Child {
    process: std::process::Child,
    dir: TempDir,
}

impl Child {
    /// One with the usual setup.
    pub fn of(server: &Server) -> Child {
        Setup::new(server).start()
    }

    /// One that logs in as `NAME:PASSWORD`.
    pub fn as_user(server: &Server, user: &str) -> Child {
        let url = server.url().replace("unix://", &format!("unix://{user}@localhost"));
        Setup { url, ..Setup::new(server) }.start()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([format!("-{name}"), pid]).status();
        assert!(sent.expect("kill").success(), "no such process");
    }

    /// SIGKILL, and wait.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Waits for the end: the exit code, or nothing if a signal killed it.
    pub async fn ended(&mut self) -> Option<i32> {
        eventually("the process ends", || std::future::ready(!self.runs())).await;
        self.process.wait().expect("it has ended").code()
    }

    pub fn runs(&mut self) -> bool {
        self.process.try_wait().expect("ours").is_none()
    }

    /// TERM, and a clean end.
    pub async fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.ended().await, Some(0), "{}", self.log());
    }

    /// What it has written to stderr.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub async fn logs(&self, words: &str) {
        eventually(words, async || self.log().contains(words)).await;
    }

    /// Its identity in Redis, once it has registered.
    pub async fn identity(&self, server: &Server) -> String {
        let mark = format!(":{}:", self.process.id());
        let ours = async || {
            let all: Vec<String> = server.query("SMEMBERS processes").await;
            all.into_iter().find(|identity| identity.contains(&mark))
        };
        eventually("it registers", async || ours().await.is_some()).await;
        ours().await.expect("registered")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The diary as it stands.
pub async fn diary(server: &Server) -> Vec<String> {
    server.query(&format!("LRANGE {DIARY} 0 -1")).await
}

/// How often a line stands in the diary.
pub async fn noted(server: &Server, line: &str) -> usize {
    diary(server).await.iter().filter(|other| *other == line).count()
}

/// Waits until a line stands in the diary.
pub async fn notes(server: &Server, line: &str) {
    eventually(line, async || noted(server, line).await > 0).await;
}

/// What the jobs share.
#[derive(Clone)]
pub struct Book {
    redis: Redis,
    pub ledger: Ledger,
    pub name: String,
}

impl Book {
    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        Ok(self.redis.query(&command).await?)
    }

    async fn note(&self, line: String) -> anyhow::Result<()> {
        self.ask(&["RPUSH", DIARY, &line]).await
    }

    async fn gate_is_open(&self) -> anyhow::Result<bool> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.ask(&["EXISTS", "test:gate"]).await
    }
}

macro_rules! jobs {
    ($($name:ident { $($field:ident: $type:ty),* } |$this:ident, $cx:ident| $body:block)*) => {$(
        #[derive(Serialize, Deserialize)]
        pub struct $name { $(pub $field: $type),* }
        impl roustabout::engine::Job for $name {
            type App = Book;
            const CLASS: &'static str = stringify!($name);
            async fn perform(self, $cx: JobContext<Book>) -> anyhow::Result<()> {
                let $this = self;
                $body
            }
        }
    )*};
}

jobs! {
    // does nothing but note that it ran
    Note { name: String } |this, cx| {
        cx.app.note(this.name).await
    }
    // runs until the test opens the gate
    Gate { name: String } |this, cx| {
        cx.app.note(format!("start {}", this.name)).await?;
        while !cx.app.gate_is_open().await? {}
        cx.app.note(format!("end {}", this.name)).await
    }
    // notes each number up to `to` in a set, with a cursor; slowly until the gate is open
    Count { name: String, to: u32 } |this, cx| {
        let (from, set) = (cx.cursor().await?.unwrap_or(0), format!("test:{}", this.name));
        cx.app.note(format!("start {} at {from}", this.name)).await?;
        let mut hurry = false;
        for at in from..this.to {
            let () = cx.app.ask(&["SADD", &set, &at.to_string()]).await?;
            cx.checkpoint(at + 1).await?;
            if !hurry {
                hurry = cx.app.gate_is_open().await?;
            }
        }
        cx.app.note(format!("end {}", this.name)).await
    }
    // sleeps, and needs nothing for it
    Nap { millis: u64 } |this, _cx| {
        tokio::time::sleep(Duration::from_millis(this.millis)).await;
        Ok(())
    }
    // kills its process
    Killer {} |_this, cx| {
        cx.app.note("killer".into()).await?;
        std::process::abort()
    }
    // never gives its thread back
    Block {} |_this, _cx| {
        std::thread::sleep(Duration::from_secs(3_600));
        Ok(())
    }
    // holds its thread until there is such a file
    Hold { path: String } |this, _cx| {
        while !std::fs::exists(&this.path)? {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
    // keeps what it takes
    Leak { mib: usize } |this, cx| {
        Vec::leak(vec![1u8; this.mib << 20]);
        cx.app.note("leaked".into()).await
    }
    // the first run goes on until it learns that it lost its job or the gate opens, the second
    // one ends well
    Frozen { name: String } |this, cx| {
        let starts: u32 = cx.app.ask(&["INCR", &format!("test:{}", this.name)]).await?;
        let _: Option<u32> = cx.cursor().await?;
        cx.app.note(format!("start {}", this.name)).await?;
        if starts > 1 {
            return cx.app.note(format!("end {}", this.name)).await;
        }
        loop {
            match this.name.as_str() {
                "flag" if cx.stopping() => return cx.app.note("told by the flag".into()).await,
                "cursor" => if let Err(error) = cx.checkpoint(0).await {
                    cx.app.note(format!("told: {error}")).await?;
                    return Err(error);
                }
                "success" if cx.app.gate_is_open().await? => return Ok(()),
                "failure" if cx.app.gate_is_open().await? => anyhow::bail!("too late"),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Setup {
    fn redis(&self) -> Redis {
        match self.unhurried {
            true => Redis::connect(RedisOptions::parse(&self.url, TlsVerify::Full).expect("a URL")),
            false => open(&self.url),
        }
    }

    fn notices(&self) -> Option<Notices> {
        let (url, allow_private) = self.notices.as_ref()?;
        let receiver = Receiver::new(url, *allow_private).expect("a client");
        Some(Notices::to(receiver).expect("a thread"))
    }

    fn registry(&self, redis: &Redis) -> Registry<Book> {
        let redis = redis.clone();
        if let Some(Post { name, ledger }) = self.post.clone() {
            let ledger = Ledger::on(open(&ledger));
            return toil::register(Registry::new(Book { redis, ledger, name }));
        }
        let ledger = Ledger::on(redis.clone());
        let registry = Registry::new(Book { redis, ledger, name: String::new() });
        let registry = registry.job::<Note>().job::<Gate>().job::<Count>().job::<Nap>();
        let registry = registry.job::<Killer>().job::<Frozen>().job::<Block>().job::<Leak>();
        let registry = registry.job::<Hold>();
        match &self.cron {
            Some(times) => registry.cron("cron", times, Note { name: "cron".into() }),
            None => registry,
        }
    }
}

/// Not a test: the process that tests start.
#[test]
#[ignore = "the worker process of other tests"]
fn worker_process() {
    let Ok(setup) = std::env::var(SETUP) else { return };
    let setup: Setup = serde_json::from_str(&setup).expect("a setup");
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let notices = setup.notices();
    let tell = notices.clone();
    let ended = runtime.block_on(async {
        let lifecycle = Lifecycle::for_worker()?;
        tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
        let redis = setup.redis();
        let registry = setup.registry(&redis);
        let times = if setup.unhurried { WorkerOptions::default() } else { brisk() };
        let (concurrency, shutdown_timeout) = (setup.concurrency, setup.grace);
        let (stall_timeout, memory_limit) = (setup.stall_timeout, setup.memory_limit);
        let own =
            WorkerOptions { concurrency, shutdown_timeout, stall_timeout, memory_limit, ..times };
        supervision::start(Service::Worker(concurrency), &lifecycle, shutdown_timeout);
        if std::env::var_os(BAD_ACTS).is_some() {
            lifecycle.before_leaving(|_| panic!("on purpose"));
        }
        if let Some(path) = std::env::var_os(PIDFILE) {
            let pidfile = Pidfile::claim(path.as_ref()).map_err(anyhow::Error::msg)?;
            Arc::new(pidfile).follow(&lifecycle);
        }
        if std::env::var_os(BAD_ACTS).is_some() {
            lifecycle.before_leaving(|_| std::thread::sleep(Duration::from_secs(3_600)));
        }
        let own = WorkerOptions { job_timeout: setup.job_timeout.or(own.job_timeout), ..own };
        let worker = Worker::new(own, redis, registry);
        match tell {
            Some(notices) => {
                notices.follow(&lifecycle);
                worker.notices(move |notice| notices.tell(notice)).run(lifecycle).await
            }
            None => worker.run(lifecycle).await,
        }
    });
    if let (Some(notices), Ok(exit)) = (notices, &ended) {
        notices.end(*exit);
    }
    // without unwinding through the test harness, whose exit codes are others
    std::process::exit(ended.map_or(1, |exit| exit.code().into()));
}
