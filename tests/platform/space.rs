//! The dynos of an app, and what happens to each.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use crate::dyno::{Dyno, End, Phase, signal};
use crate::formation::{Formation, Slot};
use crate::log::Log;
use crate::pace::{BOOT, GRACE, Pace, cool_off};
use crate::platform::App;
use crate::procfile::Procfile;
use crate::router::{Prospect, Router};
use crate::support::free_port;

/// A slot whose dyno has crashed: how often in a row, and when it is tried again.
struct Crash {
    times: u32,
    again: Option<Instant>,
}

pub struct Space {
    pub dynos: Vec<Dyno>,
    pub ends: Vec<End>,
    pub formation: Formation,
    crashes: BTreeMap<Slot, Crash>,
    config: BTreeMap<String, String>,
    procfile: Procfile,
    release: u32,
    serial: u64,
    one_offs: u32,
    preboot: bool,
    hearsay: u32,
    dir: PathBuf,
    pace: Pace,
    router: Arc<Router>,
    log: Log,
}

impl Space {
    pub fn new(app: &App<'_>, formation: Formation, router: Arc<Router>, log: Log) -> Space {
        Space {
            dynos: Vec::new(),
            ends: Vec::new(),
            formation,
            crashes: BTreeMap::new(),
            config: BTreeMap::new(),
            procfile: app.procfile.clone(),
            release: 0,
            serial: 0,
            one_offs: 0,
            preboot: app.preboot,
            hearsay: app.hearsay,
            dir: app.dir.to_owned(),
            pace: app.pace,
            router,
            log,
        }
    }

