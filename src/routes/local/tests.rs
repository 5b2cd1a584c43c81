use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

fn is_local(peer: &str, pairs: &[(&'static str, &str)]) -> bool {
    local(Some(peer.parse().unwrap()), &headers(pairs), &Uri::from_static("/records")).is_ok()
}

#[test]
fn a_proxy_that_says_nothing_of_itself_speaks_an_old_http() {
    let asks = |version| {
        let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1)));
        let request = Request::builder().version(version).header("host", "127.0.0.1:5006");
        direct(&request.extension(peer).body(axum::body::Body::empty()).unwrap()).is_ok()
    };
    assert!(asks(Version::HTTP_11) && !asks(Version::HTTP_10));
}

#[test]
fn a_direct_request_from_this_machine_is_local() {
    for peer in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
        for host in [
            "localhost",
            "localhost:5006",
            "LocalHost:1",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:5006",
        ] {
            assert!(is_local(peer, &[("host", host)]), "{peer} {host}");
        }
    }
}

#[test]
fn another_machine_a_proxy_or_another_name_is_not() {
    for peer in ["10.0.0.1", "192.168.1.1", "::ffff:10.0.0.1", "fe80::1", "8.8.8.8"] {
        assert!(!is_local(peer, &[("host", "localhost")]), "{peer}");
    }
    for name in [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-anything",
        "x-real-ip",
        "via",
    ] {
        assert!(!is_local("127.0.0.1", &[("host", "localhost"), (name, "")]), "{name}");
    }
    for host in [
        "",
        "evil.example",
        "localhost.evil.example",
        "localhost:",
        "localhost:x",
        "127.0.0.1.nip.io",
        "::1",
        "127.0.0.2",
    ] {
        assert!(!is_local("127.0.0.1", &[("host", host)]), "{host}");
    }
    assert!(!is_local("127.0.0.1", &[]));
}

#[test]
fn two_hosts_or_an_absolute_target_elsewhere_are_not() {
    let here: Option<IpAddr> = "::1".parse().ok();
    let mut two = headers(&[("host", "localhost")]);
    two.append("host", "evil.example".parse().unwrap());
    assert!(local(here, &two, &Uri::from_static("/")).is_err());
    let one = headers(&[("host", "localhost")]);
    assert!(local(here, &one, &Uri::from_static("http://evil.example/")).is_err());
    assert!(local(here, &one, &Uri::from_static("http://localhost:1/")).is_ok());
    assert!(local(None, &one, &Uri::from_static("/")).is_err());
}

#[test]
fn a_page_of_another_site_is_told_apart() {
    let cases: [(&[(&'static str, &str)], bool); 10] = [
        (&[], true),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")], false),
        (&[("origin", "http://localhost:5006"), ("host", "localhost:5006")], true),
        (&[("origin", "http://localhost:5007"), ("host", "localhost:5006")], false),
        (&[("origin", "null"), ("host", "localhost:5006")], false),
        (&[("origin", "https://evil.example")], false),
    ];
    for (pairs, same) in cases {
        assert_eq!(same_site(&headers(pairs)), same, "{pairs:?}");
    }
}
