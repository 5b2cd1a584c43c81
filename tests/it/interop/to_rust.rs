//! Ruby enqueues, we run.

use std::collections::HashMap;

use roustabout::engine::{Job, JobContext, Payload, Registry};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ruby::{self, Session};
use crate::support::{Diary, Log, Running, Server, brisk, client, eventually};

job!(Greeting { name: String, times: u64 }, |this, cx| {
    cx.app.note(format!("{} {} on {}", this.name, this.times, cx.queue()));
    Ok(())
});

#[derive(Serialize, Deserialize)]
struct Invoice {
    number: u64,
    to: String,
    #[serde(default)]
    more: Value,
}

impl Job for Invoice {
    type App = Diary;
    const CLASS: &'static str = "Invoice";

    async fn perform(self, cx: JobContext<Diary>) -> anyhow::Result<()> {
        cx.app.note(format!("{} {} {} {}", self.number, self.to, self.more, cx.class()));
        Ok(())
    }
}

/// Positional and named arguments at once.
#[derive(Serialize, Deserialize)]
struct Mixed(u64, HashMap<String, String>);

impl Job for Mixed {
    type App = Diary;
    const CLASS: &'static str = "Mixed";

    async fn perform(self, cx: JobContext<Diary>) -> anyhow::Result<()> {
        cx.app.note(format!("{} {}", self.0, self.1["to"]));
        Ok(())
    }
}

fn registry(diary: &Diary) -> Registry<Diary> {
    Registry::new(diary.clone()).job::<Greeting>().job::<Invoice>().job::<Mixed>()
}

async fn notes(diary: &Diary, expected: &[&str]) {
    let all = async || expected.iter().all(|line| diary.count(line) > 0);
    let _ = tokio::time::timeout(crate::support::PATIENCE / 3, eventually("all ran", all)).await;
    let mut found = diary.lines();
    let mut expected: Vec<String> = expected.iter().map(|line| line.to_string()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn every_way_to_push() {
    if !ruby::is_here() {
        return;
    }
    let (server, diary) = (Server::start().await, Diary::default());
    let worker = Running::start(brisk(), server.redis(), registry(&diary));
    let mut ruby = Session::start(&server, "enqueue.rb");
    let jids: Vec<String> = ruby.call("plain", json!([])).await;
    assert_eq!(jids.len(), 11);
    let expected = [
        "push 1 on default",
        "named 2 on default",
        "other queue 3 on other",
        "async 4 on default",
        "async named 5 on default",
        "in 6 on default",
        "at 7 on default",
        "past 8 on default",
        "set 9 on other",
        "enqueue_to 10 on other",
        "enqueue_in 11 on default",
    ];
    notes(&diary, &expected).await;
    let pushed: usize = ruby.call("bulk", json!([2_500])).await;
    assert_eq!(pushed, 2_504);
    eventually("all ran", async || diary.len() >= 11 + pushed).await;
    worker.stop().await;
    for n in 1..=2_500 {
        assert_eq!(diary.count(&format!("bulk {n} on default")), 1);
    }
    assert_eq!(diary.len(), 11 + pushed);
    assert_eq!(
        server.query::<u32>("EXISTS retry dead schedule queue:default queue:other").await,
        0
    );
}

#[tokio::test]
async fn active_jobs() {
    if !ruby::is_here() {
        return;
    }
    let (server, diary) = (Server::start().await, Diary::default());
    let worker = Running::start(brisk(), server.redis(), registry(&diary));
    let mut ruby = Session::start(&server, "enqueue.rb");
    let _: Option<()> = ruby.call("active_jobs", json!([])).await;
    // what Sidekiq 8 writes
    let record = json!({"job_class": "Invoice", "arguments": [8, "new name"], "executions": 0});
    let wrapper = Payload::new("Sidekiq::ActiveJob::Wrapper", json!([record]));
    client(&server).push(wrapper.with("wrapped", "Invoice")).await.unwrap();
    let expected = [
        "1 positional null Invoice",
        "2 keywords null Invoice",
        "3 a hash null Invoice",
        "4 gid://shop/User/7 null Invoice",
        r#"5 nested {"at":"2026-11-22T00:00:00.000000000Z","list":[{"kind":"symbol"}],"on":"2026-11-22","wait":180} Invoice"#,
        r#"6 indifferent {"a":1} Invoice"#,
        "7 later, elsewhere null Invoice",
        "8 new name null Invoice",
        "9 both",
    ];
    notes(&diary, &expected).await;
    worker.stop().await;
    assert_eq!(server.query::<u32>("EXISTS retry dead schedule").await, 0);
}

#[tokio::test]
async fn a_failed_active_job_keeps_its_bytes_and_is_called_by_its_own_name() {
    if !ruby::is_here() {
        return;
    }
    let (log, _guard) = Log::catch();
    let (server, diary) = (Server::start().await, Diary::default());
    let mut ruby = Session::start(&server, "enqueue.rb");
    let _: Option<()> = ruby.call("failing_active_job", json!([])).await;
    let mut pushed: Vec<String> = server.query("LRANGE queue:default 0 -1").await;
    let worker = Running::start(brisk(), server.redis(), registry(&diary));
    eventually("both failed", async || server.query::<u32>("ZCARD retry").await == 2).await;
    worker.stop().await;
    let mut failed: Vec<String> = server.query("ZRANGE retry 0 -1").await;
    failed.sort_by_key(|raw| !raw.contains("Unheard"));
    pushed.sort_by_key(|raw| !raw.contains("Unheard"));
    let expected = [
        ("NameError", "uninitialized constant Unheard::Of", "job.class=\"Unheard::Of\""),
        ("BadArguments", "invalid type: string \"no number\"", "job.class=\"Invoice\""),
    ];
    for ((pushed, failed), (class, message, logged)) in pushed.iter().zip(&failed).zip(expected) {
        // the failure's fields stand behind the bytes as they were
        assert!(failed.starts_with(pushed.strip_suffix('}').unwrap()), "{pushed} {failed}");
        let entry: Value = serde_json::from_str(failed).unwrap();
        assert_eq!(entry["error_class"], class);
        assert!(entry["error_message"].as_str().unwrap().starts_with(message), "{entry}");
        assert_eq!(log.count(logged), 1, "{:?}", log.lines());
    }
}
