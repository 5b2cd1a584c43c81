//! What `POST /imports` takes, and what it refuses before anything is stored.

use std::io::Write;

use super::form;
use crate::http::read;
use crate::support::{Redis, Web};

const MIB: usize = 1024 * 1024;

/// A file of exactly this size.
fn file(size: usize) -> Vec<u8> {
    let mut file = b"id,text\n".to_vec();
    while file.len() < size {
        let row = format!("{},some text to fill the row\n", file.len());
        file.extend_from_slice(row.as_bytes());
    }
    file.truncate(size - 1);
    file.push(b'x');
    file
}

fn keys(redis: &Redis) -> usize {
    redis.ask::<Vec<String>>(&["KEYS", "roustabout:import*"]).len()
        + redis.ask::<usize>(&["LLEN", "queue:imports"])
}

#[test]
fn an_upload_is_stored_compressed_and_enqueued() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let answer = web
        .import("?key=name&callback_url=https%3A%2F%2Fexample.com%2Fhook", with_names(file(MIB)));
    let body = answer.json();
    let jid = body["jid"].as_str().unwrap();
    assert_eq!((answer.status, jid.len()), (202, 24));
    assert_eq!(answer.header("location"), Some(format!("/imports/{jid}").as_str()));
    assert_eq!(body["status_url"], format!("/imports/{jid}"));
    let job: serde_json::Value =
        serde_json::from_str(&redis.ask::<String>(&["LINDEX", "queue:imports", "0"])).unwrap();
    assert_eq!((&job["class"], &job["jid"]), (&"ImportCsv".into(), &jid.into()));
    assert_eq!(
        job["args"],
        serde_json::json!([{ "key": "name", "callback_url": "https://example.com/hook" }])
    );
    let stored = format!("roustabout:import:{jid}:body");
    assert!(redis.ask::<usize>(&["STRLEN", &stored]) < MIB / 2);
    for key in [stored, format!("roustabout:import:{jid}")] {
        let left = redis.ask::<i64>(&["TTL", &key]);
        assert!((600_000..=604_800).contains(&left), "{key}: {left}");
    }
    let import = web.get(&format!("/imports/{jid}")).json();
    assert_eq!((&import["state"], &import["processed"]), (&"queued".into(), &0.into()));
    let names: Vec<&String> = import.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["accepted", "interruptions", "jid", "processed", "rejected", "state", "total"]
    );
}

/// The same file with another header of the same length.
fn with_names(mut file: Vec<u8>) -> Vec<u8> {
    file[..8].copy_from_slice(b"id,name\n");
    file
}

#[test]
fn an_unusable_file_is_400_and_leaves_nothing() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let cases: [(&str, &[u8], &str); 16] = [
        ("", b"", "empty"),
        ("", b"\xef\xbb\xbf", "empty"),
        ("", b"id,name\n", "no rows"),
        ("", b"id,id\n1,2\n", "two columns named"),
        ("", b",,\n1,2,3\n", "names no column"),
        ("", b"a,,\n1,2,3\n", "without a name"),
        ("", b"id,name\n1,\"x\n2,y\n", "line 2"),
        ("", b"id,name\n1,x\n2,\xff\n", "line 3"),
        ("", b"\x89PNG\r\n\x1a\n\0\0\0", "NUL"),
        ("", b"i\0d\0\n\0", "NUL"),
        ("?key=nope", b"id,name\n1,x\n", "\"id\", \"name\""),
        ("?callback_url=example.com", b"id\n1\n", "callback_url"),
        ("?callback_url=ftp://example.com/", b"id\n1\n", "callback_url"),
        ("?callback_url=javascript:alert(1)", b"id\n1\n", "callback_url"),
        ("?key=a&key=b", b"id\n1\n", "key"),
        ("?key=%ff", b"id\n1\n", ""),
    ];
    for (query, bytes, reason) in cases {
        let answer = web.import(query, bytes);
        assert_eq!(answer.status, 400, "{query} {:?}", String::from_utf8_lossy(bytes));
        assert!(answer.error().contains(reason), "{answer:?}");
    }
    assert_eq!(keys(&redis), 0);
}

#[test]
fn only_csv_and_forms_are_taken() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let post = |kind: &[(&str, &str)], body: &[u8]| web.request("POST", "/imports", kind, body);
    assert_eq!(post(&[], b"id\n1\n").status, 415);
    for kind in ["application/json", "text/plain", "text/csvx", "application/x-www-form-urlencoded"]
    {
        assert_eq!(post(&[("content-type", kind)], b"id\n1\n").status, 415, "{kind}");
    }
    assert_eq!(post(&[("content-type", "multipart/form-data")], b"id\n1\n").status, 400);
    let (kind, other) = form("other", b"id\n1\n");
    assert!(post(&[("content-type", kind)], &other).error().contains("file"));
    let (kind, cut) = form("file", b"id\n1\n");
    assert_eq!(post(&[("content-type", kind)], &cut[..cut.len() - 12]).status, 400);
    assert_eq!(post(&[("content-type", kind)], &form("file", b"").1).status, 400);
    assert_eq!(keys(&redis), 0);
    assert_eq!(post(&[("content-type", kind)], &cut).status, 202);
    assert_eq!(post(&[("content-type", "Text/CSV; charset=utf-8")], b"id\n1\n").status, 202);
}

#[test]
fn five_mebibytes_are_the_limit_however_they_are_sent() {
    let redis = Redis::start();
    let web = Web::ready(&redis, &[]);
    let (fits, too_large) = (file(5 * MIB), file(5 * MIB + 1));
    let plain = |body: &[u8]| web.import("", body).status;
    let chunked = |body: &[u8]| {
        let head = [("content-type", "text/csv"), ("transfer-encoding", "chunked")];
        let mut socket = web.begin("POST", "/imports", &head);
        for chunk in body.chunks(64 * 1024) {
            write!(socket, "{:x}\r\n", chunk.len()).unwrap();
            socket.write_all(chunk).unwrap();
            socket.write_all(b"\r\n").unwrap();
        }
        socket.write_all(b"0\r\n\r\n").unwrap();
        read(socket).status
    };
    let multipart = |body: &[u8]| {
        let (kind, form) = form("file", body);
        web.request("POST", "/imports", &[("content-type", kind)], &form).status
    };
    let far_too_large = file(12 * MIB);
    for (how, send) in [
        ("plain", &plain as &dyn Fn(&[u8]) -> u16),
        ("chunked", &chunked),
        ("multipart", &multipart),
    ] {
        assert_eq!(send(&fits), 202, "{how}");
        assert_eq!(send(&too_large), 413, "{how}");
        assert_eq!(send(&far_too_large), 413, "{how}");
    }
    assert_eq!(redis.ask::<usize>(&["LLEN", "queue:imports"]), 3);
}

#[test]
fn a_client_that_asks_first_is_told_before_it_sends() {
    let redis = Redis::absent();
    let web = Web::start(&redis, &[]);
    let length = (6 * MIB).to_string();
    let head = [
        ("content-type", "text/csv"),
        ("content-length", length.as_str()),
        ("expect", "100-continue"),
    ];
    assert_eq!(read(web.begin("POST", "/imports", &head)).status, 413);
}
