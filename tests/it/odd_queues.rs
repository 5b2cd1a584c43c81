//! Queues with names that nobody should choose, and very many of them.

use std::time::Duration;

use redis::AsyncCommands;
use roustabout::engine::{Payload, Registry, WorkerOptions};
use serde_json::json;

use crate::lost_replies::held;
use crate::support::{Diary, Log, Running, Server, brisk, client, eventually};

job!(Where {}, |_this, cx| {
    cx.app.note(cx.queue());
    Ok(())
});
job!(Waits {}, |_this, cx| {
    cx.app.note(cx.queue());
    std::future::pending().await
});
job!(Fails {}, |_this, cx| {
    cx.app.note(cx.queue());
    anyhow::bail!("no luck")
});

fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        " ",
        "two words",
        "'",
        "\"",
        "`$(x)`",
        "\\",
        "line\nbreak",
        "\r\n",
        "\0",
        "nul\0nul",
        ":",
        "a:b",
        "3:abc",
        "12",
        "queue:",
        "*",
        "?",
        "!x",
        "{}",
        "{tag}",
        "[]",
        ",",
        "a,b",
        "%s",
        "ü",
        "😀",
        "\u{feff}",
        "\u{202e}",
        "\u{1b}[31m",
        "-1",
        "null",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(500));
    names
}

fn sorted(diary: &Diary) -> Vec<String> {
    let mut lines = diary.lines();
    lines.sort();
    lines
}

