//! The dashboard without a browser: who gets in, what a form may send, where it leads.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::http::Answer;
use crate::support::{Redis, Web};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub const PAGES: [&str; 9] = [
    "/dashboard",
    "/dashboard/queues",
    "/dashboard/busy",
    "/dashboard/processes",
    "/dashboard/scheduled",
    "/dashboard/retries",
    "/dashboard/dead",
    "/dashboard/cron",
    "/dashboard/classes",
];
/// A form for each page that takes one.
const FORMS: [(&str, &str); 8] = [
    ("/dashboard/queues", "action=pause&queue=default"),
    ("/dashboard/busy", "action=cancel&jid=j1"),
    ("/dashboard/processes", "action=stop-all"),
    ("/dashboard/scheduled", "action=delete-all"),
    ("/dashboard/retries", "action=kill-all"),
    ("/dashboard/dead", "action=retry-all"),
    ("/dashboard/jobs/j1", "action=delete"),
    ("/dashboard/cron", "action=run&line=a"),
];

/// A job in a set or at the end of a queue, with more fields than the usual ones.
pub fn job(jid: &str, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(r#"{{"class":"Job","args":[1],"queue":"default","jid":"{jid}"{comma}{more}}}"#)
}

/// When the first of `bury` died, on this day: not so long ago that it has to go.
pub fn died() -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as usize;
    now / 86_400 * 86_400 - 86_400
}

/// Dead jobs with these ids, a second apart.
pub fn bury(redis: &Redis, jids: &[&str]) {
    for (n, jid) in jids.iter().enumerate() {
        let at = (died() + n).to_string();
        redis.ask::<()>(&["ZADD", "dead", &at, &job(jid, "")]);
    }
}

impl Web {
    /// Sends a form, as a page of its own would.
    pub fn form(&self, path: &str, form: &str) -> Answer {
        self.request("POST", path, &[FORM], form.as_bytes())
    }

