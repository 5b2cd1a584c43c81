//! A Redis server of a test's own: on a socket in a directory that goes with it.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::address::Address;
use super::connection::RedisOptions;
use super::jid::random_hex;
use super::redis::Redis;

/// How long a server may take to answer: it is never waited out where things work.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `redis-server` or `valkey-server`, whichever is on the PATH. Ends when it is dropped.
pub struct PrivateRedis {
    server: Option<Child>,
    dir: PathBuf,
    args: Vec<String>,
}

impl PrivateRedis {
    /// Starts one that keeps nothing on disk, and waits until it answers.
    pub fn start() -> io::Result<PrivateRedis> {
        PrivateRedis::with(&["--save", "", "--appendonly", "no"])
    }

    /// Starts one with these arguments.
    pub fn with(args: &[&str]) -> io::Result<PrivateRedis> {
        let mut redis = PrivateRedis::absent(args)?;
        redis.launch()?;
        let began = Instant::now();
        while !redis.answers() {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other("the server that was started does not answer"));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(redis)
    }

    /// Only the place: nothing answers there before `launch`.
    pub fn absent(args: &[&str]) -> io::Result<PrivateRedis> {
        let name = format!("roustabout-{}", random_hex::<8>());
        let dir = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&dir)?; // nobody else's business
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Ok(PrivateRedis { server: None, dir, args })
    }

    /// Starts the server (again) without waiting for it.
    pub fn launch(&mut self) -> io::Result<()> {
        let mut missing = "no redis-server and no valkey-server on the PATH".to_owned();
        for program in ["redis-server", "valkey-server"] {
            let mut command = Command::new(program);
            command.args(["--port", "0", "--dir"]).arg(&self.dir);
            command.arg("--unixsocket").arg(self.socket()).args(&self.args);
            match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
                Ok(server) => {
                    self.server = Some(server);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => missing = error.to_string(),
            }
        }
        Err(io::Error::other(missing))
    }

    /// Whether it serves by now.
    pub fn answers(&self) -> bool {
        ping(&self.socket()).is_ok()
    }

    /// SIGKILL, as when the machine goes away; `launch` starts it again.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Waits until it has ended by itself, after a `SHUTDOWN` or a signal.
    pub fn wait(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }

    /// The server's process, if it was started.
    pub fn id(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// A connection to it. Needs a tokio runtime.
    pub fn connect(&self) -> Redis {
        Redis::connect(RedisOptions::at(Address::of_socket(self.socket())))
    }

    /// What `REDIS_URL` is to be.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// Its directory, in which there is room for other things too.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn ping(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    match &answer {
        b"-LOAD" => Err(io::Error::other("it reads its file")),
        _ => Ok(()), // also where it wants a password first
    }
}
