//! Lines of jobs at set times: each slot once over all processes, missed ones caught up as the
//! line says, and a list in Redis that is the registry's. The yearly lines have had a slot, and
//! will have none while a test lasts.

use std::time::Duration;

use roustabout::engine::{Job, JobContext, Missed, Payload, Registry, Schedule, WorkerOptions};

use crate::support::{Diary, Running, Server, brisk, eventually};

mod faults; // kills, a full Redis, other things under our keys
mod list; // what is in Redis is what the registry has

const YEARLY: &str = "0 0 1 1 *";
const YEAR: i64 = 366 * 86_400;

job!(Nightly { n: u32 }, |this, cx| {
    cx.app.note(this.n);
    Ok(())
});

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

/// Takes longer than the line's interval.
#[derive(serde::Serialize, serde::Deserialize)]
struct Slow {}

impl Job for Slow {
    type App = Diary;
    const CLASS: &'static str = "Slow";
    const UNIQUE_FOR: Option<Duration> = Some(Duration::from_secs(3_600));

    async fn perform(self, _: JobContext<Diary>) -> anyhow::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_at_a_time_is_enough_if_the_job_says_so() {
    let server = Server::start().await;
    let line = || {
        let times = Schedule::new(YEARLY).missed(Missed::All);
        Registry::new(Diary::default()).job::<Slow>().cron("slow", times, Slow {})
    };
    known(&server, line(), &["slow"]).await;
    let slot = last_slot(&server, "slow").await.unwrap();
    last_ran(&server, "slow", slot - 3 * YEAR).await;
    let worker = start(&server, line());
    eventually("all are dealt with", async || last_slot(&server, "slow").await == Some(slot)).await;
    worker.stop().await;
    assert_eq!(server.query::<u32>("LLEN queue:default").await, 1);
    // where it cannot be pushed, no lock is left behind
    let () = server.query("DEL queue:default").await;
    let () = server.query("HSET queue:default no list").await;
    for lock in server.query::<Vec<String>>("KEYS roustabout:unique:*").await {
        let () = server.query(&format!("DEL {lock}")).await;
    }
    last_ran(&server, "slow", slot - YEAR).await;
    let worker = start(&server, line());
    let refused = async || server.query::<String>("INFO errorstats").await.contains("WRONGTYPE");
    eventually("it is refused", refused).await;
    worker.stop().await;
    assert!(server.query::<Vec<String>>("KEYS roustabout:unique:*").await.is_empty());
}
