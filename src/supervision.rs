//! What systemd wants to know of a service with `Type=notify`: when it is ready, how it is, that
//! it lives, that it is stopping. Nothing at all without `NOTIFY_SOCKET`.
//!
//! By hand, as the protocol is one datagram a message: the small crates know no abstract socket
//! names, and the large one brings ten others.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::engine::{Lifecycle, Phase, Pulse};

/// A stopping process asks for this much more time …
const EXTENSION: Duration = Duration::from_secs(10);
/// … this often, so that two may get lost,
const EXTEND_EVERY: Duration = Duration::from_secs(3);
/// for as long as it may take by its own rules and a second: what goes wrong then is systemd's.
const ENDING: Duration = Duration::from_secs(1);

/// Signs of life within the time that systemd allows without one. Two would do to live; but then
/// it may act after half of that time, before our own watchdog, which gives jobs back first.
const MEALS: u32 = 6;

/// What there is to tell.
pub enum Service {
    /// A worker, and how many jobs it runs at once.
    Worker(usize),
    /// A web process that listens on this port.
    Web(u16),
    /// One that is both: the port, and how many jobs.
    Both(u16, usize),
}

/// Keeps systemd informed of this process until it ends, if systemd started it; `grace` is what a
/// stop may take. Needs the runtime that it vouches for: a task of the same threads as the jobs
/// gives no sign of life when those are stuck.
pub fn start(service: Service, lifecycle: &Lifecycle, grace: Duration) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return;
    };
    match Notifier::open(&name) {
        Ok(notifier) => {
            let feed = watchdog(|name| std::env::var(name).ok()).map(|limit| limit / MEALS);
            let (lifecycle, told) = (lifecycle.clone(), Told::default());
            let reporter = Reporter { notifier, service, lifecycle, grace, told };
            tokio::spawn(reporter.run(feed));
        }
        Err(error) => tracing::warn!("NOTIFY_SOCKET: systemd hears nothing of us: {error}"),
    }
}

/// How long systemd lets us be silent, if it watches us and not the process that we come from.
fn watchdog(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let micros: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    (ours && micros > 1).then(|| Duration::from_micros(micros))
}

struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    fn open(name: &OsStr) -> io::Result<Notifier> {
        let address = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name),
            [b'@', name @ ..] => abstract_name(name),
            _ => Err(io::Error::other("its name begins with neither / nor @")),
        }?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notifier { socket, address })
    }

    /// Whoever does not listen misses it; whoever is slow is waited for.
    async fn send(&self, message: &str) {
        while let Err(error) = self.try_send(message)
            && error.kind() == io::ErrorKind::WouldBlock
        {
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn try_send(&self, message: &str) -> io::Result<usize> {
        self.socket.send_to_addr(message.as_bytes(), &self.address)
    }
}

#[cfg(target_os = "linux")]
fn abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::other("only Linux knows names with @"))
}

struct Reporter {
    notifier: Notifier,
    service: Service,
    lifecycle: Lifecycle,
    grace: Duration,
    told: Told,
}

impl Reporter {
    async fn run(mut self, feed: Option<Duration>) {
        let mut feeding = every(feed.unwrap_or(Duration::from_secs(3_600)));
        let mut extending = every(EXTEND_EVERY);
        let mut stopping = None;
        loop {
            let (phase, pulse) = (self.lifecycle.phase(), self.lifecycle.pulse());
            if let Some(news) = self.told.news(&self.service, phase, pulse) {
                self.notifier.send(&news).await;
            }
            if phase == Phase::Stopping && stopping.is_none() {
                stopping = Some(Instant::now());
                extending.reset_immediately();
            }
            let may_extend = stopping.is_some_and(|since| since.elapsed() < self.grace + ENDING);
            tokio::select! {
                () = self.lifecycle.pulse_other_than(pulse) => {}
                () = self.left(phase) => {}
                _ = feeding.tick(), if feed.is_some() => self.notifier.send("WATCHDOG=1").await,
                _ = extending.tick(), if may_extend => self.notifier.send(&extension()).await,
            }
        }
    }

