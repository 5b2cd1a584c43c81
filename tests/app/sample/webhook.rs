//! What an import tells when it ends.

use base64::Engine;
use ring::hmac;
use serde_json::Value;

use crate::support::{DEADLINE, Redis, Web, wait_for, worker};
use crate::webhook::{PRIVATE, header, receiver};

#[test]
fn a_finished_import_is_told_with_a_signature() {
    let (port, deliveries) = receiver(&["204 No Content"]);
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let _worker = worker(&redis, &[PRIVATE, ("WEBHOOK_SECRET", "whsec_c2VjcmV0")]);
    let jid = web.imported(&format!("?callback_url=http://localhost:{port}/hook"), "id\n1\n1,2\n");
    let (head, body) = deliveries.recv_timeout(DEADLINE).unwrap();
    assert!(head[0].starts_with("POST /hook "));
    assert_eq!(header(&head, "content-type"), "application/json");
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["type"], "import.completed");
    assert_eq!((&event["data"]["jid"], &event["data"]["accepted"]), (&jid.into(), &1.into()));
    let signed =
        format!("{}.{}.{body}", header(&head, "webhook-id"), header(&head, "webhook-timestamp"));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), signed.as_bytes());
    let expected = format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(mac));
    assert_eq!(header(&head, "webhook-signature"), expected);
}

#[test]
fn an_end_that_may_not_have_been_told_is_told_again_under_the_same_id() {
    let (port, deliveries) = receiver(&["204 No Content"]);
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported(&format!("?callback_url=http://127.0.0.1:{port}/"), "id\n1\n");
    let job: String = redis.ask(&["LINDEX", "queue:imports", "0"]);
    let _worker = worker(&redis, &[PRIVATE]);
    let (first, told) = deliveries.recv_timeout(DEADLINE).unwrap();
    // As if the worker had been killed between the last row and the end: the file is still there.
    let file = format!("roustabout:import:{jid}:body");
    wait_for("the file to go", || (redis.ask::<usize>(&["EXISTS", &file]) == 0).then_some(()));
    redis.ask::<()>(&["SET", &file, "never read again"]);
    redis.ask::<()>(&["LPUSH", "queue:imports", &job]);
    let (second, told_again) = deliveries.recv_timeout(DEADLINE).unwrap();
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_eq!(told, told_again);
    wait_for("the file to go", || (redis.ask::<usize>(&["EXISTS", &file]) == 0).then_some(()));
}
