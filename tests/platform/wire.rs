//! A request and its answer on a connection to a dyno, which is kept for the next one.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub body: String,
}

impl Request {
    pub fn get(path: &str) -> Request {
        Request { method: "GET", path: path.to_owned(), body: String::new() }
    }

    /// As Heroku's router hands it on, and with the token of the sample's endpoints.
    fn bytes(&self, token: &str) -> Vec<u8> {
        let Request { method, path, body } = self;
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: example.herokuapp.com\r\nx-forwarded-for: 192.0.2.1\r\n\
             x-forwarded-proto: https\r\nauthorization: Bearer {token}\r\ncontent-type: text/csv\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// How an exchange can go wrong.
pub enum Cut {
    /// Not a byte came.
    Nothing,
    /// Something, but not all.
    Half,
    /// Not a byte came in time.
    Late,
}

/// Sends a request and reads its answer; and whether the connection can be used again.
pub fn exchange(socket: &TcpStream, request: &Request, token: &str) -> Result<(Answer, bool), Cut> {
    // what is refused half-way is answered all the same
    let _ = (&*socket).write_all(&request.bytes(token));
    let mut reader = BufReader::new(socket);
    let first = line(&mut reader).map_err(|error| match error {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Cut::Late,
        _ => Cut::Nothing,
    })?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Cut::Half)?;
    let (mut length, mut keep) = (None, true);
    loop {
        let line = line(&mut reader).map_err(|_| Cut::Half)?.to_ascii_lowercase();
        match line.split_once(": ") {
            None => break,
            Some(("content-length", value)) => length = value.parse().ok(),
            Some(("connection", "close")) => keep = false,
            Some(_) => {}
        }
    }
    let mut body = vec![0; length.expect("an answer of known length")];
    reader.read_exact(&mut body).map_err(|_| Cut::Half)?;
    Ok((Answer { status, body: String::from_utf8(body).unwrap() }, keep))
}

fn line(reader: &mut impl BufRead) -> Result<String, ErrorKind> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(_) if line.ends_with('\n') => Ok(line.trim_end().to_owned()),
        Ok(_) => Err(ErrorKind::UnexpectedEof),
        Err(error) => Err(error.kind()),
    }
}

/// Whether the other side has closed an idle connection by now.
pub fn closed(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let open = matches!(socket.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    !open
}
