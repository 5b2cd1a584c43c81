//! Somebody else's server: takes webhooks, and counts for each id what became of its deliveries.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::wire::closed;

/// What a slow answer takes: more than from one deploy to the next, less than the grace.
const SLOW: Duration = Duration::from_millis(300);

/// The deliveries of one id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The sender got its answer.
    pub answered: u32,
    /// The sender went away before.
    pub cut: u32,
    /// Not answered yet.
    pub open: u32,
}

#[derive(Clone)]
pub struct Receiver {
    port: u16,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
}

impl Receiver {
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver =
            Receiver { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let this = receiver.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let this = this.clone();
                thread::spawn(move || this.receive(&socket));
            }
        });
        receiver
    }

    /// Where to deliver: `quick`, `slow`, or `held`: that one is not answered before it was cut
    /// once.
    pub fn url(&self, how: &str) -> String {
        format!("http://127.0.0.1:{}/{how}", self.port)
    }

    pub fn seen(&self, id: &str) -> Seen {
        self.seen.lock().expect("no panic").get(id).copied().unwrap_or_default()
    }

    pub fn all(&self) -> HashMap<String, Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    pub fn answered(&self) -> usize {
        self.seen.lock().expect("no panic").values().filter(|seen| seen.answered > 0).count()
    }

    fn note<T>(&self, id: &str, change: impl FnOnce(&mut Seen) -> T) -> T {
        change(self.seen.lock().expect("no panic").entry(id.to_owned()).or_default())
    }

    fn receive(&self, socket: &TcpStream) -> Option<()> {
        let (path, id) = head_and_body(socket)?;
        let first = self.note(&id, |seen| {
            seen.open += 1;
            *seen == Seen { open: 1, ..Seen::default() }
        });
        match path.as_str() {
            "/slow" => thread::sleep(SLOW),
            // until the other side goes away
            "/held" if first => drop((&*socket).read(&mut [0])),
            _ => {}
        }
        let cut = closed(socket);
        self.note(&id, |seen| {
            seen.open -= 1;
            if cut { seen.cut += 1 } else { seen.answered += 1 }
        });
        let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        (&*socket).write_all(answer.as_bytes()).ok()
    }
}

/// The path, and the `webhook-id`.
fn head_and_body(socket: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(socket);
    let (mut path, mut id, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some(("webhook-id", value)) => id = value.to_owned(),
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => path = line.split(' ').nth(1)?.to_owned(),
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some((path, id))
}
