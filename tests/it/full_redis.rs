//! Redis is full and evicts nothing: adding jobs fails, but everything that is here already
//! finishes, fails, saves, beats, is given back and taken back as ever.

use std::time::Duration;

use roustabout::engine::{Registry, WorkerOptions};

use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Note { text: String }, |this, cx| {
    cx.app.note(this.text);
    Ok(())
});
job!(Ends { well: bool }, |this, cx| {
    cx.app.note("running");
    while cx.app.count("full") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::ensure!(this.well, "no luck");
    Ok(())
});
job!(Steps {}, |_this, cx| {
    cx.app.note("running");
    let mut at = cx.cursor::<u32>().await?.unwrap_or(0);
    while cx.app.count("enough") == 0 {
        at += 1;
        cx.checkpoint(at).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
});
// outlasts its first worker
job!(Long {}, |_this, cx| {
    cx.app.note("running");
    while cx.app.count("enough") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
});

fn worker(server: &Server, diary: &Diary) -> Running {
    let registry = Registry::new(diary.clone());
    let registry = registry.job::<Note>().job::<Ends>().job::<Steps>().job::<Long>();
    let shutdown_timeout = Duration::from_millis(500);
    Running::start(WorkerOptions { shutdown_timeout, ..brisk() }, server.redis(), registry)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_goes_its_way() {
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let first = worker(&server, &diary);
    let jids = [client.enqueue(Steps {}).await.unwrap(), client.enqueue(Long {}).await.unwrap()];
    for well in [true, false, true, false] {
        client.enqueue(Ends { well }).await.unwrap();
    }
    eventually("they run", async || diary.count("running") == 6).await;
    client.enqueue_in(Duration::from_secs(2), Note { text: "due".into() }).await.unwrap();
    // a job of a process long dead
    let () = server.query("HSET roustabout:inflight:ghost 1:1:default {\"class\":\"Note\",\"args\":[\"orphan\"],\"jid\":\"1\"}").await;
    let () = server.query("SADD roustabout:owners ghost").await;
    let () = server.query("CONFIG SET maxmemory 1").await;
    let refused = client.enqueue(Note { text: "refused".into() }).await;
    assert!(refused.is_err(), "{refused:?}");

    let owners: Vec<String> = server.query("SMEMBERS processes").await;
    let at = format!("HGET it-{} c", jids[0]);
    let saved = async || server.query::<Option<u32>>(&at).await.unwrap_or(0);
    let beats = format!("HGET {} beats", owners[0]);
    let before = saved().await;
    eventually("cursors are saved", async || saved().await > before).await;
    eventually("it beats", async || server.query::<u32>(&beats).await > 20).await;
    diary.note("full");
    eventually("two fail", async || server.query::<u32>("ZCARD retry").await == 2).await;
    eventually("the rest ends", async || held(&server).await == 2).await;
    eventually("orphans and due jobs run", async || {
        diary.count("orphan") + diary.count("due") == 2
    })
    .await;
    first.stop().await;
    assert_eq!((server.query::<u32>("LLEN queue:default").await, held(&server).await), (2, 0));
    assert_eq!(server.query::<u32>("EXISTS processes roustabout:owners").await, 0);

    let second = worker(&server, &diary);
    eventually("both run again", async || diary.count("running") == 8).await;
    assert!(saved().await > before);
    diary.note("enough");
    eventually("all is done", async || held(&server).await == 0).await;
    second.stop().await;
    assert_eq!(server.query::<u32>("EXISTS dead queue:default").await, 0);
    assert_eq!(server.query::<u32>("HGET roustabout:counters rescued").await, 1, "the ghost's");
    assert_eq!(server.query::<u32>("GET stat:processed").await, 8);
    assert_eq!(server.query::<u32>("GET stat:failed").await, 2);
}
