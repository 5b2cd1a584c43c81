//! Payloads that were made to do harm, and what has to become of each: in the words of `hostile.rs`.

use End::{AsItIs, Dead, Dropped, Ran, Retry};

/// What has to become of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// In the dead set, byte for byte.
    AsItIs,
    /// In the dead set, with the reason.
    Dead,
    Retry,
    Ran,
    Dropped,
}

/// Something no log may show.
pub const SECRET: &str = "s3cret";
/// What nobody understands, and has to stay as it is.
pub const FOREIGN: &str = r#""x":[1.0,1E+2,-0,1e400,123456789012345678901234567890,"\ud800\u0000",{"b":1,"a":{}}],"\u0079":"z""#;

/// What is no payload at all.
fn bad_json() -> Vec<Vec<u8>> {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let job = |args: &str| format!(r#"{{"class":"Any","args":{args},"jid":"{SECRET}"}}"#);
    let texts = [
        String::new(),
        "nonsense".into(),
        format!("\"{SECRET}\""),
        format!("[{{\"class\":\"{SECRET}\"}}]"),
        "null".into(),
        "12345".into(),
        "{".into(),
        format!("{{\"class\":\"Any\",\"{SECRET}"),
        format!("{{\"class\":\"Any\",\"args\":[\"{SECRET}"),
        format!("{} {SECRET}", job("[]")),
        format!("{{\"class\":\"Any\",\"args\":[],}}{SECRET}"),
        format!("{{'class':'Any','args':['{SECRET}']}}"),
        job("[NaN]"),
        job("[01]"),
        format!("\u{feff}{}", job("[]")),
        "[".repeat(1_000_000),
        "{\"a\":".repeat(1_000_000),
        deep(1_000_000),
        job(&deep(1_000_000)),
        job(&deep(100)),
        job(&"[".repeat(200)),
        format!("{{\"class\":\"Good\",\"args\":[7],\"deep\":{}}}", deep(500_000)),
        job("[\"a raw nul: \0\"]"),
        "\0".into(),
        format!("{{\"class\":\"Any\",\"args\":[],\"\\ud800\":\"{SECRET}\"}}"),
    ];
    let mut all: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    for (before, after) in [
        ("{\"class\":\"Any", "\",\"args\":[]}"),
        ("{\"class\":\"Any\",\"args\":[\"", "\"]}"),
        ("{\"class\":\"Any\",\"args\":[],\"jid\":\"", "\"}"),
        ("{\"class\":\"Any\",\"args\":[],\"", "\":1}"),
        ("", "{\"class\":\"Any\",\"args\":[]}"),
    ] {
        all.push([before.as_bytes(), b"\xc3\x28", after.as_bytes()].concat());
    }
    all
}

/// Fields of a job, some of them odd, and its end.
fn odd_jobs() -> Vec<(String, End)> {
    let long = "C".repeat(1_000_000);
    let digits = "9".repeat(400);
    let mut jobs = Vec::new();
    let mut add = |end: End, fields: String| jobs.push((fields, end));
    // nobody knows what to run
    for class in ["7", "null", "[]", "{}", "\"\"", "true", "1e400", "\"\\ud800\""] {
        add(Dead, format!(r#""class":{class},"args":[]"#));
    }
    add(Dead, r#""args":[]"#.into());
    add(Dead, r#""class":7,"args":[],"retry":false,"dead":false"#.into());
    add(Retry, format!(r#""class":"{long}","args":[]"#));
    add(Retry, r#""class":"two\r\nlines WARN forged=\"yes\"","args":[]"#.into());
    add(Retry, r#""class":"\u001b[31mred\u0007\u0000","args":[]"#.into());
    add(Dead, r#""class":"Unknown","args":[],"retry":false"#.into());
    // or with what
    for args in ["null", "{}", "7", "\"[7]\"", "[]", "[null]", "[7,8]", "[1e400]", "[\"\\ud800\"]"]
    {
        add(Retry, format!(r#""class":"Good","args":{args}"#));
    }
    add(Retry, r#""class":"Good""#.into());
    add(Retry, format!(r#""class":"Good","args":[{digits}]"#));
    add(Retry, r#""class":"Any","args":[1e400]"#.into());
    add(Retry, format!(r#""class":"Good","args":["{long}"]"#));
    add(Ran, r#""class":"Any","args":["\u0000"]"#.into());
    add(Ran, format!(r#""class":"Any","args":[{}{}]"#, "[".repeat(97), "]".repeat(97)));
    add(Ran, r#""class":"Fails","class":"Any","args":[],"args":[1]"#.into());
    add(Ran, r#""cl\u0061ss":"Any","args":[1]"#.into());
    // very much of it
    let numbered = |n: usize| format!("\"a{n}\":{n}");
    let many: Vec<String> = (0..100_000).map(numbered).collect();
    let twins = vec!["\"twin\":[1.0]"; 100_000].join(",");
    for class in ["Unknown", "Fails"] {
        add(Retry, format!(r#""class":"{class}","args":[],{}"#, many.join(",")));
        add(Retry, format!(r#""class":"{class}","args":[],{twins}"#));
    }
    // how often
    for retry in ["1e400", "-1", "1.5", "null", "{}", "[]", "\"5\"", "\"x\"", &digits] {
        let end = if retry == "-1" { Dead } else { Retry };
        add(end, format!(r#""class":"Fails","args":[],"retry":{retry}"#));
        add(Retry, format!(r#""class":"Fails","args":[],"retry_count":{retry}"#));
        add(Retry, format!(r#""class":"Fails","args":[],"failed_at":{retry},"retry_count":3"#));
    }
    for retry_for in ["1e400", "null", "{}", "\"60\"", "1e300", &digits] {
        add(Retry, format!(r#""class":"Fails","args":[],"retry_for":{retry_for}"#));
    }
    add(Dead, r#""class":"Fails","args":[],"retry_for":-1"#.into());
    add(
        Dead,
        r#""class":"Fails","args":[],"retry_for":5,"retry_count":0,"failed_at":1e-300"#.into(),
    );
    add(Dead, r#""class":"Fails","args":[],"retry":0"#.into());
    add(Dead, r#""class":"Fails","args":[],"retry":0,"dead":"false""#.into());
    add(Dropped, r#""class":"Fails","args":[],"retry":0,"dead":false"#.into());
    add(Dropped, r#""class":"Fails","args":[],"retry":false"#.into());
    for count in ["24", "4294967295", "4294967296", "18446744073709551615"] {
        add(Dead, format!(r#""class":"Fails","args":[],"retry_count":{count}"#));
    }
    for field in
        ["dead", "retried_at", "error_class", "error_message", "enqueued_at", "retry_queue"]
    {
        for value in ["7", "null", "[]", "{}", "\"\"", "1e400"] {
            add(Retry, format!(r#""class":"Fails","args":[],"{field}":{value}"#));
        }
    }
    for field in
        ["at", "created_at", "enqueued_at", "queue", "timeout", "unique_for", "cattr", "bid"]
    {
        for value in ["7", "null", "[]", "\"\"", "1e400"] {
            add(Ran, format!(r#""class":"Any","args":[1],"{field}":{value}"#));
        }
    }
    // who
    for jid in
        ["7", "null", "[]", "\"\"", "\"*\"", "\"\\u0000\\n\"", "\"../x\"", "\"same\"", "\"same\""]
    {
        add(Ran, format!(r#""class":"Steps","args":[],"jid":{jid}"#));
        add(Retry, format!(r#""class":"Fails","args":[],"jid":{jid}"#));
    }
    add(Ran, format!(r#""class":"Steps","args":[],"jid":"{long}""#));
    add(Retry, format!(r#""class":"Fails","args":[],"jid":"{long}""#));
    jobs
}

pub struct Case {
    pub bytes: Vec<u8>,
    pub end: End,
}

/// All of them, each with a mark of its own and with what nobody understands.
pub fn cases() -> Vec<Case> {
    let bad = bad_json().into_iter().map(|bytes| Case { bytes, end: AsItIs });
    let odd = odd_jobs().into_iter().enumerate().map(|(n, (fields, end))| {
        let bytes = format!("{{\"mark\":{n},{fields},{FOREIGN}}}").into_bytes();
        Case { bytes, end }
    });
    let mut all: Vec<Case> = bad.chain(odd).collect();
    fastrand::shuffle(&mut all);
    all
}
