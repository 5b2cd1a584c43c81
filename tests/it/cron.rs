//! Lines of jobs at set times: each slot once over all processes, missed ones caught up as the
//! line says, and a list in Redis that is the registry's. The yearly lines have had a slot, and
//! will have none while a test lasts.

use roustabout::engine::{Missed, Payload, Registry, Schedule, WorkerOptions};

use crate::child::{Gate, Setup};
use crate::support::{Diary, Log, Running, Server, brisk, client, eventually};

const YEARLY: &str = "0 0 1 1 *";
const YEAR: i64 = 366 * 86_400;

job!(Nightly { n: u32 }, |this, cx| {
    cx.app.note(this.n);
    Ok(())
});

job!(Odd {} queue "odd", |_this, _cx| Ok(()));

fn registry() -> Registry<Diary> {
    Registry::new(Diary::default()).job::<Nightly>()
}

/// With one line.
pub fn nightly(times: &str) -> Registry<Diary> {
    registry().cron("nightly", times, Nightly { n: 1 })
}

/// A worker that leaves the jobs in their queue.
pub fn start(server: &Server, registry: Registry<Diary>) -> Running {
    let options = WorkerOptions { queues: "other".parse().expect("a list"), ..brisk() };
    Running::start(options, server.redis(), registry)
}

fn line(name: &str) -> String {
    format!("cron_job:roustabout:{name}")
}

pub async fn field(server: &Server, name: &str, field: &str) -> Option<String> {
    server.query(&format!("HGET {} {field}", line(name))).await
}

pub async fn last_slot(server: &Server, name: &str) -> Option<i64> {
    field(server, name, "last_slot").await.map(|slot| slot.parse().expect("a number"))
}

async fn is_listed(server: &Server, name: &str) -> bool {
    server.query(&format!("SISMEMBER cron_jobs:roustabout {}", line(name))).await
}

/// As if nobody had run since then.
pub async fn last_ran(server: &Server, name: &str, slot: i64) {
    let () = server.query(&format!("HSET {} last_slot {slot}", line(name))).await;
    let () = server.query(&format!("DEL {}:enqueued", line(name))).await;
}

/// The slots of the jobs in the queue, in the order of their enqueueing.
pub async fn enqueued(server: &Server) -> Vec<(u64, i64)> {
    let jobs: Vec<String> = server.query("LRANGE queue:default 0 -1").await;
    let jobs = jobs.iter().rev().map(|job| Payload::parse(job.as_bytes()).expect("a payload"));
    let jobs = jobs.filter(|job| job.class() == "Nightly" || job.class() == "Note");
    jobs.map(|job| {
        let args: serde_json::Value = job.get("args").expect("arguments");
        (args[0]["n"].as_u64().unwrap_or_default(), job.get("cron_slot").expect("a slot"))
    })
    .collect()
}

