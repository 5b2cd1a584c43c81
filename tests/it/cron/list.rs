//! The list in Redis is that of the worker that started last, and lives.

use super::*;

#[tokio::test]
async fn changed_and_removed_lines_leave_nothing_behind() {
    let server = Server::start().await;
    let old = registry().cron("gone", YEARLY, Nightly { n: 1 });
    let old = old.cron("moved", YEARLY, Nightly { n: 2 }).cron("same", YEARLY, Nightly { n: 3 });
    let old = old.cron("off", YEARLY, Nightly { n: 7 });
    let names = ["gone", "moved", "same", "off"];
    known(&server, old, &names).await;
    let slot = last_slot(&server, "same").await.unwrap();
    for name in names {
        last_ran(&server, name, slot - 3 * YEAR).await;
        let () = server.query(&format!("LPUSH {}:jid_history {{}}", line(name))).await;
    }
    let () = server.query(&format!("HSET {} status disabled", line("off"))).await;
    // its times come round later in the year, so that its latest slot is of the year before …
    let moved = registry().cron("moved", "59 23 31 12 *", Nightly { n: 4 });
    let moved = moved.cron("off", "59 23 31 12 *", Nightly { n: 8 });
    let new = moved.cron("same", YEARLY, Nightly { n: 5 }).cron("added", YEARLY, Nightly { n: 6 });
    let worker = start(&server, new);
    eventually("one is caught up", async || !enqueued(&server).await.is_empty()).await;
    eventually("one is added", || is_listed(&server, "added")).await;
    worker.stop().await;
    assert_eq!(enqueued(&server).await, [(5, slot)]);
    let keys: Vec<String> = server.query("KEYS *gone*").await;
    assert!(keys.is_empty() && !is_listed(&server, "gone").await, "{keys:?}");
    // … and is no slot of it: it had other times then
    assert_eq!(last_slot(&server, "moved").await, Some(slot - 60));
    assert_eq!(field(&server, "moved", "cron").await.as_deref(), Some("59 23 31 12 *"));
    assert_eq!(field(&server, "off", "status").await.as_deref(), Some("disabled"));

    known(&server, registry(), &[]).await;
    let none = async || server.query::<Vec<String>>("KEYS cron_*").await.is_empty();
    let worker = start(&server, registry());
    eventually("a list without lines", none).await;
    worker.stop().await;
}

// a minute that comes while both run, the one with the old list and the one with the new
#[tokio::test]
async fn a_deploy() {
    let server = Server::start().await;
    let minutely = "* * * * *";
    let old = registry().cron("same", minutely, Nightly { n: 1 });
    let old =
        old.cron("gone", minutely, Nightly { n: 2 }).cron("moved", minutely, Nightly { n: 3 });
    let old = start(&server, old);
    for name in ["same", "gone", "moved"] {
        eventually("it is known", || is_listed(&server, name)).await;
    }
    let new = registry().cron("same", minutely, Nightly { n: 1 });
    let new =
        new.cron("moved", YEARLY, Nightly { n: 4 }).cron("deleted", minutely, Nightly { n: 5 });
    let new = start(&server, new);
    eventually("the new list", || is_listed(&server, "deleted")).await;
    // as the page does it
    let () = server.query(&format!("DEL {}", line("deleted"))).await;
    let () = server.query(&format!("SREM cron_jobs:roustabout {}", line("deleted"))).await;
    // the minute may have come before the new one had started
    let (now, _): (i64, i64) = server.query("TIME").await;
    let came = async |slot: i64| enqueued(&server).await.iter().any(|(_, at)| *at > slot);
    eventually("a minute comes", || came(now)).await;
    let next = now / 60 * 60 + 60;
    eventually("it is dealt with", async || last_slot(&server, "same").await >= Some(next)).await;
    old.stop().await;
    new.stop().await;
    let jobs = enqueued(&server).await;
    let after: Vec<u64> = jobs.iter().filter(|(_, at)| *at == next).map(|(n, _)| *n).collect();
    assert_eq!(after, [1], "{jobs:?}");
    let lines: Vec<String> = server.query("SMEMBERS cron_jobs:roustabout").await;
    assert!(lines.len() == 2 && field(&server, "deleted", "cron").await.is_none(), "{lines:?}");
}

// the newest has ended, an older one lives on
#[tokio::test]
async fn whoever_lives_keeps_the_list() {
    let server = Server::start().await;
    let old = start(&server, registry().cron("old", YEARLY, Nightly { n: 1 }));
    eventually("the old list", || is_listed(&server, "old")).await;
    let new = start(&server, registry().cron("new", YEARLY, Nightly { n: 2 }));
    eventually("the new list", || is_listed(&server, "new")).await;
    assert!(!is_listed(&server, "old").await);
    new.stop().await;
    let () = server.query("DEL roustabout:cron-keeper").await; // as it goes by itself in a while
    eventually("the old list", || is_listed(&server, "old")).await;
    assert!(!is_listed(&server, "new").await);
    old.stop().await;
}
