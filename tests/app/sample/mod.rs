//! The sample, by way of the real programs. It goes with the sample: docs/architecture.md.
//!
//! | module | what it shows |
//! |---|---|
//! | `guard` | who may use the endpoints |
//! | `upload` | what is taken, and what is refused before anything is stored |
//! | `import` | what becomes of a file, interrupted or not |
//! | `webhook` | what an import tells when it ends |
//! | `outage` | no Redis, a full Redis |
//! | `stop` | signals, open event streams |
//! | `embedded` | `web` with a worker in it |
//! | `cancel` | `jobs cancel` |
//! | `trace` | a trace id, from a request to the lines about its jobs |
//! | `mine` | `bin/rename`, and the sample deleted, in a copy |

mod cancel;
mod embedded;
mod guard;
mod import;
mod mine;
mod outage;
mod stop;
mod trace;
mod upload;
mod webhook;

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::http::Answer;
use crate::support::{Web, wait_for};

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

    /// Opens an event stream: its lines without their framing, as they come.
    pub fn events(&self, jid: &str) -> impl Iterator<Item = String> + use<> {
        let socket = self.begin("GET", &format!("/imports/{jid}/events"), &[]);
        BufReader::new(socket).lines().map_while(Result::ok)
    }
}
