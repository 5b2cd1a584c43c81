//! The files in `ops/` as they are committed, but for the paths: units through systemd's own
//! checker, and a worker under a real monit.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Process, Redis, installed, wait_for};

/// Where the files say that the app is.
const HOME: &str = "/srv/roustabout";

fn committed(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ops").join(name)).unwrap()
}

/// An app as a deploy leaves it: `current` with the programs and a `.env`, and `shared`.
fn deployed(redis: &Redis) -> PathBuf {
    let home = redis.dir().join("app");
    let programs = home.join("current/target/release");
    fs::create_dir_all(&programs).unwrap();
    fs::create_dir(home.join("shared")).unwrap();
    symlink(env!("CARGO_BIN_EXE_worker"), programs.join("worker")).unwrap();
    symlink(env!("CARGO_BIN_EXE_web"), programs.join("web")).unwrap();
    fs::write(home.join("current/.env"), format!("REDIS_URL={}\n", redis.url())).unwrap();
    home
}

/// What a setting of a unit says.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines.into_iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no {name}")).1
}

fn verify(unit: &Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).arg(unit).output().unwrap()
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !installed("systemd-analyze") {
        return;
    }
    let redis = Redis::absent();
    let home = deployed(&redis);
    for name in ["worker@.service", "web.service"] {
        let unit = committed(&format!("systemd/{name}")).replace(HOME, home.to_str().unwrap());
        let path = redis.dir().join(name);
        fs::write(&path, &unit).unwrap();
        let Output { status, stdout, stderr } = verify(&path);
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(status.success() && said.is_empty(), "{name}: {said}");
        // it would have told
        fs::write(&path, unit.replace("Restart=", "Restrat=")).unwrap();
        let said = String::from_utf8(verify(&path).stderr).unwrap();
        assert!(said.contains("Restrat"), "{said}");
    }
}

#[test]
fn the_times_of_the_units_fit_together() {
    let seconds = |unit: &str, name: &str| setting(unit, name).parse::<u32>().unwrap();
    let worker = committed("systemd/worker@.service");
    let stall = setting(&worker, "Environment").strip_prefix("STALL_TIMEOUT=").unwrap();
    let stall: u32 = stall.parse().unwrap();
    // a sixth of the time may have passed since the last sign of life, and leaving takes a second
    assert!(stall + 2 < seconds(&worker, "WatchdogSec") * 5 / 6);
    for unit in [worker, committed("systemd/web.service")] {
        assert!(seconds(&unit, "TimeoutStopSec") > 25 + 1);
        assert_eq!(setting(&unit, "Restart"), "always");
        assert_eq!(setting(&unit, "Type"), "notify");
    }
}

/// A monit of this test's own, and what it has started.
struct Monit {
    process: Process,
    control: PathBuf,
    pidfile: PathBuf,
}

impl Monit {
    fn start(redis: &Redis) -> Monit {
        let home = deployed(redis);
        let dir = redis.dir().display();
        let service = committed("monit/worker.conf").replace(HOME, home.to_str().unwrap());
        // whoever runs the tests
        let service = service.replace(r#"as uid "roustabout" and gid "roustabout" "#, "");
        let control = format!(
            "set daemon 1\nset log {dir}/monit.log\nset pidfile {dir}/monit.pid\n\
             set idfile {dir}/monit.id\nset statefile {dir}/monit.state\n\
             set httpd unixsocket {dir}/monit.sock\n  allow localhost\n{service}"
        );
        let path = redis.dir().join("monitrc");
        fs::write(&path, control).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = Command::new("monit");
        command.arg("-I").arg("-c").arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        let process = Process::spawn(command);
        Monit { process, control: path, pidfile: home.join("shared/worker.pid") }
    }

    fn ask(&self, action: &str) {
        let mut command = Command::new("monit");
        command.arg("-c").arg(&self.control).args([action, "roustabout-worker"]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.control.with_file_name("monit.log")).unwrap_or_default()
    }

    /// The next worker after this one, when monit has seen it: until then it waits for it.
    fn new_worker(&self, last: &str) -> String {
        let pid = wait_for("a worker", || self.worker().filter(|pid| pid != last));
        let seen = format!("running with pid {pid}");
        wait_for("monit to see it", || self.log().contains(&seen).then_some(()));
        pid
    }

    /// The worker's number, if it is ready.
    fn worker(&self) -> Option<String> {
        fs::read_to_string(&self.pidfile).ok().map(|pid| pid.trim().to_owned())
    }
}

fn kill(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status();
    assert!(sent.unwrap().success());
}

impl Drop for Monit {
    fn drop(&mut self) {
        self.process.kill(); // or it would start another
        // ours, and not somebody who has its number by now
        let ours = |pid: &String| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.contains(self.pidfile.to_str().unwrap())
        };
        if let Some(pid) = self.worker().filter(ours) {
            kill("-KILL", &pid);
        }
    }
}

#[test]
fn monit_starts_stops_and_brings_back_a_worker() {
    if !installed("monit") {
        return;
    }
    let redis = Redis::start();
    let monit = Monit::start(&redis);
    let first = monit.new_worker("");
    assert_eq!(redis.ask::<usize>(&["SCARD", "processes"]), 1);
    kill("-KILL", &first);
    let second = monit.new_worker(&first);
    kill("-TERM", &second); // an end of its own, as for the sake of memory
    monit.new_worker(&second);
    monit.ask("stop");
    wait_for("a clean end", || monit.worker().is_none().then_some(()));
    let stopped = || monit.log().contains("stop action done").then_some(());
    wait_for("monit to see it", stopped);
    let log = fs::read_to_string(monit.pidfile.with_file_name("worker.log")).unwrap();
    assert_eq!(log.matches("stopped aborted=0").count(), 2, "{log}");
    assert_eq!(monit.log().matches("start:").count(), 3, "{}", monit.log());
}

#[test]
fn a_deploy_unpacks_the_programs_that_were_built_for_it() {
    let page = committed("README.md");
    let line = |part: &str| page.lines().find(|line| line.contains(part)).unwrap_or_default();
    let archive = |line: &str| {
        line.split_whitespace().find(|word| word.ends_with(".tar.gz")).map(str::to_owned)
    };
    let build = line("tar -czf");
    assert!(build.starts_with("cargo build --release --locked && "), "{build}");
    assert_eq!(archive(build).as_deref(), Some("/tmp/roustabout.tar.gz"));
    assert_eq!(archive(build), archive(line("tar -xzf")));
    for program in ["web", "worker", "jobs"] {
        assert!(build.split(' ').any(|word| word == format!("target/release/{program}")));
    }
}
