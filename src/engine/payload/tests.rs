//! What survives, and what is no payload.

use super::super::head::Head;
use super::*;

#[test]
fn foreign_bytes_survive() {
    let raw = br#"{"class":"A","args":[1180591620717411303424,1.0,1e-7,{}],"z":[],"cattr":{"a":1.50},"jid":"x"}"#;
    let mut payload = Payload::parse(raw).unwrap();
    assert_eq!(payload.to_bytes(), raw);
    payload.set("error_message", "é/\n");
    payload.set("failed_at", Seconds(1_700_000_000.0));
    let text = String::from_utf8(payload.to_bytes()).unwrap();
    assert!(text.starts_with(std::str::from_utf8(&raw[..raw.len() - 1]).unwrap()));
    assert!(text.ends_with(r#","error_message":"é/\n","failed_at":1700000000.0}"#), "{text}");
}

#[test]
fn the_last_of_repeated_names_counts() {
    let payload = Payload::parse(br#"{"a":1,"b":2,"a":3}"#).unwrap();
    assert_eq!(payload.to_bytes(), br#"{"a":3,"b":2}"#);
}

#[test]
fn odd_types_are_as_good_as_absent() {
    let head = Head::parse(br#"{"class":7,"jid":null,"retry":null,"retry_count":-1,"args":[]}"#);
    let head = head.unwrap();
    assert_eq!((head.class.as_deref(), head.jid.as_deref()), (None, None));
    assert_eq!((head.retry(), head.failures(), head.args), (None, 0, Some("[]")));
}

#[test]
fn no_object_is_no_payload() {
    for bad in [&b"[]"[..], b"", b"{", b"{}x", b"\"a\"", b"{\"a\":\xff}", b"null"] {
        assert!(Payload::parse(bad).is_err() && Head::parse(bad).is_err(), "{bad:?}");
    }
}
