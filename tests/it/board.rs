//! A browser on our own dashboard, served by the real `web`, with a Redis of its own.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use roustabout::engine::{Client, Payload};
use serde_json::{Value, json};

use crate::browser::{Browser, FAR, http, save};
use crate::program::{Program, free_port};
use crate::support::{Server, client, eventually};

/// A `web` and its server.
pub struct Site {
    pub server: Server,
    pub client: Client,
    pub http: reqwest::Client,
    pub web: Program,
    url: String,
}

impl Site {
    pub async fn open() -> Site {
        Site::with(&[("QUEUE_LIMITS", "mail:2,hooks:50/s")]).await
    }

    pub async fn with(vars: &[(&str, &str)]) -> Site {
        let server = Server::start().await;
        let port = free_port().to_string();
        let vars = [vars, &[("PORT", port.as_str())]].concat();
        let web = Program::start("web", &server.url(), &vars);
        let url = format!("http://localhost:{port}");
        let site = Site { client: client(&server), http: http(), server, web, url };
        eventually("web is ready", async || {
            let answer = site.http.get(format!("{}/ready", site.url)).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        site
    }

    /// `/dashboard` and what comes after it.
    pub fn url(&self, path: &str) -> String {
        format!("{}/dashboard{path}", self.url)
    }

    /// A page that must be in order.
    pub async fn get(&self, path: &str) -> String {
        let answer = self.http.get(self.url(path)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.expect("a page")
    }

    pub async fn count(&self, command: &str) -> usize {
        self.server.query(command).await
    }

    /// A command whose words may have blanks.
    pub async fn tell(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let _: redis::Value = command.query_async(&mut self.server.connect().await).await.unwrap();
    }

    /// Puts a job into a set at this time, as it is.
    pub async fn put(&self, set: &str, at: f64, job: &Value) {
        self.tell(&["ZADD", set, &at.to_string(), &job.to_string()]).await;
    }

    pub async fn push(&self, class: &str, args: Value, retry: impl Into<Value>) -> String {
        let payload = Payload::new(class, args).with("retry", retry.into());
        self.client.push(payload).await.unwrap().into()
    }
}

/// … and a browser on it.
pub struct Board {
    site: Site,
    pub browser: Browser,
}

impl Deref for Board {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl DerefMut for Board {
    fn deref_mut(&mut self) -> &mut Site {
        &mut self.site
    }
}

impl Board {
    /// If there is a browser.
    pub async fn open() -> Option<Board> {
        let browser = Browser::start().await?;
        Some(Board { site: Site::open().await, browser })
    }

    /// The same over plain HTTP from another machine, as far as a browser can tell, by a login.
    pub async fn afar(password: &str) -> Option<Board> {
        let browser = Browser::start().await?;
        let mut site = Site::with(&[("DASHBOARD_PASSWORD", password)]).await;
        site.url = site.url.replace("localhost", FAR);
        let login = site.url("").replace("://", &format!("://:{password}@"));
        assert_eq!(browser.open(&login).await, 200);
        Some(Board { site, browser })
    }

    /// Opens a page that must be in order, and returns what is to be read on it.
    pub async fn page(&self, path: &str) -> String {
        let status = self.browser.open(&self.url(path)).await;
        assert_eq!(status, 200, "{path}");
        self.in_order(path).await;
        self.browser.text("body").await
    }

    /// Clicks, and returns what the page that comes of it tells about that.
    pub async fn click(&self, xpath: &str) -> String {
        self.follow(xpath).await;
        self.browser.text(".told").await
    }

    /// Clicks on what leads to another page, and waits for that: a driver may not.
    pub async fn follow(&self, xpath: &str) {
        self.browser.script("window.left = true").await;
        self.browser.click(xpath).await;
        eventually("the next page", async || {
            let there = "return !window.left && document.readyState == 'complete'";
            self.browser.script(there).await == true
        })
        .await;
        self.in_order(xpath).await;
    }

    /// No script fails, none of a stranger's runs, nothing is asked for that the policy forbids.
    pub async fn in_order(&self, what: &str) {
        let complaints = self.browser.complaints().await;
        assert!(complaints.is_empty(), "{what}: {complaints:?}");
        assert_eq!(
            self.browser.script("return window.hacked || 0").await,
            Value::from(0),
            "{what}"
        );
    }

    /// What the reader's system is set to.
    pub async fn theme(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.browser.devtools("Emulation.setEmulatedMedia", json!({"features": [feature]})).await;
    }

    /// A window of this width; a narrow one is a phone.
    pub async fn width(&self, width: u32) {
        let metrics = json!({
            "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Saves the whole page, for people to look at: where `SCREENSHOTS` says, else in the target
    /// directory.
    pub async fn picture(&self, name: &str) {
        let dir = std::env::var_os("SCREENSHOTS").map(PathBuf::from);
        let dir =
            dir.unwrap_or_else(|| concat!(env!("CARGO_TARGET_TMPDIR"), "/../screenshots").into());
        std::fs::create_dir_all(&dir).expect("a directory");
        let metrics = self.browser.devtools("Page.getLayoutMetrics", json!({})).await;
        let size = &metrics["cssContentSize"];
        let clip = json!({
            "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1,
        });
        let wanted = json!({"captureBeyondViewport": true, "clip": clip});
        let png = self.browser.devtools("Page.captureScreenshot", wanted).await;
        save(&png["data"], &dir.join(format!("{name}.png")));
    }
}
