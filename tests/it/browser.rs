//! A headless Chromium, driven through chromedriver by the few WebDriver requests that tests
//! need. Where it is not installed, the tests that want it say so and pass.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PATIENCE, eventually};

/// Nothing that calls out; as root there is no sandbox.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--window-size=1280,1024",
    "--host-resolver-rules=MAP far.test 127.0.0.1",
];
/// This machine by a name that a browser takes for another one's: what it trusts less.
pub const FAR: &str = "far.test";
/// The name that WebDriver gives to an element in its JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser with one window; it ends with this.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    http: reqwest::Client,
    _profile: TempDir,
}

impl Browser {
    /// One with an empty profile, if it can be had.
    pub async fn start() -> Option<Browser> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let (Some(chromium), Some(driver)) =
            (names.into_iter().find_map(path_of), path_of("chromedriver"))
        else {
            eprintln!("SKIPPED: no Chromium here (apt-get install chromium chromium-driver)");
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary directory");
        let (driver, port) = drive(&driver, profile.path()).await;
        let http = http();
        let session = String::new();
        let mut browser = Browser { driver, port, session, http, _profile: profile };
        let data = format!("--user-data-dir={}", browser._profile.path().join("data").display());
        let args: Vec<&str> = FLAGS.into_iter().chain([data.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "unhandledPromptBehavior": "accept", // "Are you sure?"
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": chromium, "args": args},
        }}});
        let session = browser.send("POST", "session", wanted).await;
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    /// Opens a page and waits until it is loaded; returns the HTTP status.
    pub async fn open(&self, url: &str) -> u64 {
        self.ask("POST", "url", json!({ "url": url })).await;
        self.status().await
    }

    /// The HTTP status of the page that is open.
    pub async fn status(&self) -> u64 {
        let entry = "performance.getEntriesByType('navigation')[0].responseStatus";
        self.script(&format!("return {entry}")).await.as_u64().expect("a number")
    }

    /// What a piece of JavaScript returns.
    pub async fn script(&self, code: &str) -> Value {
        self.ask("POST", "execute/sync", json!({"script": code, "args": []})).await
    }

    /// The texts that a reader sees in the elements that a selector finds.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let css = json!(css);
        let code = format!("return Array.from(document.querySelectorAll({css}), e => e.innerText)");
        let texts = self.script(&code).await;
        serde_json::from_value(texts).expect("texts")
    }

    /// The text of the first of them, without blanks around it.
    pub async fn text(&self, css: &str) -> String {
        let texts = self.texts(css).await;
        texts.first().unwrap_or_else(|| panic!("no {css} on the page")).trim().to_owned()
    }

    /// Clicks, as a person would: on something that can be seen, and waits for the page that
    /// this leads to.
    pub async fn click(&self, xpath: &str) {
        let found = self.ask("POST", "element", json!({"using": "xpath", "value": xpath})).await;
        let element = found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {xpath}: {found}"));
        self.ask("POST", &format!("element/{element}/click"), json!({})).await;
    }

    /// Presses keys one after the other, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let press =
            |key: char| ["keyDown", "keyUp"].map(|what| json!({"type": what, "value": key}));
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.ask("POST", "actions", json!({ "actions": [keyboard] })).await;
    }

    /// Moves the mouse onto something and leaves it there.
    pub async fn hover(&self, xpath: &str) {
        let found = self.ask("POST", "element", json!({"using": "xpath", "value": xpath})).await;
        let there = json!({"type": "pointerMove", "origin": found, "x": 0, "y": 0});
        let mouse = json!({"type": "pointer", "id": "mouse", "actions": [there]});
        self.ask("POST", "actions", json!({ "actions": [mouse] })).await;
    }

    /// Asks Chromium itself, past WebDriver.
    pub async fn devtools(&self, command: &str, params: Value) -> Value {
        self.ask("POST", "goog/cdp/execute", json!({"cmd": command, "params": params})).await
    }

    /// What the console has said since the last call: errors of scripts, files that are missing.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", "se/log", json!({"type": "browser"})).await;
        let lines = log.as_array().expect("a list").iter();
        let bad = lines.filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        bad.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Saves what the window shows.
    pub async fn screenshot(&self, path: &Path) {
        let png = self.ask("GET", "screenshot", Value::Null).await;
        save(&png, path);
    }

    async fn ask(&self, method: &str, command: &str, body: Value) -> Value {
        self.send(method, &format!("session/{}/{command}", self.session), body).await
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let request = self.http.request(method.parse().expect("a method"), url);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = request.body(body).send().await.expect("chromedriver answers");
        let text = response.text().await.expect("a body");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }
}

impl Drop for Browser {
    /// Chromium has a process group of its own: only its driver can be asked to end it. By hand,
    /// because nothing can be awaited here.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let request = format!(
                "DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
                self.session, self.port
            );
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// For plain HTTP on this machine; it follows no redirects.
pub fn http() -> reqwest::Client {
    let tls = roustabout::engine::tls::client_config().expect("TLS, not to be used");
    let http = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
    let http = http.redirect(reqwest::redirect::Policy::none());
    http.timeout(PATIENCE).build().expect("an HTTP client")
}

/// Writes a picture as it comes from a browser.
pub fn save(png: &Value, path: &Path) {
    let png = BASE64_STANDARD.decode(png.as_str().expect("an image")).expect("base64");
    std::fs::write(path, png).expect("a file");
}

fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|place| place.exists())
}

/// Starts chromedriver on a port of its own choice, which it says.
async fn drive(program: &Path, dir: &Path) -> (Child, u16) {
    let log = dir.join("driver.log");
    let out = std::fs::File::create(&log).expect("a log");
    let mut command = Command::new(program);
    command.arg("--port=0").stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    let driver = command.spawn().expect("chromedriver starts");
    let port = || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let (_, rest) = said.split_once("started successfully on port ")?;
        rest.split_once('.')?.0.parse().ok()
    };
    eventually("chromedriver listens", async || port().is_some()).await;
    let port = port().expect("as before");
    (driver, port)
}
