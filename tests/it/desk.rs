//! A browser on the pages of the Sidekiq that is installed, served by a Ruby of their own, for a
//! Redis of their own.

use std::fs::File;
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};

use roustabout::engine::{Client, Payload};
use serde_json::Value;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::interop::ruby;
use crate::support::{Server, client, eventually};

/// A Ruby that serves nothing but Sidekiq Web.
struct Pages {
    process: Process,
    port: u16,
    dir: TempDir,
}

impl Pages {
    /// Those of the Sidekiq that is installed, if one is.
    async fn serve(server: &Server) -> Option<Pages> {
        if !ruby::has("sidekiq/web webrick", "ruby-sidekiq ruby-webrick") {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut command = Command::new("rackup");
        command.args(["-s", "webrick", "-o", "127.0.0.1", "-p", "0", "-E", "production"]);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sidekiq_web/config.ru"));
        command.env("REDIS_URL", server.url()).env("LANG", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().expect("rackup starts");
        let mut pages = Pages { process, port: 0, dir };
        eventually("the pages are served", async || pages.said().is_some()).await;
        pages.port = pages.said().expect("as before");
        Some(pages)
    }

    /// The port it has found.
    fn said(&self) -> Option<u16> {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let (_, port) = log.rsplit_once("start: pid=")?.1.trim_end().split_once("port=")?;
        port.lines().next()?.parse().ok()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A browser on the pages of a server of its own.
pub struct Desk {
    pub server: Server,
    pub client: Client,
    pages: Pages,
    pub browser: Browser,
}

impl Desk {
    pub async fn open() -> Option<Desk> {
        let server = Server::start().await;
        let pages = Pages::serve(&server).await?;
        let browser = Browser::start().await?;
        Some(Desk { client: client(&server), server, pages, browser })
    }

    /// Opens a page that must be in order, and returns all that is to be read on it.
    pub async fn page(&self, path: &str) -> String {
        let status = self.browser.open(&self.pages.url(path)).await;
        assert_eq!(status, 200, "{path}");
        self.in_order().await;
        if let Ok(dir) = std::env::var("SCREENSHOTS") {
            // a key of an entry is its time and its id
            let name = path.split('-').next().unwrap_or_default().replace('/', "-");
            self.browser.screenshot(&Path::new(&dir).join(format!("page-{name}.png"))).await;
        }
        self.times().await;
        self.browser.text("body").await
    }

    /// Clicks a button, and what comes of it must be in order.
    pub async fn click(&self, xpath: &str) {
        self.browser.click(xpath).await;
        assert_eq!(self.browser.status().await, 200, "{xpath}");
        self.in_order().await;
    }

    /// No script of Sidekiq's fails, and none of a stranger's runs.
    async fn in_order(&self) {
        let complaints = self.browser.complaints().await;
        // Debian packages the pages without their scripts
        let of_the_page =
            |line: &&String| !(line.contains("/javascripts/") && line.contains("404"));
        let complaints: Vec<&String> = complaints.iter().filter(of_the_page).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!(self.browser.script("return window.hacked || 0").await, Value::from(0));
    }

    /// All times on the page, in seconds from now: none is of another age.
    pub async fn times(&self) -> Vec<i64> {
        let all = "return Array.from(document.querySelectorAll('time'), \
                   time => Math.round((Date.parse(time.dateTime) - Date.now()) / 1000))";
        let times: Vec<i64> = serde_json::from_value(self.browser.script(all).await).unwrap();
        assert!(times.iter().all(|time| (-600..4_000).contains(time)), "{times:?}");
        times
    }

    /// The rows of one of the tables on the page.
    pub async fn rows(&self, table: usize) -> Vec<String> {
        let rows = format!(
            "return Array.from(document.querySelectorAll('table')[{table}].rows) \
             .filter(row => row.querySelector('td')).map(row => row.innerText)"
        );
        serde_json::from_value(self.browser.script(&rows).await).unwrap()
    }

    /// The numbers in the bar above every page.
    pub async fn numbers(&self) -> [String; 7] {
        let names = ["Processed", "Failed", "Busy", "Enqueued", "Retries", "Scheduled", "Dead"];
        let mut numbers = [const { String::new() }; 7];
        for (number, name) in numbers.iter_mut().zip(names) {
            *number = self.browser.text(&format!("#txt{name}")).await;
        }
        numbers
    }

    pub async fn count(&self, command: &str) -> usize {
        self.server.query(command).await
    }

    /// Nothing is tried again while a test looks at what failed.
    pub async fn put_off_the_retries(&self) {
        let mut later = redis::cmd("EVAL");
        later.arg(
            "for _, job in ipairs(redis.call('ZRANGE', 'retry', 0, -1)) do \
             redis.call('ZINCRBY', 'retry', 3000, job) end",
        );
        let () = later.arg(0).query_async(&mut self.server.connect().await).await.unwrap();
    }

    pub async fn push(&self, class: &str, args: Value, retry: impl Into<Value>) -> String {
        let payload = Payload::new(class, args).with("retry", retry.into());
        self.client.push(payload).await.unwrap().into()
    }
}
