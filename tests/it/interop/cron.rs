//! The sidekiq-cron gem: its pages show our lines and steer them, its poller shares the work.
//! Namespaces came with its version 2; with none or an older one these tests say so and pass.

use roustabout::engine::Payload;
use serde_json::{Value, json};

use super::ruby::{self, Session};
use crate::cron::{enqueued, field, known, last_ran, last_slot, nightly, start};
use crate::support::{Server, eventually};

const YEARLY: &str = "0 0 1 1 *";
const MINUTELY: &str = "* * * * * Europe/Berlin";

async fn begin() -> Option<(Server, Session)> {
    let gem = "sidekiq-cron sidekiq/cron/namespace";
    if !ruby::has(gem, "ruby-sidekiq-cron, or gem install sidekiq-cron: 2.0 or later") {
        return None;
    }
    Session::begin("cron.rb").await
}

#[tokio::test]
async fn the_gem_shows_and_steers_our_lines() {
    let Some((server, mut ruby)) = begin().await else { return };
    known(&server, nightly(MINUTELY), &["nightly"]).await;
    let lines: Value = ruby.call("lines", json!([])).await;
    let expected = json!([{
        "name": "nightly", "namespace": "roustabout", "cron": MINUTELY, "klass": "Nightly",
        "args": [{"n": 1}], "source": "dynamic", "status": "enabled", "enabled?": true,
        "valid?": true, "queue_name_with_prefix": "default", "last": null, "history": [],
    }]);
    assert_eq!(lines, expected);

    known(&server, nightly(YEARLY), &["nightly"]).await;
    let slot = last_slot(&server, "nightly").await.unwrap();
    let () = ruby.call("press", json!(["disable!", "nightly"])).await;
    last_ran(&server, "nightly", 1_000).await;
    let worker = start(&server, nightly(YEARLY));
    let settled = async || last_slot(&server, "nightly").await == Some(slot);
    eventually("it is passed over", settled).await;
    worker.stop().await;
    let () = ruby.call("press", json!(["enable!", "nightly"])).await;
    assert_eq!(field(&server, "nightly", "status").await.as_deref(), Some("enabled"));
    assert!(enqueued(&server).await.is_empty());

    let () = ruby.call("press", json!(["enqueue!", "nightly"])).await;
    let jobs: Vec<String> = server.query("LRANGE queue:default 0 -1").await;
    let job = Payload::parse(jobs[0].as_bytes()).unwrap();
    assert_eq!((jobs.len(), job.class().as_str(), job.jid().len()), (1, "Nightly", 24));
    assert_eq!(job.get::<Value>("args"), Some(json!([{"n": 1}])));
    let () = server.query("DEL queue:default").await;

    last_ran(&server, "nightly", 1_000).await;
    let worker = start(&server, nightly(YEARLY));
    eventually("it is caught up", async || enqueued(&server).await == [(1, slot)]).await;
    let lines: Value = ruby.call("lines", json!([])).await;
    assert!(lines[0]["last"].as_i64() > Some(slot), "{lines}");
    let history = lines[0]["history"].as_array().unwrap();
    assert_eq!(history.len(), 2, "the button's and ours");
    worker.stop().await;
}

#[tokio::test]
async fn what_the_gem_deletes_comes_back_and_a_schedule_file_deletes_nothing() {
    let Some((server, mut ruby)) = begin().await else { return };
    known(&server, nightly(YEARLY), &["nightly"]).await;
    let schedule = json!([{"theirs": {"class": "Nightly", "cron": YEARLY}}]);
    let errors: Value = ruby.call("load_schedule", schedule).await;
    assert_eq!(errors, json!({}));
    let all: Value = ruby.call("all", json!([])).await;
    assert_eq!(all, json!([["default", "theirs"], ["roustabout", "nightly"]]));

    let () = ruby.call("press", json!(["destroy", "nightly"])).await;
    assert!(server.query::<Vec<String>>("KEYS *roustabout:nightly*").await.is_empty());
    known(&server, nightly(YEARLY), &["nightly"]).await;
    let all: Value = ruby.call("all", json!([])).await;
    assert_eq!(all, json!([["default", "theirs"], ["roustabout", "nightly"]]));
    assert!(enqueued(&server).await.is_empty());
}

/// The slot of this minute is still open; it is asked for from both sides.
#[tokio::test]
async fn a_slot_is_enqueued_by_one_of_both() {
    let Some((server, mut ruby)) = begin().await else { return };
    for rubys in [true, false] {
        known(&server, nightly(MINUTELY), &["nightly"]).await;
        let slot = last_slot(&server, "nightly").await.unwrap();
        last_ran(&server, "nightly", slot - 60).await;
        let () = server.query("HDEL cron_job:roustabout:nightly last_enqueue_time").await;
        let jobs = async || server.query::<u32>("LLEN queue:default").await;
        if rubys {
            let _: Value = ruby.call("poll", json!([])).await;
            assert_eq!(jobs().await, 1);
        }
        let worker = start(&server, nightly(MINUTELY));
        eventually("it is settled", async || last_slot(&server, "nightly").await >= Some(slot))
            .await;
        let slots = async || {
            server.query::<Vec<String>>("ZRANGE cron_job:roustabout:nightly:enqueued 0 -1").await
        };
        for _ in 0..3 {
            let _: Value = ruby.call("poll", json!([])).await;
        }
        worker.stop().await;
        // one each, and another one if a minute came just now
        assert_eq!(jobs().await as usize, slots().await.len());
        let () = server.query("DEL queue:default cron_job:roustabout:nightly").await;
    }
}
