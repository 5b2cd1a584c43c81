//! Who is tried again, when, and what is written down.

use super::*;

const NOW: f64 = 1_700_000_000.0;

fn fate(raw: &str, rule: Option<Retry>, class: &'static str) -> Fate {
    let failure = Failure::new(class, "boom");
    failed(raw.as_bytes(), "q", rule.map(Rule::from), &failure, &Moment { now: NOW, dice: 0.0 })
}

fn name(fate: &Fate) -> &'static str {
    match fate {
        Fate::Retry { .. } => "retry",
        Fate::Dead { payload: Some(_), .. } => "dead",
        Fate::Dead { payload: None, .. } => "discard",
        _ => "other",
    }
}

#[test]
fn who_is_tried_again() {
    let table = [
        (r#"{"class":"A","args":[],"jid":"1"}"#, Some(Retry::Default), ERROR, "retry"),
        (r#"{"retry":true}"#, Some(Retry::Times(0)), ERROR, "retry"),
        (r#"{"retry":true,"retry_count":23}"#, None, ERROR, "retry"),
        (r#"{"retry":true,"retry_count":24}"#, None, ERROR, "dead"),
        (r#"{"retry":0}"#, Some(Retry::Default), ERROR, "dead"),
        (r#"{"retry":1}"#, Some(Retry::Default), ERROR, "retry"),
        (r#"{"retry":1,"retry_count":0}"#, Some(Retry::Default), ERROR, "dead"),
        (r#"{"retry":0,"dead":false}"#, Some(Retry::Default), ERROR, "discard"),
        (r#"{"retry":false}"#, Some(Retry::Default), ERROR, "discard"),
        (r#"{"retry":false}"#, None, UNKNOWN_CLASS, "dead"),
        (r#"{"retry":false}"#, Some(Retry::Default), BAD_ARGUMENTS, "dead"),
        (r#"{}"#, Some(Retry::Never), ERROR, "discard"),
        (r#"{}"#, Some(Retry::Times(0)), ERROR, "dead"),
        (r#"{}"#, None, UNKNOWN_CLASS, "retry"),
        (r#"{"retry":true,"retry_for":60}"#, None, ERROR, "retry"),
        (
            r#"{"retry":true,"retry_for":60,"retry_count":0,"failed_at":1699999000.5}"#,
            None,
            ERROR,
            "dead",
        ),
        (
            r#"{"retry":true,"retry_for":60,"retry_count":0,"failed_at":1699999990000}"#,
            None,
            ERROR,
            "retry",
        ),
        ("nonsense", None, BAD_JSON, "dead"),
    ];
    for (raw, rule, class, expected) in table {
        assert_eq!(name(&fate(raw, rule, class)), expected, "{raw} {rule:?} {class}");
    }
}

/// What strangers write into the fields that decide; tests/it/interop/judge.rs asks Ruby.
#[test]
fn odd_fields() {
    // a limit of 60 s that is over, or not, if the time is understood
    let limited = |failed_at: &str| {
        format!(r#"{{"retry_for":60,"retry":9,"retry_count":0,"failed_at":{failed_at}}}"#)
    };
    let table = [
        // `retry`: null is absent, what else is true in Ruby is the usual number
        (r#"{"retry":null}"#, Retry::Times(0), "dead"),
        (r#"{"retry":null}"#, Retry::Never, "discard"),
        (r#"{"retry":"5"}"#, Retry::Times(0), "retry"),
        (r#"{"retry":2.5}"#, Retry::Never, "retry"),
        (r#"{"retry":[]}"#, Retry::Never, "retry"),
        (r#"{"retry":-1}"#, Retry::Default, "dead"),
        (r#"{"retry":99999999999999999999,"retry_count":70}"#, Retry::Never, "retry"),
        // `dead`: only false is false
        (r#"{"retry":0,"dead":null}"#, Retry::Default, "dead"),
        (r#"{"retry":0,"dead":"false"}"#, Retry::Default, "dead"),
        // `retry_for`: no number is none; it takes the place of `retry`
        (r#"{"retry_for":60,"retry":0}"#, Retry::Default, "retry"),
        (r#"{"retry_for":2e9,"retry":0}"#, Retry::Default, "retry"),
        (r#"{"retry_for":-1}"#, Retry::Default, "dead"),
        (r#"{"retry_for":"1 day","retry":0}"#, Retry::Default, "dead"),
        (r#"{"retry_for":null,"retry":0}"#, Retry::Default, "dead"),
        // a first failure that nobody can date leaves the count
        (&limited(r#""once""#), Retry::Default, "retry"),
        (&limited(r#""once""#).replace("9", "1"), Retry::Default, "dead"),
        // whole seconds, milliseconds, texts of either kind, ISO 8601: 59 s ago, 61 s ago
        (&limited("1699999941"), Retry::Default, "retry"),
        (&limited("1699999939"), Retry::Default, "dead"),
        (&limited("1699999941000"), Retry::Default, "retry"),
        (&limited("1699999939000"), Retry::Default, "dead"),
        (&limited(r#""1699999941.5""#), Retry::Default, "retry"),
        (&limited(r#""1699999939.5""#), Retry::Default, "dead"),
        (&limited(r#""2023-11-14T22:12:21Z""#), Retry::Default, "retry"),
        (&limited(r#""2023-11-14T22:12:19Z""#), Retry::Default, "dead"),
        // fields that decide nothing
        (r#"{"tags":["a"],"bid":"b","created_at":"x","later":{"a":[]}}"#, Retry::Default, "retry"),
    ];
    for (raw, rule, expected) in table {
        assert_eq!(name(&fate(raw, Some(rule), ERROR)), expected, "{raw} {rule:?}");
    }
}

#[test]
fn a_backtrace_for_those_who_want_one() {
    let written = |raw: &str| {
        let Fate::Retry { payload, .. } = fate(raw, None, ERROR) else { panic!() };
        Payload::parse(&payload).unwrap().get::<String>("error_backtrace")
    };
    assert!(written(r#"{"backtrace":true}"#).is_some());
    assert_eq!(written(r#"{"backtrace":false}"#), None);
    // one of an earlier failure is not taken for this one's
    assert_ne!(written(r#"{"backtrace":3,"error_backtrace":"old"}"#).unwrap(), "old");
}

#[test]
fn what_is_written() {
    let raw = r#"{"class":"A","args":[1.0],"jid":"1","queue":"old","cattr":{"x":1}}"#;
    let Fate::Retry { at, payload } = fate(raw, None, ERROR) else { panic!() };
    assert_eq!(at, NOW + 15.0);
    let first = r#"{"class":"A","args":[1.0],"jid":"1","queue":"q","cattr":{"x":1},"error_message":"boom","error_class":"Error","failed_at":1700000000.0,"retry_count":0}"#;
    assert_eq!(String::from_utf8(payload).unwrap(), first);
    let Fate::Retry { at, payload } = fate(first, None, ERROR) else { panic!() };
    assert_eq!(at, NOW + 16.0);
    assert!(
        String::from_utf8(payload)
            .unwrap()
            .ends_with(r#""retry_count":1,"retried_at":1700000000.0}"#)
    );
}

#[test]
fn counts_go_on_from_odd_ones() {
    let written = |raw: &str| {
        let Fate::Retry { payload, .. } = fate(raw, None, ERROR) else { panic!() };
        let payload = Payload::parse(&payload).unwrap();
        let raw = |name: &str| payload.raw(name).map(str::to_owned);
        (raw("retry_count").unwrap(), raw("failed_at"), raw("retried_at"))
    };
    let (now, old) = (Some("1700000000.0".to_owned()), Some("5".to_owned()));
    // the API's "retry now" has taken one off, and the first failure is still the first
    let after = written(r#"{"retry_count":-1,"failed_at":5}"#);
    assert_eq!(after, ("0".into(), old.clone(), now.clone()));
    assert_eq!(written(r#"{"retry_count":2.0,"failed_at":5}"#), ("3".into(), old, now.clone()));
    assert_eq!(written(r#"{"retry_count":null}"#), ("0".into(), now.clone(), None));
    assert_eq!(written(r#"{"retry_count":"2"}"#), ("0".into(), now, None));
    let head = |raw: &str| Head::parse(raw.as_bytes()).unwrap().failures();
    assert_eq!(head(r#"{"retry_count":-1}"#), 0);
    assert_eq!(head(r#"{"retry_count":99999999999999999999}"#), u32::MAX);
}

#[test]
fn a_retry_queue_and_a_missing_jid() {
    let Fate::Retry { payload, .. } = fate(r#"{"retry_queue":"slow"}"#, None, ERROR) else {
        panic!()
    };
    let payload = Payload::parse(&payload).unwrap();
    assert_eq!(payload.get::<String>("queue").unwrap(), "slow");
    assert_eq!(payload.jid().len(), 24);
}

#[test]
fn an_own_pause_after_more_failures_than_there_can_be() {
    let raw = r#"{"retry_count":1e300,"retry_for":1e9,"failed_at":1700000000.0}"#;
    assert_eq!(name(&fate(raw, Some(Retry::Default), ERROR)), "retry");
}

#[test]
fn the_curve() {
    assert_eq!(pause(0, 0.999), 24.0);
    assert_eq!(pause(10, 0.0), 10_015.0);
}

#[test]
fn the_last_chance() {
    let last = |raw: &str, rule| last_chance(&Head::parse(raw.as_bytes()).unwrap(), rule, NOW);
    assert!(last(r#"{"retry_count":0}"#, Retry::Times(1)) && !last("{}", Retry::Times(1)));
    assert!(last("{}", Retry::Never) && last(r#"{"retry":false}"#, Retry::Default));
    let limited = r#"{"retry_for":60,"retry_count":0,"failed_at":"#;
    assert!(last(&format!("{limited}1699999930.5}}"), Retry::Default));
    assert!(!last(&format!("{limited}1699999950000}}"), Retry::Times(0)));
    assert!(!last(r#"{"retry_for":60}"#, Retry::Times(0)));
}
