//! HTTP by hand, so that a test decides about every header.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::{DEADLINE, Web, wait_for};

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The reason of a refusal.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no reason in {self:?}")).to_owned()
    }
}

/// A multipart form with one file, and its content type.
pub fn form(field: &str, file: &[u8]) -> (&'static str, Vec<u8>) {
    let mut body =
        b"--b0\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n".to_vec();
    let head = format!(
        "--b0\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"a.csv\"\r\n\
         Content-Type: application/vnd.ms-excel\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--b0--\r\n");
    ("multipart/form-data; boundary=b0", body)
}

impl Web {
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// Uploads a CSV file.
    pub fn import(&self, query: &str, file: impl AsRef<[u8]>) -> Answer {
        self.request(
            "POST",
            &format!("/imports{query}"),
            &[("content-type", "text/csv")],
            file.as_ref(),
        )
    }

    /// Uploads a file that must be taken, and returns the jid.
    pub fn imported(&self, query: &str, file: impl AsRef<[u8]>) -> String {
        let answer = self.import(query, file);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["jid"].as_str().unwrap().to_owned()
    }

    /// Waits until an import is final.
    pub fn settled(&self, jid: &str) -> Value {
        wait_for("the import to end", || {
            let import = self.get(&format!("/imports/{jid}")).json();
            ["done", "failed"].contains(&import["state"].as_str()?).then_some(import)
        })
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let length = body.len().to_string();
        let headers = [headers, &[("content-length", &length)]].concat();
        let mut socket = self.begin(method, path, &headers);
        // A server may refuse before it has read everything; then its answer counts, not the broken
        // pipe.
        let _ = socket.write_all(body);
        read(socket)
    }

    /// Sends the head of a request.
    pub fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head += &format!("host: localhost:{}\r\n", self.port);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        socket.write_all((head + "\r\n").as_bytes()).unwrap();
        socket
    }

    /// Opens an event stream: its lines without their framing, as they come.
    pub fn events(&self, jid: &str) -> impl Iterator<Item = String> + use<> {
        let socket = self.begin("GET", &format!("/imports/{jid}/events"), &[]);
        BufReader::new(socket).lines().map_while(Result::ok)
    }
}

/// What a port answers; a test of which nothing listens yet fails.
pub fn get(port: u16, path: &str) -> Answer {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    read(socket)
}

/// Reads the answer to the end of the connection.
pub fn read(mut socket: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