    /// Resolves once the phase is a later one.
    async fn left(&self, phase: Phase) {
        match phase {
            Phase::Running => self.lifecycle.reached(Phase::Quiet).await,
            Phase::Quiet => self.lifecycle.stopping().await,
            Phase::Stopping => std::future::pending().await,
        }
    }
}

/// Who has nothing to finish is gone before this task had its turn.
impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.told.stopping {
            let _ = self.notifier.try_send("STOPPING=1");
        }
    }
}

fn extension() -> String {
    format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros())
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What systemd knows already.
#[derive(Default)]
struct Told {
    ready: bool,
    stopping: bool,
    status: String,
}

impl Told {
    /// What it has to be told, if anything has changed.
    fn news(&mut self, service: &Service, phase: Phase, pulse: Pulse) -> Option<String> {
        let mut lines = Vec::new();
        let ready = !matches!(service, Service::Worker(_)) || pulse.registered;
        if ready && !std::mem::replace(&mut self.ready, true) {
            lines.push("READY=1".to_owned());
        }
        if phase == Phase::Stopping && !std::mem::replace(&mut self.stopping, true) {
            lines.push("STOPPING=1".to_owned());
        }
        let status = status(service, phase, pulse);
        if status != self.status {
            lines.push(format!("STATUS={status}"));
            self.status = status;
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

fn status(service: &Service, phase: Phase, pulse: Pulse) -> String {
    let Pulse { registered, busy, .. } = pulse;
    let places = match (service, phase) {
        (Service::Web(_), Phase::Stopping) => return "finishing the requests in progress".into(),
        (Service::Web(port), _) => return format!("listening on port {port}"),
        (Service::Both(port, places), Phase::Running | Phase::Quiet) => {
            let jobs = status(&Service::Worker(*places), phase, pulse);
            return format!("listening on port {port}, jobs: {jobs}");
        }
        (Service::Worker(places) | Service::Both(_, places), _) => *places,
    };
    let left = match busy {
        0 => "no job left".to_owned(),
        1 => "1 job left".to_owned(),
        jobs => format!("{jobs} jobs left"),
    };
    let now = match phase {
        Phase::Running if !registered && busy == 0 => return "waiting for Redis".to_owned(),
        Phase::Running => format!("{busy} of {places} busy"),
        Phase::Quiet => format!("quiet, {left}"),
        Phase::Stopping => return format!("stopping, {left}"),
    };
    if registered { now } else { format!("{now}, waiting for Redis") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_is() {
        let worker = Service::Worker(10);
        for (phase, registered, busy, says) in [
            (Phase::Running, false, 0, "waiting for Redis"),
            (Phase::Running, true, 3, "3 of 10 busy"),
            (Phase::Running, false, 3, "3 of 10 busy, waiting for Redis"),
            (Phase::Quiet, true, 2, "quiet, 2 jobs left"),
            (Phase::Quiet, true, 1, "quiet, 1 job left"),
            (Phase::Quiet, false, 0, "quiet, no job left, waiting for Redis"),
            (Phase::Stopping, true, 2, "stopping, 2 jobs left"),
            (Phase::Stopping, false, 0, "stopping, no job left"),
        ] {
            let pulse = Pulse { registered, busy, ..Pulse::default() };
            assert_eq!(status(&worker, phase, pulse), says);
            let both = status(&Service::Both(80, 10), phase, pulse);
            let serving =
                if phase == Phase::Stopping { "" } else { "listening on port 80, jobs: " };
            assert_eq!(both, format!("{serving}{says}"));
        }
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_fed() {
        let own = std::process::id().to_string();
        for (pid, micros, fed) in [
            (None, Some("30000000"), true),
            (Some(own.as_str()), Some("30000000"), true),
            (Some("1"), Some("30000000"), false),
            (None, None, false),
            (None, Some("0"), false),
            (None, Some("soon"), false),
        ] {
            let variable = |name: &str| match name {
                "WATCHDOG_PID" => pid.map(str::to_owned),
                _ => micros.map(str::to_owned),
            };
            assert_eq!(watchdog(variable).is_some(), fed, "{pid:?} {micros:?}");
        }
    }
}
