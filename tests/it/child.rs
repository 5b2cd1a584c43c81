//! A worker process of its own, to send signals to: this test binary, run again on the one
//! ignored test below, with the jobs of `child_jobs`.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use roustabout::engine::{
    Lifecycle, Missed, Redis, RedisOptions, Registry, Schedule, TlsVerify, Worker, WorkerOptions,
};
use roustabout::notices::{Notices, Receiver};
use roustabout::pidfile::Pidfile;
use roustabout::supervision::{self, Service};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub use crate::child_jobs::*;
use crate::everything::Anything;
use crate::ledger::Ledger;
use crate::support::{Server, brisk, eventually, open};
use crate::toil;

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
    /// `QUEUE_LIMITS`.
    pub limits: Option<String>,
    /// When a `Note` of this name is enqueued, and each time counts.
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
        let (job_timeout, notices, limits) = (None, None, None);
        Setup {
            url,
            concurrency,
            grace,
            unhurried,
            limits,
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
        let registry = registry.job::<Hold>().job::<Rows>().job::<Clog>();
        let registry = registry.job::<Anything>();
        match &self.cron {
            Some(times) => registry.cron(
                "cron",
                Schedule::new(times).missed(Missed::All),
                Note { name: "cron".into() },
            ),
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
        let limits = setup.limits.map_or(Ok(own.limits), |limits| limits.parse());
        let limits = limits.map_err(anyhow::Error::msg)?;
        let job_timeout = setup.job_timeout.or(own.job_timeout);
        let own = WorkerOptions { job_timeout, limits, ..own };
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
