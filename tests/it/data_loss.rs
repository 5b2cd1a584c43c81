//! Redis comes back without its last writes, as after a restart from a snapshot or a failover. What
//! is in flight again but has ended is all that is left of a job: it must not be thrown away.

use roustabout::engine::{Payload, Registry, Retry, State};

use crate::lost_replies::held;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Ends { well: bool } retry Retry::Times(3), |this, cx| {
    cx.app.note(format!("start {}", this.well));
    while cx.app.count("go on") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    anyhow::ensure!(this.well, "no luck");
    Ok(())
});

/// Dies, and comes back as it was at the last SAVE.
async fn fall_back(server: &mut Server) {
    server.kill();
    server.launch();
    server.answers().await;
}

#[tokio::test]
async fn what_has_ended_since_is_neither_lost_nor_done_twice() {
    let (mut server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Ends>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let client = client(&server);
    client.push(Payload::of(&Ends { well: false }).unwrap()).await.unwrap();
    let tied = Payload::of(&Ends { well: true }).unwrap().with("unique_key", "one");
    let tied = client.push(tied.with("status_for", 3_600)).await.unwrap();
    eventually("both run", async || diary.len() == 2).await;
    let () = server.query("SAVE").await;
    diary.note("go on");
    eventually("one waits", async || server.query::<u32>("ZCARD retry").await == 1).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;

    fall_back(&mut server).await;
    eventually("it failed again", async || server.query::<u32>("ZCARD retry").await == 1).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    assert_eq!((diary.count("start false"), diary.count("start true")), (2, 1));
    let restored = "HGET roustabout:counters restored";
    eventually("it is counted", async || server.query::<Option<u32>>(restored).await == Some(1))
        .await;
    worker.stop().await;
    // what it had settled beside is settled again
    assert_eq!(client.status(tied.jid()).await.unwrap().unwrap().state, State::Done);
    assert_eq!(server.query::<u32>("EXISTS roustabout:unique:one").await, 0);
}
