//! Takes webhooks: answers them at once, or holds the answers back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

/// A receiver on this machine.
pub struct Receiver {
    pub url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    /// What came: the value of `webhook-id`, and the text.
    posts: Vec<(String, String)>,
    /// The answers in turn, the last one for ever.
    answers: &'static [&'static str],
    holds: bool,
}

impl Receiver {
    pub fn start() -> Receiver {
        Receiver::answering(&["200 OK"])
    }

    pub fn answering(answers: &'static [&'static str]) -> Receiver {
        Receiver::with(State { posts: Vec::new(), answers, holds: false })
    }

    /// One that takes everything and answers nothing, until it is told to.
    pub fn hanging() -> Receiver {
        Receiver::with(State { posts: Vec::new(), answers: &["200 OK"], holds: true })
    }

    fn with(state: State) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || receive(socket, &shared));
            }
        });
        Receiver { url: format!("http://127.0.0.1:{port}/hook/s3cret"), state }
    }

    pub fn answer(&self) {
        self.state.0.lock().expect("no panic").holds = false;
        self.state.1.notify_all();
    }

    /// Everything that came, in the order of coming.
    pub fn texts(&self) -> Vec<String> {
        self.posts().into_iter().map(|(_, text)| text).collect()
    }

    /// The same with the ids.
    pub fn posts(&self) -> Vec<(String, String)> {
        self.state.0.lock().expect("no panic").posts.clone()
    }

    /// How many say this.
    pub fn count(&self, words: &str) -> usize {
        self.texts().iter().filter(|text| text.contains(words)).count()
    }
}

fn receive(socket: TcpStream, (state, released): &(Mutex<State>, Condvar)) -> Option<()> {
    let mut reader = BufReader::new(socket);
    let (mut length, mut id) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            None if line.trim_end().is_empty() => break,
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("webhook-id", value)) => id = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let object = body.as_object().expect("an object");
    assert_eq!(object.len(), 1, "a chat wants the text alone");
    let text = object["text"].as_str().expect("a text").to_owned();
    let mut guard = state.lock().expect("no panic");
    let answer = guard.answers[guard.posts.len().min(guard.answers.len() - 1)];
    guard.posts.push((id, text));
    drop(released.wait_while(guard, |state| state.holds).expect("no panic"));
    let reply = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    reader.get_mut().write_all(reply.as_bytes()).ok()
}