    /// Sends a form that must lead to another page, and reads what that tells of it.
    pub fn told(&self, path: &str, form: &str) -> String {
        let answer = self.form(path, form);
        assert_eq!(answer.status, 303, "{answer:?}");
        let (cookie, _) = answer.header("set-cookie").unwrap().split_once(';').unwrap();
        let (to, cookie) = (answer.header("location").unwrap(), format!("other=1; {cookie}"));
        let page = self.request("GET", to, &[("cookie", &cookie)], b"");
        assert!(page.header("set-cookie").is_some(), "{page:?}");
        assert!(page.header("set-cookie").unwrap().contains("Max-Age=0"), "once is enough");
        let (_, rest) = page.body.split_once(r#"<p class="told"#).expect("it is told");
        let (_, rest) = rest.split_once('>').unwrap();
        rest.split_once("</p>").unwrap().0.to_owned()
    }
}

fn in_a_redis(vars: &[(&str, &str)]) -> (Redis, Web) {
    let redis = Redis::start();
    let web = Web::ready(&redis, vars);
    (redis, web)
}

#[test]
fn only_whoever_may_gets_in() {
    let (redis, web) = in_a_redis(&[]);
    let closed = Web::ready(&redis, &[("DASHBOARD_USER", "ann"), ("DASHBOARD_PASSWORD", "s3cret")]);
    let ann = ("authorization", "Basic YW5uOnMzY3JldA==");
    let forwarded = ("x-forwarded-for", "10.0.0.1");
    for page in PAGES.into_iter().chain(["/dashboard/style.css", "/dashboard/jobs/x"]) {
        for outside in [("host", "app.example.com"), forwarded, ("forwarded", "for=10.0.0.1")] {
            let answer = web.request("GET", page, &[outside], b"");
            assert_eq!(answer.status, 403, "{page} {outside:?}");
            assert!(answer.error().contains("DASHBOARD_PASSWORD"));
            let read = web.request("GET", page, &[outside, ("accept", "text/html,*/*")], b"");
            assert!(read.status == 403 && read.body.contains("<p>without a DASHBOARD_PASSWORD"));
        }
        let refused = closed.get(page);
        assert_eq!(refused.status, 401, "{page}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic"));
        let wrong = ("authorization", "Basic YW5uOnMzY3JldQ==");
        assert_eq!(closed.request("GET", page, &[wrong], b"").status, 401, "{page}");
    }
    for page in PAGES {
        assert_eq!(web.get(page).status, 200, "{page}");
        let from_afar = [ann, forwarded, ("host", "app.example.com")];
        assert_eq!(closed.request("GET", page, &from_afar, b"").status, 200, "{page}");
    }
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let (redis, web) = in_a_redis(&[]);
    let closed = Web::ready(&redis, &[("DASHBOARD_PASSWORD", "p")]);
    let login = ("authorization", "Basic OnA=");
    bury(&redis, &["j1"]);
    redis.ask::<()>(&["ZADD", "retry", "9999999999", &job("j2", "")]);
    redis.ask::<()>(&["ZADD", "schedule", "9999999999", &job("j3", "")]);
    let before: Vec<String> = redis.ask(&["KEYS", "*"]);
    for (path, form) in FORMS {
        for forged in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let answer = web.request("POST", path, &[FORM, forged], form.as_bytes());
            assert_eq!(answer.status, 403, "{path} {forged:?}");
            let answer = closed.request("POST", path, &[FORM, login, forged], form.as_bytes());
            assert_eq!(answer.status, 403, "{path} {forged:?}");
        }
        assert_eq!(closed.form(path, form).status, 401, "{path}");
        // what a link could do
        let read = web.get(&format!("{path}?{form}"));
        assert!(read.status == 200, "{read:?}");
    }
    let after: Vec<String> = redis.ask(&["KEYS", "*"]);
    assert_eq!(after.len(), before.len(), "{after:?}");
    for set in ["dead", "retry", "schedule"] {
        assert_eq!(redis.ask::<usize>(&["ZCARD", set]), 1, "{set}");
    }
    let own = format!("http://localhost:{}", web.port);
    let same = [FORM, ("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    let answer = web.request("POST", "/dashboard/dead", &same, b"action=delete-all");
    assert_eq!((answer.status, redis.ask::<usize>(&["ZCARD", "dead"])), (303, 0));
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_allows_nothing_else() {
    let (_redis, web) = in_a_redis(&[]);
    for path in PAGES.into_iter().chain(["/dashboard/nothing"]) {
        let page = web.get(path);
        let policy = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let foreign = |rest: &str| !rest.starts_with("/dashboard") && !rest.starts_with("data:,");
        let addresses = page.body.split(" href=\"").chain(page.body.split(" src=\"")).skip(1);
        let foreign: Vec<&str> = addresses
            .filter(|rest| !rest.starts_with("<!DOCTYPE") && !rest.starts_with('#'))
            .filter(|rest| foreign(rest))
            .map(|rest| &rest[..rest.len().min(60)])
            .collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        assert!(!page.body.contains(" style=") && !page.body.contains(" onclick"));
    }
    let page = web.get("/dashboard").body;
    for (mark, kind) in [("style.css?", "text/css"), ("script.js?", "text/javascript")] {
        let (_, rest) = page.split_once(mark).unwrap();
        let (version, _) = rest.split_once('"').unwrap();
        let asset = web.get(&format!("/dashboard/{mark}{version}"));
        assert!(asset.header("content-type").unwrap().starts_with(kind));
        assert!(asset.header("cache-control").unwrap().contains("immutable"));
        // in the middle of a deploy, a page of the other release asks for what is not here
        for other in ["", "AAAAAAAAAAAA"] {
            let asset = web.get(&format!("/dashboard/{mark}{other}"));
            assert_eq!((asset.status, asset.header("cache-control")), (200, Some("no-store")));
        }
    }
}

#[test]
fn what_is_no_page_says_so() {
    let (redis, web) = in_a_redis(&[]);
    for path in [
        "/dashboard/nothing",
        "/dashboard/queues/a/b",
        "/dashboard/..%2f..%2fetc%2fpasswd",
        "/dashboard/jobs/nobody",
        "/dashboard/jobs/..%2F..%2Frecords",
        "/dashboard/jobs/%ff",
        "/dashboard/queues/%ff%00",
        "/dashboard/jobs/%3Cscript%3Ewindow.hacked=1%3C%2Fscript%3E",
    ] {
        let answer = web.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(answer.body.contains("<nav") && !answer.body.contains("<script>"), "{answer:?}");
    }
    let slash = web.get("/dashboard/");
    assert_eq!((slash.status / 100, slash.header("location")), (3, Some("/dashboard")));
    assert_eq!(web.request("DELETE", "/dashboard/dead", &[], b"").status, 405);
    assert_eq!(web.form("/dashboard/classes", "action=x").status, 405);
    let odd = "/dashboard/queues/%3Cb%3E%00%0d%0aSet-Cookie:%20a=b?from=18446744073709551615";
    let answer = web.get(odd);
    assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "{answer:?}");
    for query in [
        "from=99999999999999999999",
        "from=18446744073709551615",
        "from=-1&sort=%00",
        "sort=class&from=18446744073709551600&search=a",
        "search=%ff%fe&sort=last",
        "search=*%5B%5D%3F%5C&sort=error",
    ] {
        bury(&redis, &["a"]);
        let answer = web.get(&format!("/dashboard/dead?{query}"));
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
    }
}

#[test]
fn what_is_no_form_of_ours_is_refused() {
    let (redis, web) = in_a_redis(&[]);
    bury(&redis, &["j1"]);
    for (path, _) in FORMS {
        for form in ["", "action=", "action=explode", "Action=delete", "=&&&=%ff"] {
            let answer = web.form(path, form);
            assert_eq!(answer.status, 400, "{path} {form}: {answer:?}");
        }
        let json = [("content-type", "application/json")];
        assert_eq!(web.request("POST", path, &json, b"{}").status, 400, "{path}");
        let huge = format!("action=delete&job={}", "x".repeat(8 << 20));
        assert_eq!(web.form(path, &huge).status, 413, "{path}");
    }
    for boxes in ["", "&job=", "&job=j1", "&job=x|j1", "&job=NaN|j1", "&job=inf|j1", "&job=1|"] {
        let told = web.told("/dashboard/dead", &format!("action=delete{boxes}"));
        assert!(told.contains("Tick some") || told.contains("Nothing was"), "{boxes}: {told}");
    }
    assert_eq!(redis.ask::<usize>(&["ZCARD", "dead"]), 1);
}

#[test]
fn a_form_leads_back_to_its_page() {
    let (_redis, web) = in_a_redis(&[]);
    for query in ["", "?search=a%0d%0ab&from=50", "?x=%E2%80%AE&y='%3C", "?//evil.example/"] {
        let path = format!("/dashboard/dead{query}");
        let answer = web.form(&path, "action=retry");
        assert_eq!((answer.status, answer.header("location")), (303, Some(&*path)), "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap();
        for part in ["Path=/dashboard", "HttpOnly", "SameSite=Strict", "Max-Age="] {
            assert!(cookie.contains(part), "{cookie}");
        }
    }
    for absolute in ["//evil.example/dashboard/dead", "http://evil.example/dashboard/dead"] {
        let answer = web.form(absolute, "action=retry");
        assert!(!answer.header("location").unwrap_or_default().contains("evil"), "{answer:?}");
    }
    // a cookie is a stranger's word, too
    let forged = "roustabout_told=good.%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E";
    let page = web.request("GET", "/dashboard", &[("cookie", forged)], b"").body;
    assert!(page.contains("&lt;script&gt;window.hacked") && !page.contains("<script>w"), "{page}");
}
