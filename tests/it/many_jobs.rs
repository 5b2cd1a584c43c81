//! Jobs that come from jobs, look alike, or are a hundred thousand at once.

use std::collections::HashSet;
use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{Client, Job, JobContext, Registry, Retry, WorkerOptions};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Note { text: String }, |this, cx| {
    cx.app.note(this.text);
    Ok(())
});

#[tokio::test]
async fn what_a_job_enqueued_outlives_its_failure() {
    #[derive(Clone)]
    struct App {
        client: Client,
        diary: Diary,
    }
    #[derive(Serialize, Deserialize)]
    struct Parent {}
    #[derive(Serialize, Deserialize)]
    struct Child {}
    impl Job for Parent {
        type App = App;
        const CLASS: &'static str = "Parent";
        const RETRY: Retry = Retry::Times(1);
        async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
            cx.app.client.enqueue(Child {}).await?;
            cx.app.client.enqueue_in(Duration::from_millis(300), Child {}).await?;
            anyhow::bail!("no luck")
        }
    }
    impl Job for Child {
        type App = App;
        const CLASS: &'static str = "Child";
        async fn perform(self, cx: JobContext<App>) -> anyhow::Result<()> {
            cx.app.diary.note("child");
            Ok(())
        }
    }
    let (server, diary) = (Server::start().await, Diary::default());
    let (redis, client) = (server.redis(), client(&server));
    // one connection for both, as in a worker process
    let app = App { client: Client::new(redis.clone()), diary: diary.clone() };
    let registry = Registry::new(app).job::<Parent>().job::<Child>();
    let worker = Running::start(WorkerOptions { concurrency: 1, ..brisk() }, redis, registry);
    client.enqueue(Parent {}).await.unwrap();
    eventually("both children run", async || diary.len() == 2).await;
    retry_now(&server).await;
    eventually("two more", async || diary.len() == 4).await;
    eventually("the parent is dead", async || server.query::<u32>("ZCARD dead").await == 1).await;
    worker.stop().await;
    assert_eq!(diary.len(), 4);
    assert_eq!(server.query::<u32>("EXISTS retry schedule queue:default").await, 0);
}

/// What an impatient operator does: everything in the retry set is due.
async fn retry_now(server: &Server) {
    eventually("it waits", async || server.query::<u32>("EXISTS retry").await == 1).await;
    let mut connection = server.connect().await;
    let waiting: Vec<Vec<u8>> = connection.zrange("retry", 0, -1).await.unwrap();
    for member in waiting {
        let () = connection.zadd("retry", member, 1).await.unwrap();
    }
}

#[tokio::test]
async fn jobs_with_the_same_jid_are_jobs_all_the_same() {
    job!(Fails { n: u32 }, |this, cx| {
        cx.app.note(this.n);
        anyhow::bail!("no luck")
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let registry = Registry::new(diary.clone()).job::<Fails>();
    let mut connection = server.connect().await;
    // the last two have the same bytes
    for n in [1, 2, 3, 3] {
        let payload = json!({"class": "Fails", "args": [n], "jid": "same"}).to_string();
        let () = connection.lpush("queue:default", payload).await.unwrap();
    }
    let worker = Running::start(brisk(), server.redis(), registry);
    let collapsed = async || {
        server.query::<Option<u32>>("HGET roustabout:counters collapsed").await.unwrap_or(0)
    };
    let kept = async || server.query::<u32>("ZCARD retry").await + collapsed().await;
    eventually("all failed", async || kept().await == 4).await;
    worker.stop().await;
    let mut runs = diary.lines();
    runs.sort();
    assert_eq!(runs, ["1", "2", "3", "3"]);
}

const CROWD: usize = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_due_in_the_same_second() {
    job!(Due { n: usize }, |this, cx| {
        cx.app.note(this.n);
        Ok(())
    });
    let (server, diary) = (Server::start().await, Diary::default());
    let mut connection = server.connect().await;
    for first in (0..CROWD).step_by(10_000) {
        let mut add = redis::cmd("ZADD");
        add.arg("schedule");
        for n in first..first + 10_000 {
            let payload =
                json!({"class": "Due", "args": [n], "jid": format!("{n:024}"), "queue": "due"});
            add.arg(1_700_000_000).arg(payload.to_string());
        }
        let () = add.query_async(&mut connection).await.unwrap();
    }
    let options = WorkerOptions {
        concurrency: 50,
        queues: "default,due".parse().unwrap(),
        ttl: Duration::from_secs(20),
        ..brisk()
    };
    let start = || {
        let registry = Registry::new(diary.clone()).job::<Due>().job::<Note>();
        Running::start(options.clone(), server.redis(), registry)
    };
    let workers = [start(), start()];
    eventually("they begin", async || diary.len() > 100).await;
    // neither new jobs nor a retry stand behind the crowd
    client(&server).enqueue(Note { text: "new".into() }).await.unwrap();
    let retry = r#"{"class":"Note","args":["retried"],"jid":"1","queue":"default"}"#;
    let () = connection.zadd("retry", retry, 1).await.unwrap();
    eventually("all have run", async || diary.len() >= CROWD + 2).await;
    for worker in workers {
        worker.stop().await;
    }
    let lines = diary.lines();
    let distinct: HashSet<&String> = lines.iter().collect();
    assert_eq!((lines.len(), distinct.len()), (CROWD + 2, CROWD + 2), "each once");
    for early in ["new", "retried"] {
        let place = lines.iter().position(|line| line == early).unwrap();
        assert!(place < CROWD / 2, "{early} waited for {place} others");
    }
    let left = "EXISTS schedule retry dead queue:due queue:default roustabout:owners processes";
    assert_eq!(server.query::<u32>(left).await, 0);
    assert_eq!(server.query::<usize>("GET stat:processed").await, CROWD + 2);
}

// they are due again a minute later, before the first pass over them would have ended
#[tokio::test]
async fn many_that_cannot_be_moved_hold_up_no_other_that_is_due() {
    let (server, diary) = (Server::start().await, Diary::default());
    let () = server.query("SET queue:odd no-list").await;
    let due = |queue: &str, n: usize| {
        format!(r#"1 {{"class":"Note","queue":"{queue}","args":["due"],"jid":"{n}"}}"#)
    };
    for n in 0..300 {
        let () = server.query(&format!("ZADD retry {}", due("odd", n))).await;
    }
    let () = server.query(&format!("ZADD retry {}", due("default", 300))).await;
    let () = server.query(&format!("ZADD schedule {}", due("default", 301))).await;
    let registry = Registry::new(diary.clone()).job::<Note>();
    let worker = Running::start(brisk(), server.redis(), registry);
    eventually("the others run", async || diary.len() == 2).await;
    assert_eq!(server.query::<u32>("ZCARD retry").await, 300);
    worker.stop().await;
}
