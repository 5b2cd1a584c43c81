//! Somebody keeps something else under a key of ours: jobs run all the same, or say what is wrong.

use roustabout::engine::{Registry, Retry};

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
