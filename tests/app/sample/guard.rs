//! Who may use the endpoints.

use crate::support::{Redis, Web};

const CSV: (&str, &str) = ("content-type", "text/csv");
const SAMPLE: [&str; 3] =
    ["/records", "/imports/000000000000000000000000", "/imports/000000000000000000000000/events"];

#[test]
fn without_a_token_only_a_direct_local_request_gets_in() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let local = web.request("POST", "/imports", &[CSV], b"id\n1\n");
    assert_eq!(local.status, 202, "{local:?}");
    for outside in [
        ("host", "app.example.com"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
    ] {
        for path in SAMPLE {
            let answer = web.request("GET", path, &[outside], b"");
            assert_eq!(answer.status, 403, "{path} {outside:?}");
            assert!(answer.error().contains("API_TOKEN"));
        }
        assert_eq!(web.request("POST", "/imports", &[CSV, outside], b"id\n1\n").status, 403);
        for open in ["/", "/health", "/ready"] {
            assert_eq!(web.request("GET", open, &[outside], b"").status, 200, "{open}");
        }
    }
}

#[test]
fn with_a_token_only_the_token_counts() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[("API_TOKEN", "s3cret")]);
    for path in SAMPLE {
        assert_eq!(web.get(path).status, 401, "{path}");
        assert_eq!(web.request("GET", path, &[("authorization", "Bearer wrong")], b"").status, 401);
    }
    let refused = web.import("", "id\n1\n");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    // Refused uploads are read all the same, or the client would see a broken connection.
    assert_eq!(web.import("", vec![b'x'; 8 << 20]).status, 401);
    // A router in front forwards, and that is fine here.
    let known = [
        CSV,
        ("authorization", "Bearer s3cret"),
        ("x-forwarded-for", "1.2.3.4"),
        ("host", "app.example.com"),
    ];
    assert_eq!(web.request("POST", "/imports", &known, b"id\n1\n").status, 202);
    assert_eq!(web.request("GET", "/records", &known, b"").status, 200);
    for open in ["/", "/health", "/ready"] {
        assert_eq!(web.get(open).status, 200, "{open}");
    }
}

#[test]
fn a_page_of_another_site_cannot_upload() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    for forged in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        assert_eq!(
            web.request("POST", "/imports", &[CSV, forged], b"id\n1\n").status,
            403,
            "{forged:?}"
        );
    }
    let own = format!("http://localhost:{}", web.port);
    let same = [CSV, ("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(web.request("POST", "/imports", &same, b"id\n1\n").status, 202);
}

#[test]
fn the_page_allows_nothing_from_elsewhere() {
    let redis = Redis::absent();
    let web = Web::start(&redis, &[]);
    let page = web.get("/");
    assert_eq!((page.status, page.header("x-content-type-options")), (200, Some("nosniff")));
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
}
