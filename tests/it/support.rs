//! A private Redis per test, workers in this process, and waiting without sleeping blindly.

use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue};
use roustabout::engine::testing::PrivateRedis;
use roustabout::engine::{
    Client, Exit, Lifecycle, Redis, RedisOptions, Registry, TlsVerify, Worker, WorkerOptions,
};
use tokio::task::JoinHandle;
use tracing::Dispatch;

/// How long anything in a test may take before the test gives up: generous, since machines are
/// shared; nothing is asserted about speed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A Redis of this test alone.
pub struct Server {
    redis: PrivateRedis,
}

impl Server {
    /// Starts one without persistence and waits until it answers.
    pub async fn start() -> Server {
        Server { redis: PrivateRedis::start().expect("redis-server (bin/test gets it)") }
    }

    /// Starts one with these arguments.
    pub async fn with(args: &[&str]) -> Server {
        Server { redis: PrivateRedis::with(args).expect("redis-server starts") }
    }

    /// Starts the process (again, after `kill`) without waiting.
    pub fn launch(&mut self) {
        self.redis.launch().expect("redis-server starts");
    }

    /// Waits until it serves.
    pub async fn answers(&self) {
        eventually("redis-server answers", async || self.redis.answers()).await;
    }

    /// TERM, and wait. A kill may leave half of a transaction at the end of the append-only file;
    /// Redis 7.0 cuts it inside, and the start after the next one runs that half too.
    pub fn shut_down(&mut self) {
        self.signal("TERM");
        self.redis.wait();
    }

    /// SIGKILL, as when the machine goes away.
    pub fn kill(&mut self) {
        self.redis.kill();
    }

    /// `STOP` and `CONT`: there, but as good as dead.
    pub fn signal(&self, name: &str) {
        let pid = self.redis.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([format!("-{name}"), pid]).status();
        assert!(sent.expect("kill").success(), "no such process");
    }

    pub fn socket(&self) -> PathBuf {
        self.redis.socket()
    }

    pub fn url(&self) -> String {
        self.redis.url()
    }

    /// A plain connection to look and meddle with.
    pub async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a URL");
        // not the crate's second: a test's own thread may be busy with its jobs
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&patient).await;
        connection.expect("a connection")
    }

    /// Runs one command, words separated by blanks.
    pub async fn query<T: FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut cmd = redis::cmd(words.next().expect("a command"));
        words.for_each(|word| {
            cmd.arg(word);
        });
        cmd.query_async(&mut self.connect().await).await.expect("an answer")
    }

    /// An engine connection.
    pub fn redis(&self) -> Redis {
        open(&self.url())
    }
}

/// An engine connection to any URL, impatient as tests are.
pub fn open(url: &str) -> Redis {
    impatient(url, Duration::from_secs(2))
}

/// An engine connection that waits this long for a reply.
pub fn impatient(url: &str, deadline: Duration) -> Redis {
    let mut options = RedisOptions::parse(url, TlsVerify::Full).expect("a URL");
    options.deadline = deadline;
    options.max_backoff = Duration::from_millis(200);
    Redis::connect(options)
}

/// Options with short times.
pub fn brisk() -> WorkerOptions {
    WorkerOptions {
        shutdown_timeout: Duration::from_secs(5),
        stall_timeout: None, // a test that blocks must not end all the others
        beat: Duration::from_millis(200),
        ttl: Duration::from_millis(1_500),
        reap: Duration::from_millis(200),
        safety_poll: Duration::from_secs(1),
        ..WorkerOptions::default()
    }
}

/// A worker in this process.
pub struct Running {
    pub lifecycle: Lifecycle,
    task: JoinHandle<anyhow::Result<Exit>>,
}

impl Running {
    pub fn start<A>(options: WorkerOptions, redis: Redis, registry: Registry<A>) -> Running
    where
        A: Clone + Send + Sync + 'static,
    {
        Running::launch(Worker::new(options, redis, registry))
    }

    pub fn launch(worker: Worker) -> Running {
        let lifecycle = Lifecycle::new();
        let task = tokio::spawn(worker.run(lifecycle.clone()));
        Running { lifecycle, task }
    }

    /// Stops it as TERM would and waits for the end.
    pub async fn stop(self) {
        self.lifecycle.stop();
        self.task.await.expect("no panic").expect("a clean end");
    }
}

/// What jobs of a test leave behind: shared state that every test defines its own use of.
#[derive(Clone, Default)]
pub struct Diary {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Diary {
    pub fn note(&self, line: impl ToString) {
        self.lines.lock().expect("no panic").push(line.to_string());
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    pub fn len(&self) -> usize {
        self.lines().len()
    }

    pub fn clear(&self) {
        self.lines.lock().expect("no panic").clear();
    }

    pub fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|other| *other == line).count()
    }
}

/// What this thread logs from now on, as the programs would write it. (Only what runs on the
/// test's own thread: `#[tokio::test]` without threads, and without the heartbeat's.)
#[derive(Clone, Default)]
pub struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Log {
    pub fn catch() -> (Log, tracing::subscriber::DefaultGuard) {
        // with only one subscriber in the process, tracing asks the thread that comes to a line
        // first, perhaps another test's, whether anybody wants it: so there are always two
        static SECOND: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(tracing_subscriber::fmt().finish()));
        LazyLock::force(&SECOND);
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub fn lines(&self) -> Vec<String> {
        let bytes = self.bytes.lock().expect("no panic");
        String::from_utf8(bytes.clone()).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    pub fn count(&self, words: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(words)).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.lock().expect("no panic").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits until a condition holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn client(server: &Server) -> Client {
    Client::new(server.redis())
}

/// Declares jobs: a name, fields, and the body.
#[macro_export]
macro_rules! job {
    ($name:ident { $($field:ident : $type:ty),* } $(queue $queue:literal)? $(retry $retry:expr)?, |$this:ident, $cx:ident| $body:expr) => {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct $name { $($field: $type),* }
        impl roustabout::engine::Job for $name {
            type App = $crate::support::Diary;
            const CLASS: &'static str = stringify!($name);
            $(const QUEUE: &'static str = $queue;)?
            $(const RETRY: roustabout::engine::Retry = $retry;)?
            async fn perform(self, $cx: roustabout::engine::JobContext<$crate::support::Diary>) -> anyhow::Result<()> {
                let $this = self;
                $body
            }
        }
    };
}
