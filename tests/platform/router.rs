//! The platform's router: hands requests to the newest web dyno that is up, holds them while there
//! is none, and answers 503 with a code from `heroku logs` where it cannot.
//!
//! As Heroku's second one it keeps its connections to the dynos, and repeats nothing that may have
//! reached one.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use crate::log::Log;
use crate::pace::{ANSWER, CONNECT, HOLD, Pace};
use crate::wire::{Answer, Cut, Request, closed, exchange};

/// So many requests may wait for a dyno.
const BACKLOG: usize = 100;

pub type Failure = (&'static str, &'static str);
const CRASHED: Failure = ("H10", "App crashed");
const DEEP: Failure = ("H11", "Backlog too deep");
const TIMEOUT: Failure = ("H12", "Request timeout");
const CLOSED: Failure = ("H13", "Connection closed without response");
const NO_DYNOS: Failure = ("H14", "No web dynos running");
const HALF: Failure = ("H18", "Server Request Interrupted");
const NO_CONNECTION: Failure = ("H19", "Backend connection timeout");
const BOOTING: Failure = ("H20", "App boot timeout");
const REFUSED: Failure = ("H21", "Backend connection refused");

/// What there is to wait for while no web dyno is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    None,
    Crashed,
    Booting,
}

/// A dyno that takes requests.
#[derive(Clone)]
struct Route {
    serial: u64,
    port: u16,
    idle: Arc<Mutex<Vec<TcpStream>>>,
}

struct Routes {
    up: Vec<Route>,
    prospect: Prospect,
    waiting: usize,
    token: String,
}

pub struct Router {
    routes: Mutex<Routes>,
    changed: Condvar,
    pace: Pace,
    log: Log,
}

impl Router {
    pub fn new(pace: Pace, log: Log) -> Router {
        let routes =
            Routes { up: Vec::new(), prospect: Prospect::None, waiting: 0, token: String::new() };
        Router { routes: Mutex::new(routes), changed: Condvar::new(), pace, log }
    }

    /// What clients send as their token from now on.
    pub fn clients_use(&self, token: &str) {
        self.routes().token = token.to_owned();
    }

    pub fn admit(&self, serial: u64, port: u16) {
        self.routes().up.push(Route { serial, port, idle: Arc::default() });
        self.changed.notify_all();
    }

    /// No request goes to this one any more; those that are there stay there.
    pub fn dismiss(&self, serial: u64) {
        self.routes().up.retain(|route| route.serial != serial);
    }

    pub fn expect(&self, prospect: Prospect) {
        self.routes().prospect = prospect;
        self.changed.notify_all();
    }

    pub fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let patience = Instant::now() + self.pace.seconds(HOLD);
        let answer = self.attempt(request, patience);
        if let Err((code, desc)) = answer {
            let Request { method, path, .. } = request;
            let line =
                format!("at=error code={code} desc=\"{desc}\" method={method} path=\"{path}\"");
            self.log.line("heroku[router]", &line);
        }
        answer
    }

    fn attempt(&self, request: &Request, patience: Instant) -> Result<Answer, Failure> {
        loop {
            let (route, token) = self.route(patience)?;
            let Some(socket) = self.connection(&route)? else { continue };
            return match exchange(&socket, request, &token) {
                Ok((answer, keep)) => {
                    if keep {
                        route.idle.lock().expect("no panic").push(socket);
                    }
                    Ok(answer)
                }
                Err(Cut::Nothing) => Err(CLOSED),
                Err(Cut::Half) => Err(HALF),
                Err(Cut::Late) => Err(TIMEOUT),
            };
        }
    }

    /// The newest dyno that is up, waited for if there is one to wait for.
    fn route(&self, patience: Instant) -> Result<(Route, String), Failure> {
        let mut routes = self.routes();
        loop {
            if let Some(newest) = routes.up.iter().max_by_key(|route| route.serial) {
                return Ok((newest.clone(), routes.token.clone()));
            }
            match routes.prospect {
                Prospect::None => return Err(NO_DYNOS),
                Prospect::Crashed => return Err(CRASHED),
                Prospect::Booting if routes.waiting == BACKLOG => return Err(DEEP),
                Prospect::Booting if Instant::now() >= patience => return Err(BOOTING),
                Prospect::Booting => {}
            }
            routes.waiting += 1;
            let left = patience.saturating_duration_since(Instant::now());
            routes = self.changed.wait_timeout(routes, left).expect("no panic").0;
            routes.waiting -= 1;
        }
    }

    /// An idle one or a new one; none if the dyno has gone since it was chosen.
    fn connection(&self, route: &Route) -> Result<Option<TcpStream>, Failure> {
        while let Some(socket) = route.idle.lock().expect("no panic").pop() {
            if !closed(&socket) {
                return Ok(Some(socket));
            }
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, route.port));
        match TcpStream::connect_timeout(&address, self.pace.seconds(CONNECT)) {
            Ok(socket) => {
                socket.set_read_timeout(Some(self.pace.seconds(ANSWER))).unwrap();
                socket.set_nodelay(true).unwrap();
                Ok(Some(socket))
            }
            Err(_) if self.routes().up.iter().all(|known| known.serial != route.serial) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(NO_CONNECTION),
            Err(_) => Err(REFUSED),
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().expect("no panic")
    }
}
