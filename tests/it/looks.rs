//! What runs, what waits, what is due and what was, as a page asks for it, whoever wrote it.

use roustabout::engine::inspect::{self, CronEntry, Known, Place};
use roustabout::engine::{Enqueued, Payload, Redis, Registry, State, Stop};
use serde_json::{Value, json};

use crate::cron::{enqueued, field, known, nightly};
use crate::sets::desk;
use crate::support::{Diary, Running, Server, brisk, client, eventually};

job!(Stays { n: u32 }, |this, cx| {
    cx.progress(1, 2);
    cx.message("half of it");
    cx.app.note(this.n);
    cx.stopped().await;
    anyhow::bail!(Stop::Interrupted)
});

/// Whatever the words of a command are.
async fn send(server: &Server, words: &[&str]) {
    let mut cmd = redis::cmd(words[0]);
    let () = cmd.arg(&words[1..]).query_async(&mut server.connect().await).await.unwrap();
}

/// A Ruby process, and a job of it since then.
async fn ruby(server: &Server, identity: &str, work: &str, since: u64, job: &Value) {
    let entry = json!({ "queue": "low", "payload": job.to_string(), "run_at": since }).to_string();
    send(server, &["SADD", "processes", identity]).await;
    send(server, &["HSET", identity, "info", r#"{"queues":["low"]}"#, "busy", "1"]).await;
    send(server, &["HSET", &format!("{identity}:{work}"), "t1", &entry]).await;
}

#[tokio::test]
async fn what_runs_the_longest_first() {
    let ((server, redis), diary) = (desk().await, Diary::default());
    let wrapped = json!({ "class": "Sidekiq::ActiveJob::Wrapper", "wrapped": "Real", "jid": "r1",
                          "args": [{ "job_class": "Real", "arguments": [1, "x".repeat(100_000)] }] });
    ruby(&server, "new:1:a", "work", 1_700_000_000, &wrapped).await;
    let old = json!({ "class": "Old", "jid": "r2", "args": [7] });
    ruby(&server, "old:1:a", "workers", 1_600_000_000, &old).await;
    let worker =
        Running::start(brisk(), server.redis(), Registry::new(diary.clone()).job::<Stays>());
    let ours = Payload::of(&Stays { n: 5 }).unwrap().with("status_for", 60);
    let ours = client(&server).push(ours).await.unwrap();
    let all = async || inspect::busy(&redis, 0, 10).await.unwrap();
    eventually("all is told", async || {
        let status = all().await.jobs.get(2).and_then(|job| job.status.clone());
        status.is_some_and(|status| status.progress == Some((1, 2)))
    })
    .await;
    let all = all().await;
    let classes: Vec<&str> = all.jobs.iter().map(|job| &*job.job.class).collect();
    assert_eq!((classes, all.total, all.unreadable), (vec!["Old", "Real", "Stays"], 3, 0));
    let owners: Vec<bool> = all.jobs.iter().map(|job| job.process_ours).collect();
    assert_eq!(owners, [false, false, true]);
    let args = |at: usize| all.jobs[at].args.as_deref().unwrap();
    assert_eq!((args(0), args(2), args(1).len()), ("[7]", r#"[{"n":5}]"#, 64 << 10));
    assert!(args(1).starts_with(r#"[1,"xxx"#));
    let status = all.jobs[2].status.as_ref().unwrap();
    assert_eq!((status.state, status.message.as_deref()), (State::Running, Some("half of it")));
    assert_eq!((all.jobs[2].job.jid.as_str(), &all.jobs[0].status), (ours.jid(), &None));
    let page = inspect::busy(&redis, 1, 1).await.unwrap();
    assert_eq!((page.total, &*page.jobs[0].job.class, page.jobs.len()), (3, "Real", 1));
    assert!(inspect::busy(&redis, 3, 5).await.unwrap().jobs.is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn what_waits_the_next_first() {
    let (server, redis) = desk().await;
    let push = async |jid: usize| {
        let job = json!({ "class": "A", "args": [jid], "jid": jid.to_string() }).to_string();
        send(&server, &["LPUSH", "queue:low", &job]).await;
    };
    for jid in 0..130 {
        push(jid).await;
    }
    let jids = async |from, count| -> (usize, Vec<usize>) {
        let (total, jobs) = inspect::waiting(&redis, "low", from, count).await.unwrap();
        for (at, found) in jobs.iter().enumerate() {
            let place = Place::Queue { name: "low".into(), ahead: from + at };
            assert_eq!(found.place, place);
            assert_eq!(found.args().unwrap(), format!("[{}]", found.entry.jid));
        }
        (total, jobs.iter().map(|found| found.entry.jid.parse().unwrap()).collect())
    };
    assert_eq!(jids(0, 3).await, (130, vec![0, 1, 2]));
    assert_eq!(jids(128, 5).await, (130, vec![128, 129]));
    assert_eq!(jids(0, 500).await, (130, (0..130).collect()));
    for (from, count) in [(130, 5), (0, 0), (usize::MAX, usize::MAX)] {
        assert_eq!(jids(from, count).await, (130, vec![]));
    }
    send(&server, &["SET", "queue:odd", "nonsense"]).await;
    assert_eq!(inspect::waiting(&redis, "odd", 0, 5).await.unwrap().0, 0);
}

async fn lines(redis: &Redis) -> Vec<CronEntry> {
    inspect::cron_lines(redis).await.unwrap()
}

async fn run_now(redis: &Redis, line: &CronEntry) -> Option<Enqueued> {
    inspect::cron_run_now(redis, &line.key).await.unwrap()
}

#[tokio::test]
async fn cron_lines_of_ours_and_of_rubys() {
    let (server, redis) = desk().await;
    known(&server, nightly("0 0 1 1 * Europe/Berlin"), &["nightly"]).await;
    let ruby = "cron_job:default:rails";
    let job = r#"{"class":"Rails","args":[],"queue":"low"}"#;
    let ruby_line = ["HSET", ruby, "name", "rails", "klass", "Rails", "cron", "*/5 * * * *"];
    send(&server, &ruby_line).await;
    let more = ["HSET", ruby, "message", job, "status", "disabled", "active_job", "1"];
    send(&server, &more).await;
    send(&server, &["SADD", "cron_jobs:default", ruby, "cron_job:default:gone", "secret"]).await;
    send(&server, &["SET", "cron_jobs", "nonsense"]).await;
    let all = lines(&redis).await;
    let [ours, rails] = &all[..] else { panic!("{all:?}") };
    assert_eq!(
        (&*ours.name, &*ours.class, ours.ours, ours.last),
        ("nightly", "Nightly", true, None)
    );
    assert_eq!((&*ours.schedule, ours.zone.as_deref()), ("0 0 1 1 *", Some("Europe/Berlin")));
    assert!(ours.enabled && ours.next.unwrap() > redis.now());
    assert_eq!(
        (&*rails.name, rails.ours, rails.enabled, rails.next),
        ("rails", false, false, None)
    );

    assert!(inspect::cron_enable(&redis, &rails.key, true).await.unwrap());
    assert!(inspect::cron_enable(&redis, &ours.key, false).await.unwrap());
    assert_eq!(field(&server, "nightly", "status").await.as_deref(), Some("disabled"));
    let slots: Vec<String> = server.query("ZRANGE cron_job:roustabout:nightly:enqueued 0 -1").await;
    let jid = run_now(&redis, ours).await.unwrap();
    assert!(run_now(&redis, rails).await.is_some());
    let pushed: String = server.query("LINDEX queue:default 0").await;
    assert!(pushed.contains(jid.jid()) && pushed.contains(r#""args":[{"n":1}]"#), "{pushed}");
    let pushed: String = server.query("LINDEX queue:low 0").await;
    assert!(pushed.contains(r#""wrapped":"Rails""#), "{pushed}");
    let again: Vec<String> = server.query("ZRANGE cron_job:roustabout:nightly:enqueued 0 -1").await;
    assert_eq!((again, enqueued_at_slots(&server).await), (slots, 0));
    let history: String = server.query("LINDEX cron_job:roustabout:nightly:jid_history 0").await;
    assert!(history.contains(jid.jid()));
    let all = lines(&redis).await;
    assert!(!all[0].enabled && all[1].enabled && all[1].next.is_some());
    assert!(all.iter().all(|line| (redis.now() - line.last.unwrap()).abs() < 60.0));

    for no_line in ["cron_job:default:other", "secret", "", "queue:low"] {
        assert!(!inspect::cron_enable(&redis, no_line, true).await.unwrap(), "{no_line}");
        assert!(inspect::cron_run_now(&redis, no_line).await.unwrap().is_none(), "{no_line}");
    }
    assert_eq!(server.query::<u32>("EXISTS secret cron_job:default:other").await, 0);
}

async fn enqueued_at_slots(server: &Server) -> usize {
    let jobs: Vec<String> = server.query("LRANGE queue:default 0 -1").await;
    jobs.iter().filter(|job| job.contains("cron_slot")).count()
}

#[tokio::test]
async fn a_line_is_disabled_on_a_full_server_too() {
    let (server, redis) = desk().await;
    known(&server, nightly("0 0 1 1 *"), &["nightly"]).await;
    let () = server.query("CONFIG SET maxmemory 1").await;
    let key = &lines(&redis).await[0].key;
    assert!(inspect::cron_enable(&redis, key, false).await.unwrap());
    assert!(!lines(&redis).await[0].enabled);
    assert!(inspect::cron_run_now(&redis, key).await.is_err());
    assert!(enqueued(&server).await.is_empty());
}

#[tokio::test]
async fn each_minute_is_noted_once() {
    let (server, redis) = desk().await;
    send(&server, &["SET", "stat:processed", "1000"]).await;
    send(&server, &["SET", "stat:failed", "10"]).await;
    let (now, _): (u64, u64) = server.query("TIME").await;
    let job = json!({ "class": "A", "args": [], "enqueued_at": (now - 90) as f64 }).to_string();
    let paused = json!({ "class": "A", "args": [], "enqueued_at": (now - 900) as f64 }).to_string();
    send(&server, &["SADD", "queues", "slow", "paused"]).await;
    send(&server, &["SADD", "paused", "paused"]).await;
    send(&server, &["LPUSH", "queue:slow", &job, "later"]).await;
    send(&server, &["LPUSH", "queue:paused", &paused]).await;
    let options =
        || roustabout::engine::WorkerOptions { queues: "other".parse().unwrap(), ..brisk() };
    let start = || Running::start(options(), server.redis(), Registry::new(Diary::default()));
    let () = server.query("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 100000").await;
    let workers = [start(), start(), start()];
    eventually("it is noted", async || !inspect::history(&redis, 5).await.unwrap().is_empty())
        .await;
    let noted = inspect::history(&redis, 5).await.unwrap()[0];
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!((noted.processed, noted.failed, noted.enqueued, noted.busy), (1_000, 10, 3, 0));
    assert!((89.0..200.0).contains(&noted.latency) && noted.at % 60 == 0, "{noted:?}");
    assert!((noted.at..=noted.at + 60).contains(&noted.taken), "{noted:?}");
    assert!((noted.at - now as i64).abs() < 120);
    let keys: Vec<String> = server.query("KEYS roustabout:history:*").await;
    let left: u64 = server.query(&format!("TTL {}", keys[0])).await;
    assert!((86_400 * 2..=86_400 * 3).contains(&left), "{left}");
    // three workers, and at most one sample in each minute that has begun
    let all = inspect::history(&redis, 5).await.unwrap();
    let mut minutes: Vec<i64> = all.iter().map(|sample| sample.at).collect();
    minutes.dedup();
    assert_eq!(minutes.len(), all.len());
    // who looks has said so before
    let log: Logged = server.query("SLOWLOG GET -1").await;
    let looks = |words: &[String]| words[0] == "MGET" && words[1] == "stat:processed";
    let sought = log.iter().rev().filter_map(|(_, _, _, words, _, _)| match &*words[0] {
        "HSETNX" => Some("mark"),
        _ => Some("look").filter(|_| looks(words)),
    });
    let sought: Vec<&str> = sought.collect();
    assert_eq!((sought[0], sought.contains(&"look")), ("mark", true), "{sought:?}");
}

/// Number, time, duration, words, and whose, of commands that the server ran, the last one first.
type Logged = Vec<(u64, u64, u64, Vec<String>, String, String)>;

#[tokio::test]
async fn who_finds_a_minute_noted_leaves_it() {
    let (server, redis) = desk().await;
    let (now, _): (i64, i64) = server.query("TIME").await;
    for minute in [now / 60, now / 60 + 1, now / 60 + 2] {
        let time = chrono::DateTime::from_timestamp(minute * 60, 0).unwrap();
        let key = time.format("roustabout:history:%Y-%m-%d").to_string();
        send(&server, &["HSET", &key, &time.format("%H:%M").to_string(), "1 2 3 4 5 6"]).await;
    }
    let worker = Running::start(brisk(), server.redis(), Registry::new(Diary::default()));
    let looked = async || server.query::<String>("INFO commandstats").await.contains("hexists");
    eventually("it looks", looked).await;
    worker.stop().await;
    let stats: String = server.query("INFO commandstats").await;
    assert!(!stats.contains("hsetnx") && !stats.contains("stat_mget"), "{stats}");
    assert_eq!(inspect::history(&redis, 1).await.unwrap().last().unwrap().failed, 2);
}

#[tokio::test]
async fn what_was() {
    let (server, redis) = desk().await;
    let (now, _): (i64, i64) = server.query("TIME").await;
    let at = |ago: i64, format: &str| {
        chrono::DateTime::from_timestamp(now - ago, 0).unwrap().format(format).to_string()
    };
    for ago in [0, 3_600, 30 * 3_600, 47 * 3_600, 49 * 3_600] {
        let key = at(ago, "roustabout:history:%Y-%m-%d");
        send(&server, &["HSET", &key, &at(ago, "%H:%M"), &format!("{ago} 2 1500 4 5 6")]).await;
        send(&server, &["HSET", &key, "nonsense", "1 2 3 4 5 6", "00:00x", "x"]).await;
    }
    let noted = async |minutes| -> Vec<u64> {
        let samples = inspect::history(&redis, minutes).await.unwrap();
        assert!(samples.iter().all(|sample| sample.latency == 1.5 && sample.busy == 5));
        samples.iter().map(|sample| sample.processed).collect()
    };
    assert_eq!(noted(10).await, [0]);
    assert_eq!(noted(31 * 60).await, [30 * 3_600, 3_600, 0]);
    assert_eq!(noted(usize::MAX).await, [47 * 3_600, 30 * 3_600, 3_600, 0]);
    let today = at(0, "roustabout:history:%Y-%m-%d");
    send(&server, &["SET", &today, "nonsense"]).await;
    assert!(noted(usize::MAX).await.contains(&(47 * 3_600)));

    send(&server, &["SET", &at(0, "stat:processed:%Y-%m-%d"), "7"]).await;
    send(&server, &["SET", &at(0, "stat:failed:%Y-%m-%d"), "x"]).await;
    send(&server, &["SET", &at(2 * 86_400, "stat:failed:%Y-%m-%d"), "3"]).await;
    let days = inspect::days(&redis, 3).await.unwrap();
    let told: Vec<_> = days.iter().map(|day| (&*day.date, day.processed, day.failed)).collect();
    let [first, second, last] = [2, 1, 0].map(|ago| at(ago * 86_400, "%Y-%m-%d"));
    assert_eq!(told, [(&*first, 0, 3), (&*second, 0, 0), (&*last, 7, 0)]);
    assert!(inspect::days(&redis, 0).await.unwrap().is_empty());
    assert_eq!(inspect::days(&redis, usize::MAX).await.unwrap().len(), 1_825);
}

#[tokio::test]
async fn a_server_that_takes_no_notes_is_left_alone() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (now, _): (i64, i64) = server.query("TIME").await;
    for day in [now, now + 86_400] {
        let day = chrono::DateTime::from_timestamp(day, 0).unwrap();
        send(&server, &["SET", &day.format("roustabout:history:%Y-%m-%d").to_string(), "x"]).await;
    }
    let registry = Registry::new(diary.clone()).job::<Stays>();
    let worker = Running::start(brisk(), server.redis(), registry);
    let looked = async || server.query::<String>("INFO commandstats").await.contains("hexists");
    eventually("it looks", looked).await;
    client(&server).enqueue(Stays { n: 1 }).await.unwrap();
    eventually("jobs run", async || diary.len() == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn since_when_a_queue_waits_whatever_the_server_allows() {
    let (server, redis) = desk().await;
    let (now, _): (u64, u64) = server.query("TIME").await;
    let job = |arg: String| {
        format!(r#"{{"args":["{arg}",{{"enqueued_at":1.5}}],"enqueued_at":{}}}"#, now - 90)
    };
    for (queue, arg) in [("short", "x".to_owned()), ("long", "x".repeat(100_000))] {
        send(&server, &["SADD", "queues", queue]).await;
        send(&server, &["LPUSH", &format!("queue:{queue}"), &job(arg)]).await;
    }
    send(&server, &["SADD", "queues", "empty", "strange"]).await;
    send(&server, &["SET", "queue:strange", "x"]).await;
    let reader = redis.reader();
    let look = async |expected: Option<f64>, why: &str| {
        let queues = inspect::queues(&reader, &Known::default()).await.unwrap();
        let told: Vec<_> = queues.all.iter().map(|it| (&*it.name, it.size)).collect();
        assert_eq!(told, [("empty", 0), ("long", 1), ("short", 1), ("strange", 0)], "{why}");
        assert_eq!(queues.strange, 1, "{why}");
        let waits = |at: usize| queues.all[at].latency.map(|waits| (waits / 60.0).floor());
        assert_eq!([0, 1, 2, 3].map(waits), [None, expected, expected, None], "{why}");
    };
    let () = server.query("CONFIG SET maxmemory 1").await;
    look(Some(1.0), "a full server").await;
    let () = server.query("SCRIPT FLUSH").await;
    let () = server.query("REPLICAOF 127.0.0.1 1").await;
    look(Some(1.0), "a replica").await;
    let () = server.query("ACL SETUSER default -@scripting").await;
    look(None, "no right to scripts").await;
}
