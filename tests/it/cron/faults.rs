//! Processes are killed, Redis is full, keys hold something else, clocks are set back.

use super::*;
use crate::child::{Gate, Setup};
use crate::support::{Log, client};

job!(Odd {} queue "odd", |_this, _cx| Ok(()));

#[tokio::test]
async fn no_slot_is_lost_or_doubled_by_a_kill() {
    // (slots of weeks: what the set of a day does not hold, the last slot alone tells)
    let server = Server::start().await;
    // each process has one place, and a job to keep it: what is enqueued stays where it is
    let setup = Setup { concurrency: 1, cron: Some("0 * * * *".into()), ..Setup::new(&server) };
    let gates = (0..9).map(|n| Gate { name: n.to_string() });
    client(&server).enqueue_all(gates).await.unwrap();
    let mut first = setup.start();
    eventually("it is known", || is_listed(&server, "cron")).await;
    first.kill();
    assert_eq!(enqueued(&server).await, []);
    let (now, _): (i64, i64) = server.query("TIME").await;
    let last = now / 3_600 * 3_600 - 900 * 3_600;
    last_ran(&server, "cron", last).await;
    for enough in [50, 300] {
        let mut victims = [setup.start(), setup.start()];
        eventually("some are enqueued", async || enqueued(&server).await.len() > enough).await;
        victims.iter_mut().for_each(|child| child.kill());
    }
    let mut child = setup.start();
    eventually("all are enqueued", async || enqueued(&server).await.len() >= 900).await;
    child.kill();
    let slots: Vec<i64> = enqueued(&server).await.iter().map(|(_, slot)| *slot).collect();
    let expected: Vec<i64> = (1..).map(|n| last + n * 3_600).take(slots.len()).collect();
    assert_eq!(slots, expected);
}

#[tokio::test]
async fn a_full_redis_is_tried_again() {
    let (log, _guard) = Log::catch();
    let server = Server::start().await;
    known(&server, nightly(YEARLY), &["nightly"]).await;
    let slot = last_slot(&server, "nightly").await.unwrap();
    last_ran(&server, "nightly", 1_000).await;
    let () = server.query("CONFIG SET maxmemory 1").await;
    let worker = start(&server, nightly(YEARLY));
    eventually("it is refused", async || log.count("Redis refuses to") > 0).await;
    assert_eq!(last_slot(&server, "nightly").await, Some(1_000));
    let left: Vec<String> = server.query("KEYS *").await;
    let half = |key: &String| key.starts_with("queue") || key.ends_with(":enqueued");
    assert!(!left.iter().any(half), "{left:?}");
    let () = server.query("CONFIG SET maxmemory 0").await;
    eventually("it is enqueued", async || enqueued(&server).await == [(1, slot)]).await;
    worker.stop().await;
    assert_eq!(enqueued(&server).await, [(1, slot)]);
}

#[tokio::test]
async fn something_else_in_the_place_of_a_key() {
    let (log, _guard) = Log::catch();
    let server = Server::start().await;
    let names = ["hash", "slots", "history", "good", "queue", "lock"];
    let lines = || {
        let registry = registry().cron("hash", YEARLY, Nightly { n: 1 });
        let registry = registry.cron("slots", YEARLY, Nightly { n: 2 });
        let registry = registry.cron("history", YEARLY, Nightly { n: 3 });
        registry.cron("good", YEARLY, Nightly { n: 4 }).cron("queue", YEARLY, Odd {}).cron(
            "lock",
            YEARLY,
            Slow {},
        )
    };
    let lock: String = Payload::of(&Slow {}).unwrap().get("unique_key").unwrap();
    known(&server, lines(), &names).await;
    let slot = last_slot(&server, "good").await.unwrap();
    for name in names {
        last_ran(&server, name, 1_000).await;
    }
    let () = server.query(&format!("SET {} nonsense", line("hash"))).await;
    let () = server.query(&format!("SET {}:enqueued nonsense", line("slots"))).await;
    let () = server.query(&format!("SET {}:jid_history nonsense", line("history"))).await;
    let () = server.query("SET queue:odd nonsense").await;
    let () = server.query(&format!("SADD roustabout:unique:{lock} nonsense")).await;
    let worker = start(&server, lines());
    eventually("the others", async || enqueued(&server).await == [(3, slot), (4, slot)]).await;
    for name in ["hash", "slots", "queue", "lock"] {
        let words = format!("WRONGTYPE at a key of the cron line \\\"{name}\\\"");
        eventually(&words, async || log.count(&words) > 0).await;
    }
    let () = server.query(&format!("DEL {}:enqueued", line("slots"))).await;
    eventually("that one too", async || enqueued(&server).await.contains(&(2, slot))).await;
    // refused at its push, the slot was not remembered either
    assert_eq!(last_slot(&server, "queue").await, Some(1_000));
    let () = server.query("DEL queue:odd").await;
    eventually("and that", async || server.query::<u32>("LLEN queue:odd").await == 1).await;
    worker.stop().await;
}

// the last slot is far ahead: the server's clock went wrong, and was put right
#[tokio::test]
async fn a_clock_that_is_set_back_stops_no_line() {
    let server = Server::start().await;
    known(&server, nightly(YEARLY), &["nightly"]).await;
    let slot = last_slot(&server, "nightly").await.unwrap();
    last_ran(&server, "nightly", slot + 9 * YEAR).await;
    let worker = start(&server, nightly(YEARLY));
    eventually("it begins anew", async || last_slot(&server, "nightly").await == Some(slot)).await;
    worker.stop().await;
    assert!(enqueued(&server).await.is_empty());
}

#[tokio::test]
async fn a_slot_that_ruby_claimed_is_rubys() {
    let server = Server::start().await;
    known(&server, nightly(YEARLY), &["nightly"]).await;
    let slot = last_slot(&server, "nightly").await.unwrap();
    let slots = format!("{}:enqueued", line("nightly"));
    let claimed: Vec<String> = server.query(&format!("ZRANGE {slots} 0 -1")).await;
    last_ran(&server, "nightly", 1_000).await;
    let () = server.query(&format!("ZADD {slots} {slot}.0 {}", claimed[0])).await;
    let worker = start(&server, nightly(YEARLY));
    eventually("it is settled", async || last_slot(&server, "nightly").await == Some(slot)).await;
    worker.stop().await;
    assert!(enqueued(&server).await.is_empty());
}
