//! Somebody keeps something else under a key of ours: jobs run all the same, or say what is wrong.

use roustabout::engine::{BufferLimits, Buffered, EnqueueError, Payload, Pushed, Registry, Retry};
use serde_json::json;
use serde_json::value::RawValue;

use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Note { n: u32 }, |this, cx| {
    cx.app.note(this.n);
    Ok(())
});
job!(Steps {} retry Retry::Times(0), |_this, cx| {
    let from: u32 = cx.cursor().await?.unwrap_or(0);
    cx.checkpoint(from + 1).await
});

job!(Fails {}, |_this, _cx| anyhow::bail!("no luck"));

fn worker(server: &Server, diary: &Diary) -> Running {
    let registry = Registry::new(diary.clone()).job::<Note>().job::<Steps>().job::<Fails>();
    Running::start(brisk(), server.redis(), registry)
}

#[tokio::test]
async fn in_the_place_of_the_rescues() {
    let (server, diary) = (Server::start().await, Diary::default());
    let () = server.query("SET roustabout:rescues nonsense").await;
    let worker = worker(&server, &diary);
    client(&server).enqueue_all((0..20).map(|n| Note { n })).await.unwrap();
    eventually("all run", async || diary.len() == 20).await;
    worker.stop().await;
}

#[tokio::test]
async fn in_the_place_of_a_cursor() {
    let (server, diary) = (Server::start().await, Diary::default());
    let () = server.query("SET it-1 nonsense").await;
    let () = server.query(r#"LPUSH queue:default {"class":"Steps","args":[],"jid":"1"}"#).await;
    let worker = worker(&server, &diary);
    eventually("it fails", async || server.query::<u32>("ZCARD dead").await == 1).await;
    let dead: Vec<String> = server.query("ZRANGE dead 0 -1").await;
    assert!(dead[0].contains("the cursor cannot be read: ") && dead[0].contains("WRONGTYPE"));
    worker.stop().await;
}

#[tokio::test]
async fn what_is_known_of_a_rescued_job_goes_with_it() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (now, _): (u64, u64) = server.query("TIME").await;
    let () = server.query("HSET roustabout:rescues 2 nonsense").await;
    let mut record = redis::cmd("HSET");
    record.arg("roustabout:rescues").arg("1").arg(format!("1 {now}"));
    let () = record.query_async(&mut server.connect().await).await.unwrap();
    let () = server.query(r#"LPUSH queue:default {"class":"Note","args":[7],"jid":"1"}"#).await;
    let worker = worker(&server, &diary);
    eventually("it runs", async || diary.count("7") == 1).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    assert_eq!(server.query::<Vec<String>>("HKEYS roustabout:rescues").await, ["2"]);
    worker.stop().await;
}

#[tokio::test]
async fn in_the_place_of_the_retries_until_it_has_gone() {
    let (server, diary) = (Server::start().await, Diary::default());
    let () = server.query("SET retry nonsense").await;
    let (worker, client) = (worker(&server, &diary), client(&server));
    client.enqueue(Fails {}).await.unwrap();
    let busy = async || client.enqueue(Note { n: 1 }).await.unwrap();
    eventually("others have run", async || {
        busy().await;
        diary.len() > 20
    })
    .await;
    let () = server.query("DEL retry").await;
    eventually("it is retried, though others end all the time", async || {
        busy().await;
        server.query::<u32>("ZCARD retry").await == 1
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn in_the_place_of_a_lock() {
    let (server, diary) = (Server::start().await, Diary::default());
    let () = server.query("SADD roustabout:unique:bad nonsense").await;
    let client = client(&server);
    let note = |n, lock: &str| Payload::of(&Note { n }).unwrap().with("unique_key", lock);
    let alone = client.push(note(1, "bad")).await.unwrap_err();
    assert!(matches!(alone, EnqueueError::Refused(_)), "{alone:?}");
    let many = client.push_all(vec![note(2, "good"), note(3, "bad")]).await.unwrap_err();
    assert!(matches!(many, EnqueueError::Unknown(_)), "{many:?}");
    let buffered = Buffered::new(client, BufferLimits::default());
    let (bad, fine) = tokio::join!(buffered.push(note(4, "bad")), buffered.push(note(5, "fine")));
    assert!(matches!(bad, Err(EnqueueError::Refused(_))), "{bad:?}");
    assert!(matches!(fine, Ok(Pushed::Delivered(_))), "{fine:?}");
    let worker = worker(&server, &diary);
    eventually("the others run", async || diary.len() == 2).await;
    worker.stop().await;
    let left: Vec<String> = server.query("KEYS roustabout:unique:*").await;
    assert_eq!(left, ["roustabout:unique:bad"]);
}

#[tokio::test]
async fn in_the_place_of_a_status_and_of_a_lock_that_is_held() {
    let (server, diary) = (Server::start().await, Diary::default());
    let note = Payload::of(&Note { n: 1 }).unwrap().with("unique_key", "k").with("status_for", 60);
    let jid = client(&server).push(note).await.unwrap();
    let () = server.query(&format!("SET roustabout:status:{jid} nonsense")).await;
    let () = server.query("DEL roustabout:unique:k").await;
    let () = server.query("SADD roustabout:unique:k nonsense").await;
    let worker = worker(&server, &diary);
    eventually("it runs", async || diary.len() == 1).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    worker.stop().await;
    assert!(client(&server).status(jid.jid()).await.is_err());
    assert_eq!(server.query::<String>("TYPE roustabout:unique:k").await, "set");
}

/// Whatever else a client may take for these fields.
#[tokio::test]
async fn in_the_place_of_a_number_or_a_text() {
    const FIELDS: &str = "unique_key unique_ttl status_for expires_at expires_in_secs cron_slot \
                          retry_queue created_at retry_count retry_for failed_at at";
    const VALUES: &str = r#"1e300 -1e300 1e400 -1 0 0.001 18446744073709551616 null true "" "x"
                            "1e999" [[]] {"a":[1]} "\u0000\n:*" -9223372036854775808"#;
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let mut payloads = Vec::new();
    for field in FIELDS.split_whitespace() {
        for value in VALUES.split_whitespace() {
            let raw: &RawValue = serde_json::from_str(value).unwrap();
            for (class, args) in [("Note", json!([1])), ("Fails", json!([]))] {
                let payload = Payload::new(class, args).with("status_for", 60);
                let payload = payload.with("unique_key", format!("{class} {field} {value}"));
                payloads.push(payload.with(field, raw));
            }
        }
    }
    let mut raw = redis::cmd("LPUSH");
    raw.arg("queue:default").arg(payloads.iter().map(Payload::to_bytes).collect::<Vec<_>>());
    let () = raw.query_async(&mut server.connect().await).await.unwrap();
    let worker = worker(&server, &diary);
    for payload in payloads {
        if let Ok(enqueued) = client.push(payload).await {
            client.status(enqueued.jid()).await.unwrap();
        }
    }
    let nothing = async || {
        server.query::<u32>("EXISTS queue:default").await + held(&server).await as u32 == 0
    };
    eventually("all went somewhere", nothing).await;
    worker.stop().await;
    let panics = async |set: &str| -> usize {
        let members: Vec<String> = server.query(&format!("ZRANGE {set} 0 -1")).await;
        members.iter().filter(|member| member.contains("Panic")).count()
    };
    assert_eq!((panics("retry").await, panics("dead").await), (0, 0));
}
