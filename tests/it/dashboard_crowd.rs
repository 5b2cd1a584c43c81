//! A hundred thousand dead jobs: pages of them, a search, and all of them deleted, in a process
//! that never has them all at once.

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
