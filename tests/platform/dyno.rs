//! One dyno: a process under a name that others had before it and will have after it. The platform
//! signals all processes of a dyno; the Procfile's commands are one each, without a shell.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::formation::Slot;
use crate::log::Log;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Up,
    /// TERM has been sent.
    Stopping,
    /// KILL has been sent: the grace, or the time to boot, was over.
    Killed,
}

pub struct Dyno {
    pub slot: Slot,
    /// Tells dynos of one name apart; rises.
    pub serial: u64,
    pub release: u32,
    /// Only a web dyno is given one.
    pub port: Option<u16>,
    pub phase: Phase,
    /// When it came into this phase.
    pub since: Instant,
    child: Child,
    /// Whether it has written a line, and so is past its first instructions.
    spoke: Arc<AtomicBool>,
}

/// How a dyno ended.
#[derive(Clone, Debug)]
pub struct End {
    pub name: String,
    pub release: u32,
    pub status: u8,
    /// The phase in which the end came.
    pub phase: Phase,
    pub spoke: bool,
}

impl End {
    /// Told to stop, it did, by itself. A TERM that comes before a program can have installed its
    /// handlers ends it with 143, which is as well: it has begun nothing yet.
    pub fn in_order(&self) -> bool {
        let code = self.status == 0 || (self.status == 143 && !self.spoke);
        self.phase == Phase::Stopping && code
    }
}

impl Dyno {
    pub fn start(
        mut command: Command,
        slot: Slot,
        serial: u64,
        release: u32,
        port: Option<u16>,
        log: &Log,
    ) -> Dyno {
        command.env("DYNO", slot.to_string());
        if let Some(port) = port {
            command.env("PORT", port.to_string());
        }
        log.line(&format!("heroku[{slot}]"), &format!("Starting process, release v{release}"));
        let piped = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let spoke = Arc::new(AtomicBool::new(false));
        let (output, heard) = (child.stderr.take().unwrap(), spoke.clone());
        let (source, log) = (format!("app[{slot}]"), log.clone());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                heard.store(true, Ordering::Relaxed);
                log.line(&source, &line);
            }
        });
        let since = Instant::now();
        Dyno { slot, serial, release, port, phase: Phase::Starting, since, child, spoke }
    }

    pub fn enter(&mut self, phase: Phase) {
        (self.phase, self.since) = (phase, Instant::now());
    }

    /// Whether it is there to stay.
    pub fn current(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Up)
    }

    /// How it ended, if it has. The status is as a shell gives it: 128 and the signal.
    pub fn ended(&mut self) -> Option<End> {
        let status = code(self.child.try_wait().unwrap()?);
        let spoke = self.spoke.load(Ordering::Relaxed);
        let Dyno { slot, release, phase, .. } = self;
        Some(End { name: slot.to_string(), release: *release, status, phase: *phase, spoke })
    }
}

fn code(status: ExitStatus) -> u8 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap() as u8
}

/// Signals these.
pub fn signal<'a>(name: &str, dynos: impl IntoIterator<Item = &'a Dyno>) {
    let ids: Vec<String> = dynos.into_iter().map(|dyno| dyno.child.id().to_string()).collect();
    if !ids.is_empty() {
        // one that has ended by now is no failure
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}")).args(ids).stderr(Stdio::null()).status().unwrap();
    }
}

impl Drop for Dyno {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
