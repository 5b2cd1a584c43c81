//! The platform: starts and stops dynos as the formation, the releases and their own ends ask for.

use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::dyno::{End, Phase, signal};
use crate::formation::{Formation, Slot};
use crate::log::Log;
use crate::pace::Pace;
use crate::procfile::{Procfile, command};
use crate::router::Router;
use crate::space::Space;
use crate::support::{run, wait_for};

/// How often the dynos are looked at.
const TICK: Duration = Duration::from_millis(5);

/// An app on the platform.
pub struct Platform {
    pub log: Log,
    pub router: Arc<Router>,
    space: Arc<Mutex<Space>>,
    over: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

/// What an app is made of.
pub struct App<'a> {
    pub procfile: Procfile,
    pub formation: &'a str,
    pub config: &'a [(&'a str, &'a str)],
    /// Where it runs: no `.env` of a developer's may be there.
    pub dir: &'a Path,
    pub pace: Pace,
    pub preboot: bool,
    /// How long after a dyno the router hears that it is stopped.
    pub hearsay: u32,
}

impl Platform {
    /// The first release.
    pub fn start(app: App<'_>) -> Platform {
        let log = Log::default();
        let router = Arc::new(Router::new(app.pace, log.clone()));
        let formation = Formation::parse(app.formation);
        let mut space = Space::new(&app, formation, router.clone(), log.clone());
        space.configure(app.config);
        space.release();
        let (space, over) = (Arc::new(Mutex::new(space)), Arc::new(AtomicBool::new(false)));
        let (kept, until) = (space.clone(), over.clone());
        let keeper = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                kept.lock().expect("no panic").tick();
                thread::sleep(TICK);
            }
        });
        Platform { log, router, space, over, keeper: Some(keeper) }
    }

    /// A new release of the same code.
    pub fn deploy(&self) {
        self.space().release();
    }

    /// `heroku config:set`: a release too.
    pub fn configure(&self, vars: &[(&str, &str)]) {
        let mut space = self.space();
        space.configure(vars);
        space.release();
    }

    /// `heroku ps:scale`: no release, and the others stay.
    pub fn scale(&self, to: &str) {
        self.space().scale(to);
    }

    /// What comes once a day, or by `heroku ps:restart NAME`.
    pub fn cycle(&self, name: &str) {
        let slot = slot(name);
        self.log.line(&format!("heroku[{slot}]"), "Cycling");
        self.space().restart(&[slot]);
    }

    /// `heroku run`: a dyno that is nobody's but its caller's.
    pub fn run(&self, words: &[&str]) -> Output {
        let mut command = command(words);
        self.space().prepare_one_off(&mut command);
        run(command)
    }

    /// A dyno dies: memory, or its machine.
    pub fn kill(&self, name: &str) {
        let slot = slot(name);
        let space = self.space();
        signal("KILL", space.dynos.iter().filter(|dyno| dyno.slot == slot && dyno.current()));
    }

    /// How many dynos of this name live at this moment.
    pub fn living(&self, name: &str) -> usize {
        let slot = slot(name);
        self.space().dynos.iter().filter(|dyno| dyno.slot == slot).count()
    }

    /// Every dyno that has ended.
    pub fn ends(&self) -> Vec<End> {
        self.space().ends.clone()
    }

    /// Waits until all that are wanted are up, and nobody else is there.
    pub fn settled(&self) {
        wait_for("the formation", || {
            let space = self.space();
            let up = space.dynos.iter().all(|dyno| dyno.phase == Phase::Up);
            (up && space.dynos.len() == space.formation.slots().len()).then_some(())
        });
    }

    /// Scales everything to 0, and waits until the last dyno has gone.
    pub fn shut_down(&self) {
        let none: Vec<String> =
            self.space().formation.slots().iter().map(|slot| format!("{}=0", slot.kind)).collect();
        self.scale(&none.join(" "));
        wait_for("the last dyno to go", || self.space().dynos.is_empty().then_some(()));
    }

    fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().expect("no panic")
    }
}

fn slot(name: &str) -> Slot {
    let (kind, number) = name.split_once('.').unwrap();
    Slot { kind: kind.to_owned(), number: number.parse().unwrap() }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let kept = self.keeper.take().map(JoinHandle::join);
        if thread::panicking() {
            eprintln!("{}", self.log.tail(80));
        } else {
            kept.unwrap().expect("the platform does not panic");
        }
    }
}