fn in_order(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[tokio::test]
async fn every_name_is_a_name() {
    let (server, diary, names) = (Server::start().await, Diary::default(), names());
    let client = client(&server);
    let registry = Registry::new(diary.clone()).job::<Where>();
    let worker = Running::start(brisk(), server.redis(), registry);
    for name in &names {
        client.push(Payload::new("Where", json!([])).queue(name)).await.unwrap();
    }
    eventually("all have run", async || diary.len() >= names.len()).await;
    worker.stop().await;
    assert_eq!(sorted(&diary), in_order(names));
    assert_eq!(server.query::<Vec<String>>("KEYS queue:*").await, Vec::<String>::new());
}

#[tokio::test]
async fn jobs_go_back_to_where_they_were() {
    let (server, diary, names) = (Server::start().await, Diary::default(), names());
    let client = client(&server);
    let registry = Registry::new(diary.clone()).job::<Waits>();
    let shutdown_timeout = Duration::from_millis(200);
    let options = WorkerOptions { concurrency: 50, shutdown_timeout, ..brisk() };
    let worker = Running::start(options, server.redis(), registry);
    for name in &names {
        client.push(Payload::new("Waits", json!([])).queue(name)).await.unwrap();
    }
    eventually("all run", async || diary.len() == names.len()).await;
    worker.stop().await;
    let mut connection = server.connect().await;
    for name in &names {
        assert_eq!(
            connection.llen::<_, u32>(format!("queue:{name}")).await.unwrap(),
            1,
            "{name:?}"
        );
    }
    assert_eq!(held(&server).await, 0);
}

#[tokio::test]
async fn jobs_come_back_from_where_they_should() {
    let (server, diary, names) = (Server::start().await, Diary::default(), names());
    let mut connection = server.connect().await;
    for (n, name) in names.iter().enumerate() {
        let due = json!({"class": "Where", "args": [], "jid": n.to_string(), "queue": name});
        let () = connection.zadd("schedule", due.to_string(), n).await.unwrap();
        let bad = json!({"class": "Fails", "args": [], "jid": n.to_string(), "retry_queue": name});
        let () = connection.lpush("queue:default", bad.to_string()).await.unwrap();
        // and of a process that died
        let orphan = json!({"class": "Where", "args": [], "jid": format!("o{n}")});
        let field = format!("1:{n}:{name}");
        let () =
            connection.hset("roustabout:inflight:gh", field, orphan.to_string()).await.unwrap();
    }
    let () = connection.sadd("roustabout:owners", "gh").await.unwrap();
    let registry = Registry::new(diary.clone()).job::<Where>().job::<Fails>();
    let worker = Running::start(brisk(), server.redis(), registry);
    eventually("all have run", async || diary.len() >= 3 * names.len()).await;
    let waiting = async || server.query::<usize>("ZCARD retry").await;
    eventually("all wait", async || waiting().await == names.len()).await;
    for member in connection.zrange::<_, Vec<Vec<u8>>>("retry", 0, -1).await.unwrap() {
        let () = connection.zadd("retry", member, 1).await.unwrap();
    }
    eventually("they ran again", async || diary.len() >= 4 * names.len()).await;
    worker.stop().await;
    let defaults = vec!["default".to_owned(); names.len()];
    let expected = [names.clone(), names.clone(), names, defaults].concat();
    assert_eq!(sorted(&diary), in_order(expected));
}

#[tokio::test]
async fn a_name_that_is_no_text_is_left_alone_and_said_once() {
    let (log, _guard) = Log::catch();
    let (server, diary) = (Server::start().await, Diary::default());
    let mut connection = server.connect().await;
    let odd = [&b"\xff\xfe"[..], b"caf\xe9", b"\xed\xa0\x80"];
    for name in odd {
        let () = connection.sadd("queues", name).await.unwrap();
        let job = json!({"class": "Where", "args": [], "jid": "odd"}).to_string();
        let () = connection.lpush([b"queue:", name].concat(), job).await.unwrap();
    }
    let client = client(&server);
    let registry = Registry::new(diary.clone()).job::<Where>();
    let options = WorkerOptions { safety_poll: Duration::from_millis(50), ..brisk() };
    let worker = Running::start(options, server.redis(), registry);
    for n in 0..20 {
        client.push(Payload::new("Where", json!([])).queue(&format!("q{n}"))).await.unwrap();
        eventually("the others run", async || diary.len() == n + 1).await;
    }
    worker.stop().await;
    assert_eq!(log.count("not UTF-8"), 1, "{:#?}", log.lines());
    for name in odd {
        let key = [b"queue:", name].concat();
        assert_eq!(connection.llen::<_, u32>(key).await.unwrap(), 1, "kept");
    }
}

#[tokio::test]
async fn ten_thousand_queues_at_once() {
    const QUEUES: usize = 10_000;
    let (server, diary) = (Server::start().await, Diary::default());
    let push = async |round: &str| {
        let mut pipe = redis::pipe();
        for n in 0..QUEUES {
            let job = json!({"class": "Where", "args": [], "jid": format!("{n}{round}")});
            pipe.sadd("queues", format!("q{n}")).ignore();
            pipe.lpush(format!("queue:q{n}"), job.to_string()).ignore();
        }
        let () = pipe.query_async(&mut server.connect().await).await.unwrap();
    };
    push("a").await;
    let registry = Registry::new(diary.clone()).job::<Where>();
    let options = WorkerOptions { concurrency: 200, ..brisk() };
    let worker = Running::start(options, server.redis(), registry);
    eventually("all have run", async || diary.len() >= QUEUES).await;
    push("b").await; // now that they are known, and watched
    eventually("and again", async || diary.len() >= 2 * QUEUES).await;
    worker.stop().await;
    let mut lines = sorted(&diary);
    assert_eq!(lines.len(), 2 * QUEUES, "each once");
    lines.dedup();
    assert_eq!(lines.len(), QUEUES);
}

#[tokio::test]
async fn a_thousand_queues_each_with_limits() {
    const QUEUES: usize = 1_000;
    let (server, diary) = (Server::start().await, Diary::default());
    let client = client(&server);
    let push = async || {
        for n in 0..QUEUES {
            let queue = format!("q{n}");
            let jobs = (0..2).map(|_| Payload::new("Where", json!([])).queue(&queue));
            client.push_all(jobs.collect()).await.unwrap();
        }
    };
    push().await;
    let registry = Registry::new(diary.clone()).job::<Where>();
    let (limits, safety_poll) = ("*:1,*:100/s".parse().unwrap(), Duration::from_secs(3_600));
    let options = WorkerOptions { concurrency: 100, limits, safety_poll, ..brisk() };
    let worker = Running::start(options, server.redis(), registry);
    eventually("all have run", async || diary.len() == 2 * QUEUES).await;
    push().await; // now that they are known, and watched
    eventually("and again", async || diary.len() == 4 * QUEUES).await;
    eventually("no share is left", async || {
        server.query::<Vec<String>>("KEYS roustabout:running:*").await.is_empty()
    })
    .await;
    worker.stop().await;
}
