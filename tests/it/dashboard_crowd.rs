//! A hundred thousand dead jobs, or some that are huge: pages of them, a search, and all of them
//! deleted, in a process that never has them all at once.

use crate::board::Site;

const JOBS: usize = 100_000;
/// In one script: the server answers in between.
const AT_ONCE: usize = 10_000;

/// Bytes of memory that the process has had at most.
fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
}

/// Sends a form; what the answer tells is in a cookie.
async fn form(site: &Site, path: &str, form: &str) -> String {
    let request = site.http.post(site.url(path)).body(form.to_owned());
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.send().await.expect("an answer in time");
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    percent_encoding::percent_decode_str(cookie).decode_utf8().unwrap().into_owned()
}

#[tokio::test]
async fn a_hundred_thousand_dead_jobs() {
    let site = Site::open().await;
    let now = site.server.query::<(usize, usize)>("TIME").await.0;
    let script = "for n = ARGV[1], ARGV[2] do redis.call('ZADD', 'dead', ARGV[3] - n, \
        '{\"class\":\"Class' .. n % 7 .. '\",\"queue\":\"default\",\"retry\":true,\"args\":[' .. n .. '],\"jid\":\"jid' .. n \
        .. '\",\"error_class\":\"E\",\"error_message\":\"' .. string.rep('m', 600) .. '\",\"failed_at\":1.5}') end";
    for first in (1..=JOBS).step_by(AT_ONCE) {
        let [first, last] = [first, first + AT_ONCE - 1].map(|n| n.to_string());
        site.tell(&["EVAL", script, "0", &first, &last, &now.to_string()]).await;
    }
    site.get("/dead").await;
    let before = peak(site.web.id());

    let page = site.get("/dead").await;
    assert!(page.contains("1 to 50 of 100,000") && page.contains("jid1\""), "{page}");
    let last = site.get("/dead?from=99950").await;
    assert!(
        last.contains("99,951 to 100,000 of 100,000") && last.contains("jid100000\""),
        "{last}"
    );
    let found = site.get("/dead?search=JID5000").await;
    assert!(found.contains("11 jobs that match") && found.contains("jid50009\""), "{found}");
    let found = site.get("/dead?search=Class3&from=14250").await;
    assert!(found.contains("14,251 to 14,286 of 14,286"), "{found}");
    let found = site.get("/dead?search=Class3&sort=class").await;
    assert!(found.contains("of 14,286") && !found.contains("too many jobs"), "{found}");
    let found = site.get("/dead?search=error_message").await;
    assert!(found.contains("100,000 jobs that match"), "{found}");
    assert!(site.get("/dead?sort=class").await.contains("too many jobs to sort"));
    let told = form(&site, "/dead?search=Class3", "action=delete-all").await;
    assert!(told.contains("14,286 jobs are deleted"), "{told}");
    // a slow machine says that the time was up, and goes on when asked again
    let mut rounds = 0;
    while site.count("ZCARD dead").await > 0 {
        let told = form(&site, "/dead", "action=delete-all").await;
        assert!(told.contains("jobs are deleted"), "{told}");
        rounds += 1;
        assert!(rounds < 10, "in vain");
    }
    let (peak, all) = (peak(site.web.id()), JOBS * 700);
    println!("{} MB more than with one page, for {} MB of jobs", (peak - before) >> 20, all >> 20);
    assert!(peak - before < all / 2, "{before} bytes, then {peak}: all jobs have {all}");
}

/// Jobs that are huge, and their size.
const HUGE: usize = 40;
const SIZE: usize = 5 << 20;

/// Puts them where a command says: `n` is their number.
async fn pile(site: &Site, put: &str) {
    let script = format!(
        "local arg = string.rep('x', ARGV[1]) for n = 1, ARGV[2] do \
         local job = '{{\"class\":\"Huge\",\"queue\":\"q\",\"args\":[\"' .. arg .. '\"],\"jid\":\"jid' .. n .. '\",\"enqueued_at\":1.5}}' \
         redis.call({put}, job) end"
    );
    site.tell(&["EVAL", &script, "0", &SIZE.to_string(), &HUGE.to_string()]).await;
}

fn assert_little(site: &Site, before: usize, what: &str) {
    let more = peak(site.web.id()) - before;
    println!("{what}: {} MB more, of {} MB in all", more >> 20, (HUGE * SIZE) >> 20);
    assert!(more < HUGE * SIZE * 9 / 10, "{what}: {} MB more", more >> 20);
}

/// Goes from page to page; which of the jobs are on one of them, each by the box that ticks it.
async fn leafed(site: &Site, path: &str) -> Vec<usize> {
    let (mut met, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = site.get(&path).await;
        let jid = |n: &usize| page.contains(&format!("|jid{n}\""));
        met.extend((1..=HUGE).filter(jid));
        let link = page.split_once("rel=\"next\" href=\"/dashboard").map(|(_, link)| link);
        next = link.and_then(|link| link.split('"').next()).map(|link| link.replace("&amp;", "&"));
    }
    met.sort_unstable();
    met
}

#[tokio::test]
async fn pages_of_huge_jobs_are_shorter() {
    let site = Site::open().await;
    site.get("/dead").await;
    let before = peak(site.web.id());
    pile(&site, "'ZADD', 'dead', n").await;
    let all: Vec<usize> = (1..=HUGE).collect();
    assert_eq!(leafed(&site, "/dead").await, all);
    assert_little(&site, before, "by time");
    for path in ["/dead?sort=class", "/dead?search=huge"] {
        let page = site.get(path).await;
        assert!(page.contains("1 to 7 of 40") && page.contains("from=7\""), "{page}");
        assert_little(&site, before, path);
    }
    let told = form(&site, "/dead?search=huge", "action=retry-all").await;
    assert!(told.contains("40 jobs"), "{told}");
    assert_little(&site, before, "retried");
    let page = site.get("/queues/q").await;
    assert!(page.contains("of 40") && page.contains("rel=\"next\""), "{page}");
    assert_little(&site, before, "in a queue");
}

#[tokio::test]
async fn whatever_waits_first_in_the_queues() {
    let site = Site::open().await;
    site.get("/queues").await;
    let before = peak(site.web.id());
    pile(&site, "'LPUSH', 'queue:q' .. n").await;
    site.tell(&[
        "EVAL",
        "for n = 1, ARGV[1] do redis.call('SADD', 'queues', 'q' .. n) end",
        "0",
        "40",
    ])
    .await;
    let page = site.get("/queues").await;
    let cells = |cell: &str| page.matches(&format!("data-label=\"{cell}")).count();
    assert_eq!(cells("waiting\">1<"), HUGE, "{page}");
    assert_eq!(cells("oldest waits\"></td>"), cells("waiting\">0<"), "{page}");
    assert_little(&site, before, "in all queues");
}
