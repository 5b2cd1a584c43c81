//! The real programs, their logs read as they grow.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::eventually;

/// A `web` or `worker` with a clean environment; it dies with this.
pub struct Program {
    process: Child,
    dir: TempDir,
}

impl Program {
    pub fn start(name: &str, redis_url: &str, vars: &[(&str, &str)]) -> Program {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = File::create(dir.path().join("log")).expect("a log");
        let path = match name {
            "web" => env!("CARGO_BIN_EXE_web"),
            _ => env!("CARGO_BIN_EXE_worker"),
        };
        let mut command = Command::new(path);
        command.env_clear().env("DYNO", "test.1").env("PORT", free_port().to_string());
        command.env("REDIS_URL", redis_url).envs(vars.iter().copied());
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Program { process: command.spawn().expect("it starts"), dir }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// All of its log so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The first line of its log that says this, as soon as there is one.
    pub async fn says(&self, text: &str) -> String {
        let line = || self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        eventually(text, async || line().is_some()).await;
        line().expect("just seen")
    }

    /// How many lines of its log say this.
    pub fn said(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}
