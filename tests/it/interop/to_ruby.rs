//! We enqueue, Ruby runs.

use roustabout::engine::Payload;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ruby::{self, Worker};
use crate::child::{Note, diary, noted, notes};
use crate::support::{Server, client, eventually};

/// For the float that Rust prints otherwise than Ruby.
#[derive(Serialize, Deserialize)]
struct Exact(Vec<f64>, Value);

impl roustabout::engine::Job for Exact {
    type App = ();
    const CLASS: &'static str = "Exact";

    async fn perform(self, _: roustabout::engine::JobContext<()>) -> anyhow::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_we_push_runs_in_a_ruby_worker() {
    if !ruby::is_here() {
        return;
    }
    let server = Server::start().await;
    let (client, worker) = (client(&server), Worker::start(&server, 5, &["default", "low"]).await);
    let positional = Payload::new("Note", json!(["positional"])).queue("low");
    client.push(positional).await.unwrap();
    client.enqueue(Note { name: "named".into() }).await.unwrap();
    client.enqueue_all((0..200).map(|n| Note { name: n.to_string() })).await.unwrap();
    let exact = Exact(vec![1e-7, 1.0, 1e21, -0.0], json!({"é\u{2028}": [null, 1u64 << 63]}));
    client.enqueue(exact).await.unwrap();
    let in_a_moment = std::time::SystemTime::now() + std::time::Duration::from_millis(300);
    client.enqueue_at(in_a_moment, Note { name: "scheduled".into() }).await.unwrap();
    for line in ["positional", "named", "scheduled"] {
        notes(&server, line).await;
    }
    eventually("all ran", async || diary(&server).await.len() >= 204).await;
    for n in 0..200 {
        assert_eq!(noted(&server, &n.to_string()).await, 1, "{}", worker.log());
    }
    let exact = "[[1.0e-07,1.0,1.0e+21,-0.0],{\"é\u{2028}\":[null,9223372036854775808]}]";
    assert_eq!(noted(&server, exact).await, 1, "{:?}", diary(&server).await.last());
    assert_eq!(server.query::<u32>("EXISTS retry dead").await, 0);
}

#[tokio::test]
async fn active_jobs_of_ours_run_in_a_ruby_worker() {
    if !ruby::is_here() {
        return;
    }
    let server = Server::start().await;
    let (client, worker) = (client(&server), Worker::start(&server, 5, &["mail"]).await);
    let arguments = json!([7, {"a": {"b": 1}}, {"greeting": "hello", "copies": [1.5]}]);
    client.push(Payload::active_job("Letter", "mail", arguments)).await.unwrap();
    notes(&server, r#"[7,{"a":{"b":1}},"hello",[1.5],"mail"]"#).await;
    client.push(Payload::active_job("Postcard", "mail", json!({"to": "you"}))).await.unwrap();
    notes(&server, r#"[["Symbol"],{"to":"you"}]"#).await;
    assert!(!worker.log().contains("fail"), "{}", worker.log());
}
