//! What systemd is to a service: a socket that hears. (`tests/app` has this file, too.)

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tempfile::TempDir;

/// The socket, and what came in so far.
pub struct Notify {
    /// For `NOTIFY_SOCKET`.
    pub name: String,
    socket: UnixDatagram,
    heard: Vec<String>,
    _dir: TempDir,
}

impl Notify {
    pub fn at_a_path() -> Notify {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().join("notify");
        let name = path.to_str().expect("UTF-8").to_owned();
        Notify::on(SocketAddr::from_pathname(path).expect("an address"), name, dir)
    }

    /// One whose name is in no file system.
    pub fn abstract_name() -> Notify {
        let dir = TempDir::new().expect("a temporary directory"); // for a name of its own
        let name = dir.path().to_str().expect("UTF-8").to_owned();
        Notify::on(
            SocketAddr::from_abstract_name(&name).expect("an address"),
            format!("@{name}"),
            dir,
        )
    }

    fn on(address: SocketAddr, name: String, dir: TempDir) -> Notify {
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        socket.set_nonblocking(true).expect("it is a socket");
        Notify { name, socket, heard: Vec::new(), _dir: dir }
    }

    /// Every line so far, in order.
    pub fn heard(&mut self) -> &[String] {
        let mut datagram = [0; 4_096];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let lines = String::from_utf8(datagram[..length].to_vec()).expect("UTF-8");
            self.heard.extend(lines.lines().map(str::to_owned));
        }
        &self.heard
    }

    /// Forgets them.
    pub fn forget(&mut self) {
        self.heard();
        self.heard.clear();
    }

    /// How many of the lines so far begin like this.
    pub fn count(&mut self, begin: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(begin)).count()
    }

    /// Whether lines that begin like these came, in this order.
    pub fn has(&mut self, begins: &[&str]) -> bool {
        let mut lines = self.heard().iter();
        begins.iter().all(|begin| lines.any(|line| line.starts_with(begin)))
    }
}
