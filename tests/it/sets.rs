//! The sets in which jobs wait or lie, looked through as a page does: sorted, searched, and without
//! holding more than the page. What is chosen on it is found again and dealt with.

use std::time::{Duration, Instant};

use redis::ScriptInvocation;
use roustabout::engine::Redis;
use roustabout::engine::inspect::{self, Edit, Found, Outcome, Place, Set, Sort, Want};

use crate::support::{Server, eventually};

/// A server and an engine connection that is up.
pub async fn desk() -> (Server, Redis) {
    let server = Server::start().await;
    let redis = server.redis();
    eventually("it is connected", async || redis.status().is_ok()).await;
    (server, redis)
}

async fn add(server: &Server, set: &str, at: f64, job: &str) {
    let mut add = redis::cmd("ZADD");
    let () = add.arg(set).arg(at).arg(job).query_async(&mut server.connect().await).await.unwrap();
}

fn job(jid: &str, class: &str, more: &str) -> String {
    format!(r#"{{"class":"{class}","args":[],"jid":"{jid}","queue":"q"{more}}}"#)
}

fn jids(jobs: &[Found]) -> Vec<&str> {
    jobs.iter().map(|found| &*found.entry.jid).collect()
}

fn search(text: &str) -> Want {
    Want { search: text.into(), count: 100, ..Want::default() }
}

/// Many at once.
async fn fill(server: &Server, script: &str) {
    let script = redis::Script::new(script);
    let script: ScriptInvocation = script.prepare_invoke();
    let () = script.invoke_async(&mut server.connect().await).await.unwrap();
}

async fn pick(redis: &Redis, set: Set, at: f64, jid: &str) -> Option<Found> {
    inspect::pick_all(redis, set, &[(at, jid.to_owned())]).await.unwrap().pop()
}

#[tokio::test]
async fn by_time_from_either_end() {
    let (server, redis) = desk().await;
    for n in 0..120 {
        add(&server, "retry", f64::from(n) + 0.25, &job(&n.to_string(), "A", "")).await;
    }
    let want = |last_first, from, count| {
        let sort = Sort::Time { last_first };
        Want { sort, from, count, ..Want::default() }
    };
    let page = inspect::page(&redis, Set::Retries, &want(false, 100, 3)).await.unwrap();
    assert_eq!(jids(&page.jobs), ["100", "101", "102"]);
    assert_eq!((page.total, page.matching, page.unsorted, page.strange), (120, 120, false, 0));
    assert!(page.now > 1e9);
    assert_eq!(page.jobs[0].place, Place::Set { set: Set::Retries, at: 100.25 });
    let page = inspect::page(&redis, Set::Retries, &want(true, 118, 9)).await.unwrap();
    assert_eq!(jids(&page.jobs), ["1", "0"]);
    let all = inspect::page(&redis, Set::Retries, &want(false, 0, 500)).await.unwrap();
    assert_eq!(all.jobs.len(), 120);
    for (from, count) in [(120, 5), (usize::MAX, usize::MAX), (0, 0)] {
        let page = inspect::page(&redis, Set::Retries, &want(false, from, count)).await.unwrap();
        assert_eq!((page.jobs.len(), page.matching), (0, 120));
    }
    let () = server.query("SET dead nonsense").await;
    for want in [Want { count: 5, ..Want::default() }, search("x")] {
        let page = inspect::page(&redis, Set::Dead, &want).await.unwrap();
        assert!(page.total == 0 && page.jobs.is_empty() && page.strange > 0);
    }
}

#[tokio::test]
async fn by_what_is_in_the_payload() {
    let (server, redis) = desk().await;
    let failed = |class: &str, count: u32| {
        format!(
            r#","retry_count":{count},"error_class":"{class}","error_message":"no luck 100%"}}"#
        )
    };
    let end = |text: String| text.replace("}}", "}");
    add(&server, "dead", 1.0, &end(job("1", "Mail", &failed("Timeout", 3)))).await;
    add(&server, "dead", 2.0, &end(job("2", "Report", &failed("Panic", 7)))).await;
    add(&server, "dead", 3.0, &job("3", "Mail", r#","to":"caf\u00e9 <b>""#)).await;
    add(&server, "dead", 4.0, "no job at all [x]").await;
    let found = async |want: &Want| {
        let page = inspect::page(&redis, Set::Dead, want).await.unwrap();
        assert_eq!((page.total, page.matching), (4, page.jobs.len()));
        page.jobs.iter().map(|found| found.entry.jid.clone()).collect::<Vec<_>>().join(" ")
    };
    let table = [
        ("mail", "1 3"),
        ("NO LUCK 100%", "1 2"),
        ("\"jid\":\"2\"", "2"),
        ("Café <b>", "3"),
        ("[x]", "?"),
        ("a*l", ""),
        ("t?meout", ""),
        ("nowhere", ""),
        ("  ", "1 2 3 ?"),
    ];
    for (text, expected) in table {
        assert_eq!(found(&search(text)).await, expected, "{text}");
    }
    let sorted = |sort| Want { sort, count: 9, ..Want::default() };
    assert_eq!(found(&sorted(Sort::Class)).await, "? 3 1 2");
    assert_eq!(found(&sorted(Sort::Failures)).await, "2 1 ? 3");
    assert_eq!(found(&sorted(Sort::Error)).await, "? 3 2 1");
    assert_eq!(found(&sorted(Sort::Queue)).await, "? 3 2 1");
    assert_eq!(found(&Want { sort: Sort::Failures, ..search("mail") }).await, "1 3");
    assert_eq!(
        found(&Want { sort: Sort::Time { last_first: true }, ..search("mail") }).await,
        "3 1"
    );
}

#[tokio::test]
async fn a_hundred_thousand() {
    let (server, redis) = desk().await;
    fill(
        &server,
        "for n = 1, 100000 do redis.call('ZADD', 'dead', n % 5000, \
         '{\"class\":\"A' .. n % 7 .. '\",\"jid\":\"' .. n .. '\",\"args\":[\"' .. string.rep('x', 1000) .. '\"]}') end",
    )
    .await;
    let late = Want { from: 90_000, count: 25, ..search("\"xx") };
    let page = inspect::page(&redis, Set::Dead, &late).await.unwrap();
    assert_eq!((page.total, page.matching, page.jobs.len()), (100_000, 100_000, 25));
    let Place::Set { at, .. } = page.jobs[0].place else { panic!() };
    assert_eq!(at, 4_500.0);
    let by_class = Want { sort: Sort::Class, count: 25, ..Want::default() };
    for (text, unsorted) in [("", true), ("xx", true), ("\"A3\"", false)] {
        let want = Want { search: text.into(), ..by_class.clone() };
        let page = inspect::page(&redis, Set::Dead, &want).await.unwrap();
        assert_eq!((page.unsorted, page.jobs.len()), (unsorted, 25), "{text}");
    }
}

#[tokio::test]
async fn what_was_chosen_is_found_again() {
    let (server, redis) = desk().await;
    for n in 0..300 {
        add(&server, "schedule", 7.5, &job(&format!("same{n}"), "A", "")).await;
    }
    add(&server, "schedule", 1e-7, &job("small", "A", "")).await;
    add(&server, "schedule", 1_700_000_000.123_456_7, &job("one", "A", "")).await;
    add(&server, "schedule", 9.0, &job("twin", "A", "")).await;
    add(&server, "schedule", 9.0, &job("twin", "B", "")).await;
    add(&server, "schedule", f64::INFINITY, "no job").await;
    let page = inspect::page(&redis, Set::Scheduled, &search("")).await.unwrap();
    assert_eq!(page.total, 305);
    let all = Want { count: 1_000, ..Want::default() };
    let page = inspect::page(&redis, Set::Scheduled, &all).await.unwrap();
    for found in page.jobs {
        // as text, on its way through a form
        let Place::Set { at, .. } = found.place else { panic!() };
        let at: f64 = at.to_string().parse().unwrap();
        let again = pick(&redis, Set::Scheduled, at, &found.entry.jid).await;
        assert_eq!(again.expect("there").entry.jid, found.entry.jid);
    }
    let ask = |at: f64, jid: &str| (at, jid.to_owned());
    let mut asked: Vec<_> = (100..300).map(|n| ask(7.5, &format!("same{n}"))).collect();
    asked.extend([ask(9.0, "twin"), ask(9.0, "twin"), ask(9.0, "twin"), ask(7.5, "one")]);
    asked.extend([ask(f64::NAN, "one"), ask(8.0, "same1"), ask(f64::INFINITY, "?")]);
    let found = inspect::pick_all(&redis, Set::Scheduled, &asked).await.unwrap();
    assert_eq!(found.len(), 203);
    assert!(pick(&redis, Set::Dead, 1.0, "x").await.is_none());
    let twins: Vec<_> = found.iter().filter(|found| found.is("twin")).collect();
    assert!(twins.len() == 2 && twins[0].entry.class != twins[1].entry.class);
}

#[tokio::test]
async fn what_was_chosen_is_dealt_with() {
    let (server, redis) = desk().await;
    for n in 0..450 {
        add(&server, "retry", 5.0, &job(&n.to_string(), "A", r#","retry_count":0"#)).await;
    }
    add(&server, "dead", 5.0, "no job").await;
    let asked: Vec<_> = (0..430).map(|n| (5.0, n.to_string())).collect();
    let mut chosen = inspect::pick_all(&redis, Set::Retries, &asked).await.unwrap();
    let gone = pick(&redis, Set::Retries, 5.0, "0").await.unwrap();
    inspect::edit(&redis, Edit::Delete, &gone).await.unwrap();
    chosen.extend(pick(&redis, Set::Dead, 5.0, "?").await);
    let edited = inspect::edit_each(&redis, Edit::Retry, chosen).await.unwrap();
    assert_eq!((edited.done, edited.left_in_all, edited.unfinished), (429, 1, false));
    assert_eq!(edited.left, [("?".to_owned(), Outcome::NoJob)]);
    assert_eq!(server.query::<usize>("LLEN queue:q").await, 429);
    assert_eq!(server.query::<usize>("ZCARD retry").await, 20);
    let (_, waiting) = inspect::waiting(&redis, "q", 0, 10).await.unwrap();
    let edited = inspect::edit_each(&redis, Edit::Delete, waiting).await.unwrap();
    assert_eq!((edited.done, server.query::<usize>("LLEN queue:q").await), (10, 419));
}

#[tokio::test]
async fn all_that_match_until_the_time_is_up() {
    let (server, redis) = desk().await;
    for n in 0..60 {
        let class = if n % 3 == 0 { "Caf\\u00e9" } else { "Mail" };
        add(&server, "retry", 5.0, &job(&n.to_string(), class, "")).await;
    }
    let past = Some(Instant::now());
    let edited = inspect::edit_all(&redis, Edit::Kill, Set::Retries, "", past, |_, _| {}).await;
    let edited = edited.unwrap();
    assert_eq!((edited.done, edited.unfinished), (0, true));
    let edited = inspect::edit_all(&redis, Edit::Kill, Set::Retries, "mail", past, |_, _| {}).await;
    let edited = edited.unwrap();
    assert_eq!((edited.done, edited.unfinished), (0, true));
    let later = Some(Instant::now() + Duration::from_secs(3_600));
    let mut told = (0, 0);
    let progress = |done: usize, total: usize| told = (done, total);
    let edited = inspect::edit_all(&redis, Edit::Kill, Set::Retries, "café", later, progress).await;
    let edited = edited.unwrap();
    assert_eq!((edited.done, edited.unfinished), (20, false));
    assert_eq!(told, (20, 60));
    assert_eq!(server.query::<usize>("ZCARD dead").await, 20);
    let dead = inspect::page(&redis, Set::Dead, &search("mail")).await.unwrap();
    assert_eq!((dead.total, dead.matching), (20, 0));
}
