//! `jobs cancel` of an import.

use serde_json::json;

use crate::cancel::cancel;
use crate::support::{Redis, Web, wait_for, worker};

#[test]
fn a_waiting_import_ends_when_its_turn_comes() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let jid = web.imported("", "id\n1\n2\n");
    assert!(cancel(&redis, &[&jid])[0].contains("when its turn comes"));
    let mut worker = worker(&redis, &[]);
    let import = web.settled(&jid);
    assert_eq!((&import["state"], &import["accepted"]), (&json!("failed"), &json!(0)));
    wait_for("its note to go", || {
        (redis.ask::<usize>(&["EXISTS", &format!("it-{jid}")]) == 0).then_some(())
    });
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
    assert_eq!(redis.ask::<usize>(&["EXISTS", "retry", "dead", "stat:failed"]), 0);
    assert_eq!(redis.ask::<usize>(&["HGET", "roustabout:counters", "cancelled"]), 1);
}
