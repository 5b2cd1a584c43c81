//! A private Redis and the real programs, each ended when its test ends.

use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use roustabout::engine::testing::PrivateRedis;

/// How long anything may take before a test fails. Generous: it is never waited out when things
/// work.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Polls until `check` gives something.
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether an optional program is installed; a test without it says so and passes.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !found {
        eprintln!("SKIPPED: no {program} here");
    }
    found
}

/// A Redis of this test's own.
pub struct Redis(PrivateRedis);

impl Redis {
    /// Only the place: nothing answers there yet.
    pub fn absent() -> Redis {
        Redis(PrivateRedis::absent(&["--save", "", "--appendonly", "no"]).unwrap())
    }

    pub fn start() -> Redis {
        let mut redis = Redis::absent();
        redis.run();
        redis
    }

    pub fn run(&mut self) {
        self.0.launch().expect("redis-server on the PATH");
        wait_for("redis-server", || self.0.answers().then_some(()));
    }

    /// Ends the server as if it had died; `run` starts it again.
    pub fn stop(&mut self) {
        self.0.kill();
    }

    /// Sends the server a signal by name.
    pub fn signal(&self, name: &str) {
        signal(name, self.0.id().expect("a running Redis"));
    }

    pub fn dir(&self) -> &Path {
        self.0.dir()
    }

    pub fn url(&self) -> String {
        self.0.url()
    }

    fn try_connection(&self) -> Option<redis::Connection> {
        let url = format!("redis+unix://{}", self.0.socket().display());
        let mut connection = redis::Client::open(url).ok()?.get_connection().ok()?;
        redis::cmd("PING").query::<()>(&mut connection).ok().map(|()| connection)
    }

    /// Asks the server itself.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).unwrap()
    }

    /// The same where it may refuse.
    pub fn try_ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let mut connection = self.try_connection().expect("a running Redis");
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection)
    }
}

/// One of the programs with a clean environment, in the directory of its Redis.
pub fn program(name: &str, redis: &Redis, vars: &[(&str, &str)]) -> Command {
    let path = match name {
        "web" => env!("CARGO_BIN_EXE_web"),
        "jobs" => env!("CARGO_BIN_EXE_jobs"),
        _ => env!("CARGO_BIN_EXE_worker"),
    };
    program_at(path.as_ref(), redis, vars)
}

/// The same for a program built elsewhere.
pub fn program_at(path: &Path, redis: &Redis, vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("REDIS_URL", redis.url()).envs(vars.iter().copied());
    command.current_dir(redis.dir()).stdin(Stdio::null());
    command
}

/// A program that runs in the background.
pub struct Process(Child);

impl Process {
    pub fn spawn(mut command: Command) -> Process {
        Process(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// One whose log goes into a file.
    pub fn logging(mut command: Command, log: &Path) -> Process {
        Process(command.stderr(File::create(log).unwrap()).spawn().unwrap())
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        signal(name, self.0.id());
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// SIGKILL, and wait.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for the end.
    pub fn end(&mut self) -> ExitStatus {
        wait_for("the process to exit", || self.exited())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Runs a program that is to end by itself.
pub fn run(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = wait_for("the program to end", || child.try_wait().unwrap());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status, stdout, stderr }
}

/// A port nobody listens on at this moment.
pub fn free_port() -> u16 {
    // not from those that the system gives away: another test may be given it before it is used
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 1_000) as u16 * 10;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        if TcpListener::bind(("::", port)).is_ok() {
            return port;
        }
    }
}

/// A running `web`.
pub struct Web {
    pub port: u16,
    pub process: Process,
}

impl Web {
    pub fn start(redis: &Redis, vars: &[(&str, &str)]) -> Web {
        Web::launch(program("web", redis, vars))
    }

    /// One whose log goes into a file.
    pub fn logging(redis: &Redis, vars: &[(&str, &str)], log: &Path) -> Web {
        let log = File::create(log).unwrap();
        let program = program("web", redis, vars);
        let web = Web::spawn(program, "PORT", || log.try_clone().unwrap().into());
        wait_for("web to be ready", || (web.get("/ready").status == 200).then_some(()));
        web
    }

    /// Starts it on a free port and waits until it listens. A port that was free a moment ago may
    /// be taken by now; then on another.
    pub fn launch(command: Command) -> Web {
        Web::spawn(command, "PORT", Stdio::null)
    }

    /// A `worker` that listens, too: on its health port.
    pub fn worker(redis: &Redis, vars: &[(&str, &str)]) -> Web {
        Web::spawn(program("worker", redis, vars), "WORKER_HEALTH_PORT", Stdio::null)
    }

    fn spawn(mut command: Command, variable: &str, log: impl Fn() -> Stdio) -> Web {
        for _ in 0..5 {
            let port = free_port();
            command.env(variable, port.to_string()).stderr(log());
            let mut process = Process(command.spawn().unwrap());
            let listens = wait_for("web to listen", || match process.exited() {
                Some(_) => Some(false),
                None => TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true),
            });
            if listens && process.exited().is_none() {
                return Web { port, process };
            }
        }
        panic!("web does not start");
    }

    /// One whose connection to Redis is up.
    pub fn ready(redis: &Redis, vars: &[(&str, &str)]) -> Web {
        let web = Web::start(redis, vars);
        wait_for("web to be ready", || (web.get("/ready").status == 200).then_some(()));
        web
    }
}

/// A running `worker`.
pub fn worker(redis: &Redis, vars: &[(&str, &str)]) -> Process {
    Process::spawn(program("worker", redis, vars))
}
