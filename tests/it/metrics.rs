//! What Sidekiq's Metrics page would show of our jobs: the numbers of each class, once.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use roustabout::engine::{Registry, Retry, Stop, WorkerOptions};

use crate::lost_replies::held;
use crate::proxy::{Fault, Kind, Proxy};
use crate::support::{Diary, PATIENCE, Running, Server, brisk, client, eventually};

const SLOW: Duration = Duration::from_millis(40);

job!(Slow {}, |_this, cx| {
    tokio::time::sleep(SLOW).await;
    cx.app.note("slow");
    Ok(())
});
job!(Fails {}, |_this, cx| {
    cx.app.note("fails");
    anyhow::bail!("no luck")
});
job!(Panics {} retry Retry::Times(0), |_this, cx| {
    cx.app.note("panics");
    panic!("as wanted")
});
job!(Killed {}, |_this, cx| {
    cx.app.note("killed");
    anyhow::bail!(Stop::Kill)
});
job!(Discarded {}, |_this, cx| {
    cx.app.note("discarded");
    anyhow::bail!(Stop::Discard)
});
job!(Later {}, |_this, cx| {
    cx.app.note("later");
    anyhow::bail!(Stop::Snooze(Duration::from_secs(3_600)))
});
job!(Steps {}, |_this, cx| {
    cx.app.note("steps");
    for at in 0.. {
        cx.checkpoint(at).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
});
job!(Long {}, |_this, cx| {
    cx.app.note("long");
    std::future::pending::<()>().await;
    Ok(())
});

fn registry(diary: &Diary) -> Registry<Diary> {
    let registry = Registry::new(diary.clone()).job::<Slow>().job::<Fails>().job::<Panics>();
    registry.job::<Killed>().job::<Discarded>().job::<Later>().job::<Steps>().job::<Long>()
}

/// One beat at the start and one at the stop.
fn unhurried() -> WorkerOptions {
    let (beat, ttl) = (Duration::from_secs(3_600), Duration::from_secs(7_200));
    WorkerOptions { beat, ttl, shutdown_timeout: PATIENCE, ..brisk() }
}

async fn keys(server: &Server, pattern: &str) -> Vec<String> {
    server.query(&format!("KEYS {pattern}")).await
}

/// The sum of all hashes of a kind; a test may see the turn of a minute.
async fn sums(server: &Server, pattern: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for key in keys(server, pattern).await {
        let hash: BTreeMap<String, u64> = server.query(&format!("HGETALL {key}")).await;
        hash.into_iter().for_each(|(field, n)| *sums.entry(field).or_default() += n);
    }
    sums
}

/// The same of the histograms, read as Sidekiq reads them.
async fn buckets(server: &Server, pattern: &str) -> Vec<u64> {
    let mut sums = vec![0; 26];
    for key in keys(server, pattern).await {
        let gets: String = (0..26).map(|n| format!(" GET u16 #{n}")).collect();
        let counts: Vec<u64> = server.query(&format!("BITFIELD_RO {key}{gets}")).await;
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sums
}

async fn ttl_is(server: &Server, pattern: &str, most: u64) {
    let keys = keys(server, pattern).await;
    assert!(!keys.is_empty(), "{pattern}");
    for key in keys {
        let ttl: u64 = server.query(&format!("TTL {key}")).await;
        assert!(ttl <= most && ttl + 600 > most, "{key}: {ttl} s");
    }
}

async fn now(server: &Server) -> DateTime<Utc> {
    let (seconds, _): (i64, u32) = server.query("TIME").await;
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[tokio::test]
async fn every_end_of_a_run_is_counted_as_what_it_is() {
    let (server, diary) = (Server::start().await, Diary::default());
    let (client, began) = (client(&server), now(&server).await);
    let options = WorkerOptions { shutdown_timeout: Duration::from_millis(500), ..brisk() };
    let worker = Running::start(options, server.redis(), registry(&diary));
    client.enqueue_all((0..7).map(|_| Slow {})).await.unwrap();
    client.enqueue_all((0..3).map(|_| Fails {})).await.unwrap();
    client.enqueue(Panics {}).await.unwrap();
    client.enqueue(Killed {}).await.unwrap();
    client.enqueue(Discarded {}).await.unwrap();
    client.enqueue(Later {}).await.unwrap();
    let () = server.query(r#"LPUSH queue:default {"class":"Fails","args":[1,2],"jid":"1"}"#).await;
    let () = server.query(r#"LPUSH queue:default {"class":"Nobody","args":[],"jid":"2"}"#).await;
    client.enqueue(Steps {}).await.unwrap();
    client.enqueue(Long {}).await.unwrap();
    eventually("all have started", async || diary.len() == 7 + 3 + 4 + 2).await;
    eventually("all but two have ended", async || held(&server).await == 2).await;
    worker.stop().await;

    let minutes = sums(&server, "j|??????|*:??").await;
    let slow = minutes["Slow|ms"];
    let least = 7 * SLOW.as_millis() as u64;
    assert!((least..60_000).contains(&slow), "{slow}");
    let expected = [
        ("Discarded|p", 1),
        ("Fails|f", 4),
        ("Fails|p", 4),
        ("Killed|f", 1),
        ("Killed|p", 1),
        ("Panics|f", 1),
        ("Panics|p", 1),
        ("Slow|ms", slow),
        ("Slow|p", 7),
    ];
    let expected: BTreeMap<String, u64> =
        expected.into_iter().map(|(field, n)| (field.to_owned(), n)).collect();
    let without = |mut sums: BTreeMap<String, u64>| {
        sums.remove("Discarded|ms"); // less than one, on most days
        sums
    };
    assert_eq!(without(minutes), expected);
    assert_eq!(without(sums(&server, "j|??????|*:?").await), expected, "ten minutes");
    assert_eq!(without(sums(&server, "j|????????|*").await), expected, "Sidekiq 7");
    for pattern in ["h|Slow-*", "Slow-*"] {
        let buckets = buckets(&server, pattern).await;
        assert_eq!((buckets[..2].iter().sum::<u64>(), buckets.iter().sum::<u64>()), (0, 7));
    }
    let histograms = keys(&server, "h|*").await;
    let of = |class: &str| histograms.iter().filter(|key| key.contains(class)).count();
    assert_eq!(of("Slow") + of("Discarded"), histograms.len(), "{histograms:?}");

    ttl_is(&server, "j|??????|*:??", 8 * 3_600).await;
    ttl_is(&server, "j|??????|*:?", 72 * 3_600).await;
    ttl_is(&server, "j|????????|*", 8 * 3_600).await;
    ttl_is(&server, "h|Slow-*", 8 * 3_600).await;
    ttl_is(&server, "Slow-*", 8 * 3_600).await;
    let ended = now(&server).await;
    for key in keys(&server, "j|??????|*:??").await {
        let minute = |time: &DateTime<Utc>| time.format("j|%y%m%d|%-H:%M").to_string();
        let mut at = began;
        while minute(&at) != key {
            at += Duration::from_secs(1);
            assert!(at <= ended, "{key}");
        }
    }
}

/// Jobs run between two beats, and the one that tells of them goes wrong.
async fn counted_once(fault: Fault) {
    let (server, diary) = (Server::start().await, Diary::default());
    let proxy = Proxy::start(&server).await;
    let worker = Running::start(unhurried(), proxy.redis(), registry(&diary));
    eventually("a beat", async || !keys(&server, "roustabout:unbroken").await.is_empty()).await;
    client(&server).enqueue_all((0..5).map(|_| Slow {})).await.unwrap();
    client(&server).enqueue(Fails {}).await.unwrap();
    eventually("all have run", async || diary.len() == 6).await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    assert!(keys(&server, "j|*").await.is_empty());
    proxy.arm(Kind::Beat, fault);
    worker.stop().await;
    assert_eq!(proxy.struck(), 1);
    for pattern in ["j|??????|*:??", "j|??????|*:?", "j|????????|*"] {
        let sums = sums(&server, pattern).await;
        assert_eq!((sums["Slow|p"], sums["Fails|p"], sums["Fails|f"]), (5, 1, 1), "{pattern}");
    }
    assert_eq!(buckets(&server, "h|Slow-*").await.iter().sum::<u64>(), 5);
    assert_eq!(server.query::<u32>("GET stat:processed").await, 6);
}

#[tokio::test]
async fn a_beat_without_a_reply_counts_once() {
    counted_once(Fault::Close).await;
}

#[tokio::test]
async fn a_beat_into_silence_counts_once() {
    counted_once(Fault::Mute).await;
}

#[tokio::test]
async fn something_else_under_the_keys_costs_no_beat() {
    let (server, diary) = (Server::start().await, Diary::default());
    let worker = Running::start(brisk(), server.redis(), registry(&diary));
    // every name that the next minutes could want
    let from = now(&server).await;
    for at in (0..10).map(|n| from + Duration::from_secs(60) * n) {
        for format in ["j|%y%m%d|%-H:%M", "j|%Y%m%d|%-H:%-M", "Slow-%d-%H:%-M"] {
            let () = server.query(&format!("RPUSH {} x", at.format(format))).await;
        }
        let () = server.query(&format!("RPUSH h|Slow-{} x", at.format("%-d-%-H:%-M"))).await;
    }
    client(&server).enqueue_all((0..5).map(|_| Slow {})).await.unwrap();
    eventually("all have run", async || diary.len() == 5).await;
    worker.stop().await;
    assert_eq!(server.query::<u32>("GET stat:processed").await, 5);
    assert_eq!(sums(&server, "j|??????|*:?").await["Slow|p"], 5);
}