    pub fn configure(&mut self, vars: &[(&str, &str)]) {
        self.config.extend(vars.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        self.router.clients_use(self.config.get("API_TOKEN").map_or("", String::as_str));
    }

    /// All dynos anew, and what has crashed is forgiven.
    pub fn release(&mut self) {
        self.release += 1;
        self.log.line("heroku[api]", &format!("Release v{}", self.release));
        self.crashes.clear();
        self.restart(&self.formation.slots());
    }

    /// TERM to the old ones and a start of the new ones, at once. With preboot the old web dynos
    /// are stopped by `tick`, when the new ones are up.
    pub fn restart(&mut self, slots: &[Slot]) {
        let preboot = self.preboot;
        self.stop(|dyno| slots.contains(&dyno.slot) && !(preboot && dyno.slot.kind == "web"));
        slots.iter().for_each(|slot| self.start(slot));
        self.look_ahead();
    }

    pub fn scale(&mut self, to: &str) {
        let (gone, new) = self.formation.scale(to);
        for slot in gone {
            self.crashes.remove(&slot);
            self.stop(|dyno| dyno.slot == slot);
        }
        new.iter().for_each(|slot| self.start(slot));
        self.look_ahead();
    }

    pub fn prepare_one_off(&mut self, command: &mut Command) {
        self.one_offs += 1;
        self.furnish(command).env("DYNO", format!("run.{}", self.one_offs));
    }

    pub fn tick(&mut self) {
        self.bury();
        for at in 0..self.dynos.len() {
            self.follow(at);
        }
        self.switch();
        self.try_again();
        self.look_ahead();
    }

    fn start(&mut self, slot: &Slot) {
        self.serial += 1;
        let mut command = self.procfile.command(&slot.kind);
        self.furnish(&mut command);
        let port = (slot.kind == "web").then(free_port);
        let dyno = Dyno::start(command, slot.clone(), self.serial, self.release, port, &self.log);
        self.dynos.push(dyno);
    }

    /// The config, and nothing of what a developer has.
    fn furnish<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).envs(&self.config).current_dir(&self.dir)
    }

    /// The router hears of it, then the processes do; or the other way round, see `follow`.
    fn stop(&mut self, chosen: impl Fn(&Dyno) -> bool) {
        let leaving = |dyno: &&mut Dyno| dyno.current() && chosen(dyno);
        let mut told = Vec::new();
        for dyno in self.dynos.iter_mut().filter(leaving) {
            if self.hearsay == 0 {
                self.router.dismiss(dyno.serial);
            }
            dyno.enter(Phase::Stopping);
            told.push(dyno.serial);
            say(&self.log, &dyno.slot, "Stopping all processes with SIGTERM");
        }
        signal("TERM", self.dynos.iter().filter(|dyno| told.contains(&dyno.serial)));
    }

    /// Takes leave of those that have ended.
    fn bury(&mut self) {
        let mut at = 0;
        while at < self.dynos.len() {
            let Some(end) = self.dynos[at].ended() else {
                at += 1;
                continue;
            };
            let dyno = self.dynos.remove(at);
            self.router.dismiss(dyno.serial);
            say(&self.log, &dyno.slot, &format!("Process exited with status {}", end.status));
            if end.phase != Phase::Stopping && self.is_wanted(&dyno) {
                self.crashed(&dyno.slot);
            }
            self.ends.push(end);
        }
    }

    /// Whether it was the one that its slot is to have.
    fn is_wanted(&self, gone: &Dyno) -> bool {
        let replaced = self.dynos.iter().any(|dyno| dyno.slot == gone.slot && dyno.current());
        self.formation.has(&gone.slot) && !replaced && gone.release == self.release
    }

    fn crashed(&mut self, slot: &Slot) {
        let crash = self.crashes.entry(slot.clone()).or_insert(Crash { times: 0, again: None });
        crash.times += 1;
        let pause = cool_off(crash.times);
        crash.again = Some(Instant::now() + self.pace.seconds(pause));
        say(&self.log, slot, &format!("State changed to crashed; again in {pause} s"));
    }

    /// What time brings for one dyno.
    fn follow(&mut self, at: usize) {
        let (dyno, log) = (&mut self.dynos[at], &self.log);
        if dyno.phase == Phase::Stopping && dyno.since.elapsed() > self.pace.seconds(self.hearsay) {
            self.router.dismiss(dyno.serial);
        }
        match dyno.phase {
            Phase::Starting if dyno.port.is_none_or(listens) => {
                say(log, &dyno.slot, "State changed from starting to up");
                dyno.enter(Phase::Up);
                if let Some(port) = dyno.port {
                    self.router.admit(dyno.serial, port);
                }
            }
            Phase::Starting if dyno.since.elapsed() > self.pace.seconds(BOOT) => {
                let text = "Error R10 (Boot timeout) -> Web process failed to bind to $PORT";
                kill(dyno, log, &format!("{text} within {BOOT} seconds of launch"));
            }
            Phase::Stopping if dyno.since.elapsed() > self.pace.seconds(GRACE) => {
                let text = "Error R12 (Exit timeout) -> At least one process failed to exit";
                kill(dyno, log, &format!("{text} within {GRACE} seconds of SIGTERM"));
            }
            _ => {}
        }
    }

    /// With preboot: the old web dynos may go when the new ones are up.
    fn switch(&mut self) {
        let fresh = |dyno: &&Dyno| dyno.slot.kind == "web" && dyno.phase == Phase::Up;
        let release = self.release;
        let up = self.dynos.iter().filter(fresh).filter(|dyno| dyno.release == release).count();
        if self.preboot && up as u32 == self.formation.of("web") {
            self.stop(|dyno| dyno.slot.kind == "web" && dyno.release < release);
        }
    }

    /// Those that have cooled off.
    fn try_again(&mut self) {
        let now = Instant::now();
        let due = |crash: &mut Crash| crash.again.take_if(|again| *again <= now).is_some();
        let due: Vec<Slot> = self
            .crashes
            .iter_mut()
            .filter_map(|(slot, crash)| due(crash).then(|| slot.clone()))
            .collect();
        due.iter().for_each(|slot| self.start(slot));
    }

    /// Tells the router what to wait for.
    fn look_ahead(&self) {
        let booting = self.dynos.iter().any(|dyno| dyno.port.is_some() && dyno.current());
        self.router.expect(match self.formation.of("web") {
            0 => Prospect::None,
            _ if booting => Prospect::Booting,
            _ => Prospect::Crashed,
        });
    }
}

fn kill(dyno: &mut Dyno, log: &Log, error: &str) {
    say(log, &dyno.slot, error);
    say(log, &dyno.slot, "Stopping remaining processes with SIGKILL");
    dyno.enter(Phase::Killed);
    signal("KILL", [&*dyno]);
}

fn say(log: &Log, slot: &Slot, text: &str) {
    log.line(&format!("heroku[{slot}]"), text);
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