/// Lets a worker write its lines.
pub async fn known(server: &Server, registry: Registry<Diary>, names: &[&str]) {
    for name in names {
        let () = server.query(&format!("SREM cron_jobs:roustabout {}", line(name))).await;
    }
    let worker = start(server, registry);
    for name in names {
        eventually("it is listed", || is_listed(server, name)).await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_slot_is_enqueued_once_and_caught_up() {
    let (server, diary) = (Server::start().await, Diary::default());
    let start = |new: bool| {
        let registry = Registry::new(diary.clone()).job::<Nightly>();
        let registry = registry.cron("nightly", YEARLY, Nightly { n: 1 });
        let registry = match new {
            true => registry.cron("never-seen", YEARLY, Nightly { n: 2 }),
            false => registry,
        };
        Running::start(brisk(), server.redis(), registry)
    };
    let first = start(false);
    eventually("it is known", || is_listed(&server, "nightly")).await;
    first.stop().await;
    last_ran(&server, "nightly", 1_000).await;
    let workers = [start(true), start(true), start(true)];
    eventually("it ran", async || diary.len() == 1).await;
    eventually("the other is known", || is_listed(&server, "never-seen")).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(diary.lines(), ["1"]);

    // what the gem's pages and pollers look at
    let slot = last_slot(&server, "nightly").await.unwrap();
    assert_eq!(last_slot(&server, "never-seen").await, Some(slot));
    let slots = format!("ZRANGE {}:enqueued 0 -1 WITHSCORES", line("nightly"));
    let slots: Vec<(String, i64)> = server.query(&slots).await;
    let year = slots[0].0.strip_suffix("-01-01T00:00:00Z").expect("ISO 8601");
    assert!(slots.len() == 1 && slots[0].1 == slot && year.len() == 4, "{slots:?}");
    let (now, _): (i64, i64) = server.query("TIME").await;
    let time = field(&server, "nightly", "last_enqueue_time").await.unwrap();
    let time = chrono::DateTime::parse_from_str(&time, "%Y-%m-%d %H:%M:%S %z").unwrap();
    assert!((now - time.timestamp()).abs() < 60, "{time}");
    let history = format!("LRANGE {}:jid_history 0 -1", line("nightly"));
    let history: Vec<String> = server.query(&history).await;
    let record: serde_json::Value = serde_json::from_str(&history[0]).unwrap();
    assert!(history.len() == 1 && record["jid"].as_str().unwrap().len() == 24, "{record}");
    assert!(record["enqueued"].as_str().unwrap().ends_with(" UTC"), "{record}");
    let table = [
        ("name", "nightly"),
        ("namespace", "roustabout"),
        ("klass", "Nightly"),
        ("cron", YEARLY),
        ("source", "dynamic"),
        ("args", r#"[{"n":1}]"#),
        ("message", r#"{"retry":true,"queue":"default","class":"Nightly","args":[{"n":1}]}"#),
        ("status", "enabled"),
        ("retry", "true"),
        ("active_job", "0"),
    ];
    for (name, expected) in table {
        assert_eq!(field(&server, "nightly", name).await.as_deref(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn missed_slots_are_caught_up_as_the_line_says() {
    let server = Server::start().await;
    let lines = || {
        let registry = registry().cron("latest", YEARLY, Nightly { n: 1 });
        let all = Schedule::new(YEARLY).missed(Missed::All);
        let none = Schedule::new(YEARLY).missed(Missed::None);
        registry.cron("all", all, Nightly { n: 2 }).cron("none", none, Nightly { n: 3 })
    };
    let names = ["latest", "all", "none"];
    known(&server, lines(), &names).await;
    let slot = last_slot(&server, "all").await.unwrap();
    for name in names {
        last_ran(&server, name, slot - 3 * YEAR).await;
    }
    let workers = [(); 3].map(|()| start(&server, lines()));
    eventually("all are dealt with", async || {
        let mut slots = Vec::new();
        for name in names {
            slots.push(last_slot(&server, name).await);
        }
        slots == [Some(slot); 3]
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
    let jobs = enqueued(&server).await;
    let of = |line: u64| jobs.iter().filter(move |(n, _)| *n == line).map(|(_, slot)| *slot);
    assert_eq!(of(1).collect::<Vec<_>>(), [slot]);
    assert_eq!(of(3).count(), 0);
    let all: Vec<i64> = of(2).collect();
    assert!(all.len() >= 3 && all.last() == Some(&slot), "{all:?}");
    assert!(all.windows(2).all(|two| (365..=366).contains(&((two[1] - two[0]) / 86_400))));
}

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
async fn what_is_disabled_on_the_page_is_passed_over() {
    let server = Server::start().await;
    let lines = || {
        let all = Schedule::new(YEARLY).missed(Missed::All);
        registry().cron("off", all, Nightly { n: 1 }).cron("on", YEARLY, Nightly { n: 2 })
    };
    known(&server, lines(), &["off", "on"]).await;
    let slot = last_slot(&server, "off").await.unwrap();
    last_ran(&server, "off", slot - 3 * YEAR).await;
    last_ran(&server, "on", 1_000).await;
    let () = server.query(&format!("HSET {} status disabled", line("off"))).await;
    let worker = start(&server, lines());
    eventually("it is passed over", async || last_slot(&server, "off").await == Some(slot)).await;
    eventually("the other is not", async || enqueued(&server).await == [(2, slot)]).await;
    worker.stop().await;
    assert_eq!(field(&server, "off", "status").await.as_deref(), Some("disabled"));

    // nor is it made up for when it is enabled again: of two lines the first comes first
    let () = server.query(&format!("HSET {} status enabled", line("off"))).await;
    last_ran(&server, "on", 1_000).await;
    let worker = start(&server, lines());
    eventually("the other is", async || enqueued(&server).await.len() == 2).await;
    worker.stop().await;
    assert_eq!(enqueued(&server).await, [(2, slot), (2, slot)]);
}

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
    let names = ["hash", "slots", "history", "good", "queue"];
    let lines = || {
        let registry = registry().cron("hash", YEARLY, Nightly { n: 1 });
        let registry = registry.cron("slots", YEARLY, Nightly { n: 2 });
        let registry = registry.cron("history", YEARLY, Nightly { n: 3 });
        registry.cron("good", YEARLY, Nightly { n: 4 }).cron("queue", YEARLY, Odd {})
    };
    known(&server, lines(), &names).await;
    let slot = last_slot(&server, "good").await.unwrap();
    for name in names {
        last_ran(&server, name, 1_000).await;
    }
    let () = server.query(&format!("SET {} nonsense", line("hash"))).await;
    let () = server.query(&format!("SET {}:enqueued nonsense", line("slots"))).await;
    let () = server.query(&format!("SET {}:jid_history nonsense", line("history"))).await;
    let () = server.query("SET queue:odd nonsense").await;
    let worker = start(&server, lines());
    eventually("the others", async || enqueued(&server).await == [(3, slot), (4, slot)]).await;
    for name in ["hash", "slots", "queue"] {
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

#[test]
fn nonsense_is_told_at_boot() {
    let table = [
        ("0 3 * *", "cron line \"nightly\": \"0 3 * *\": five fields are wanted"),
        ("0 3 31 2 *", "it would never be due"),
        ("0 3 * * * Mars", "\"Mars\", the sixth word, is no time zone"),
        ("0 25 * * *", "no cron expression"),
    ];
    for (times, expected) in table {
        let line = || registry().cron("nightly", times, Nightly { n: 1 });
        let panic = std::panic::catch_unwind(line).err().expect(times);
        let said = panic.downcast_ref::<String>().expect("a text");
        assert!(said.contains(expected), "{said}");
    }
    let twice =
        || registry().cron("a", YEARLY, Nightly { n: 1 }).cron("a", YEARLY, Nightly { n: 1 });
    assert!(std::panic::catch_unwind(twice).is_err());
    assert!(std::panic::catch_unwind(|| registry().cron("a:b", YEARLY, Nightly { n: 1 })).is_err());
    let _zone_and_policy = registry().cron(
        "weekdays",
        Schedule::new("30 7 * JAN-JUN MON-FRI Europe/Berlin").missed(Missed::None),
        Nightly { n: 1 },
    );
}
