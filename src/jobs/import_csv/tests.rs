//! How to test a job: `docs/testing-jobs.md`. This one needs a Redis for what it stores; what it
//! enqueues goes nowhere.

use super::*;
use crate::engine::Client;
use crate::engine::testing::{PrivateRedis, Recorded, Trial};
use crate::webhooks::Webhooks;

const JID: &str = "0123456789abcdef01234567";

/// An app on this server; what it was asked to enqueue.
fn app(server: &PrivateRedis) -> (App, Recorded) {
    let (jobs, recorded) = Client::recording();
    let webhooks = Webhooks::new(None, false).unwrap();
    (App { jobs, redis: server.connect(), webhooks }, recorded)
}

fn job() -> ImportCsv {
    ImportCsv { key: None, callback_url: Some("https://example.com/".into()) }
}

#[tokio::test]
async fn interrupted_twice_it_imports_every_row_and_tells_once() {
    let server = PrivateRedis::start().unwrap();
    let (app, recorded) = app(&server);
    let rows: Vec<String> = (0..1_000).map(|id| format!("{id:04},name")).collect();
    let packed = body::pack(&format!("id,name\n{}\n", rows.join("\n"))).unwrap();
    body::create(&app.redis, JID, &packed, 1_000).await.unwrap();

    let mut ended = Trial::new(app.clone()).jid(JID).interrupt_at(1).perform(job()).await;
    for rows in [250, 500] {
        assert_eq!(ended.stop(), Some(Stop::Interrupted));
        assert_eq!(ended.cursor::<Cursor>().unwrap().rows, rows);
        assert!(recorded.payloads().is_empty());
        // the next one gets a piece further, the last one to the end
        let again = Trial::new(app.clone()).after(&ended);
        let again = if rows == 250 { again.interrupt_at(1) } else { again };
        ended = again.perform(job()).await;
    }
    assert_eq!(ended.progress(), Some((1_000, 1_000)));
    assert_eq!(ended.output::<Outcome>().unwrap().accepted, 1_000);
    ended.result.unwrap();
    assert_eq!(records::first(&app.redis, 2_000).await.unwrap().len(), 1_000);
    let told: Vec<DeliverWebhook> = recorded.jobs();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event["data"]["accepted"], 1_000);
}

// killed between the last step and the news of it: what was shown before may be behind
#[tokio::test]
async fn run_again_after_its_end_it_shows_all_that_it_came_to() {
    let server = PrivateRedis::start().unwrap();
    let (app, recorded) = app(&server);
    let packed = body::pack("id,name\n1,a\n2,b\n3\n").unwrap();
    body::create(&app.redis, JID, &packed, 3).await.unwrap();
    for _ in 0..2 {
        let ended = Trial::new(app.clone()).jid(JID).perform(job()).await;
        assert_eq!(ended.progress(), Some((3, 3)));
        assert_eq!(ended.output::<Outcome>().unwrap().accepted, 2);
        ended.result.unwrap();
    }
    assert_eq!(recorded.payloads().len(), 1);
}

#[tokio::test]
async fn a_cancelled_import_takes_nothing() {
    let server = PrivateRedis::start().unwrap();
    let (app, recorded) = app(&server);
    let packed = body::pack("id\n1\n").unwrap();
    body::create(&app.redis, JID, &packed, 1).await.unwrap();
    let ended = Trial::new(app.clone()).jid(JID).cancel_at(0).perform(job()).await;
    assert_eq!(ended.stop(), Some(Stop::Cancelled));
    assert!(records::first(&app.redis, 10).await.unwrap().is_empty());
    assert!(recorded.payloads().is_empty());
}

#[test]
fn both_forms_of_arguments_decode() {
    for args in [
        r#"{}"#,
        r#"{"key":null}"#,
        r#"{"callback_url":null,"key":null}"#,
        r#"[null,null]"#,
        r#"[]"#,
    ] {
        let job: ImportCsv = serde_json::from_str(args).unwrap();
        assert!(job.key.is_none() && job.callback_url.is_none(), "{args}");
    }
}

#[test]
fn a_derived_jid_looks_like_one_and_stays() {
    let jid = derived_jid("0123456789abcdef01234567");
    assert_eq!((jid.len(), jid.bytes().all(|byte| byte.is_ascii_hexdigit())), (24, true));
    assert_eq!(jid, derived_jid("0123456789abcdef01234567"));
    assert_ne!(jid, derived_jid("1123456789abcdef01234567"));
}
