//! Payloads with whatever clients have been seen to write, and what becomes of each when its job
//! fails, in Sidekiq 6.4.1 and here.

/// A payload and what is to become of it.
pub struct Case {
    pub payload: &'static str,
    pub verdict: Verdict,
}

/// `retry`, `dead`, or `gone`: in neither.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    /// There and here, with the same fields in the same order.
    Same(&'static str),
    /// Elsewhere here, and why.
    Differs { ruby: &'static str, ours: &'static str, why: &'static str },
    /// In the same place, but for one field.
    Field {
        set: &'static str,
        name: &'static str,
        ruby: &'static str,
        ours: &'static str,
        why: &'static str,
    },
}

use Verdict::{Differs, Field, Same};

macro_rules! cases {
    ($($payload:literal => $verdict:expr,)*) => {
        vec![$(Case { payload: $payload, verdict: $verdict }),*]
    };
}

const NEVER_DROPPED: &str = "a job that never ran is not dropped: the mistake may be the worker's";
const NOT_LOST: &str = "Ruby trips over it while it writes the retry, and the job is gone";
const SINCE_8: &str = "as Sidekiq 8.1 does; 6.4.1 does not know `retry_for`";

pub fn cases() -> Vec<Case> {
    cases! {
        // the fields of a push
        r#"{"class":"Boom","args":[],"jid":"a1","queue":"other","retry":true,"created_at":1700000000.25,"enqueued_at":1700000000.5}"# => Same("retry"),
        // without a jid ours gets one, or equal bytes would be one entry: not compared
        r#"{"class":"Boom","args":[]}"# => Same("retry"),
        r#"{"class":"Boom","args":[1,"x",{"a":[]}],"jid":"a3"}"# => Same("retry"),
        // times: whole seconds, milliseconds, texts
        r#"{"class":"Boom","args":[],"jid":"b1","created_at":1700000000,"enqueued_at":1700000000}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"b2","created_at":1700000000123,"enqueued_at":1700000000456}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"b3","created_at":"2023-11-14T22:13:20Z","enqueued_at":"1700000000.5"}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"b4","retry_count":0,"failed_at":1700000000123}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"b5","retry_count":1,"failed_at":1700000000,"retried_at":1700000100}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"b6","retry_count":2,"failed_at":"2023-11-14T22:13:20Z","retried_at":"1700000000.5"}"# => Same("retry"),
        // retry
        r#"{"class":"Boom","args":[],"jid":"c1","retry":false}"# => Same("gone"),
        r#"{"class":"Boom","args":[],"jid":"c2","retry":0}"# => Same("dead"),
        r#"{"class":"Boom","args":[],"jid":"c3","retry":1}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"c4","retry":1,"retry_count":0,"failed_at":1.5}"# => Same("dead"),
        r#"{"class":"Boom","args":[],"jid":"c5","retry":null}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"c6","retry":"3"}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"c7","retry":-1}"# => Same("dead"),
        r#"{"class":"Boom","args":[],"jid":"c8","retry":2.5,"retry_count":7,"failed_at":1.5}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"c9","retry":true,"retry_count":23,"failed_at":1.5}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"c10","retry":true,"retry_count":24,"failed_at":1.5}"# => Same("dead"),
        r#"{"class":"Boom","args":[],"jid":"c11","retry":true,"retry_count":-1,"failed_at":1.5}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"c12","retry":30,"retry_count":25,"failed_at":1.5}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"c13","retry_count":null}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"c14","retry_count":"2"}"# => Differs { ruby: "gone", ours: "retry", why: NOT_LOST },
        // dead
        r#"{"class":"Boom","args":[],"jid":"d1","retry":0,"dead":false}"# => Same("gone"),
        r#"{"class":"Boom","args":[],"jid":"d2","retry":0,"dead":true}"# => Same("dead"),
        r#"{"class":"Boom","args":[],"jid":"d3","retry":0,"dead":null}"# => Same("dead"),
        r#"{"class":"Boom","args":[],"jid":"d4","retry":0,"dead":"false"}"# => Same("dead"),
        r#"{"class":"Boom","args":[],"jid":"d5","retry":3,"dead":false}"# => Same("retry"),
        // retry_for
        r#"{"class":"Boom","args":[],"jid":"e1","retry":true,"retry_for":60}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"e2","retry":0,"retry_for":60}"# => Differs { ruby: "dead", ours: "retry", why: SINCE_8 },
        r#"{"class":"Boom","args":[],"jid":"e3","retry_for":60,"retry_count":0,"failed_at":1700000000.5}"# => Differs { ruby: "retry", ours: "dead", why: SINCE_8 },
        r#"{"class":"Boom","args":[],"jid":"e4","retry_for":60,"retry_count":0,"failed_at":1700000000000}"# => Differs { ruby: "retry", ours: "dead", why: SINCE_8 },
        r#"{"class":"Boom","args":[],"jid":"e5","retry_for":2000000000,"retry":0}"# => Differs { ruby: "dead", ours: "retry", why: SINCE_8 },
        r#"{"class":"Boom","args":[],"jid":"e6","retry_for":"2 days","retry":0}"# => Same("dead"),
        // retry_queue
        r#"{"class":"Boom","args":[],"jid":"f1","queue":"other","retry_queue":"slow"}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"f2","retry_queue":null}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"f3","retry_queue":""}"# => Field { set: "retry", name: "queue", ruby: "", ours: "judged", why: "a queue without a name is served by nobody" },
        // backtrace
        r#"{"class":"Boom","args":[],"jid":"g1","backtrace":true}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"g2","backtrace":1}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"g3","backtrace":0}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"g4","backtrace":false}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"g5","backtrace":"2"}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"g6","backtrace":true,"retry":0}"# => Same("dead"),
        r#"{"class":"Boom","args":[],"jid":"g7","backtrace":[]}"# => Differs { ruby: "gone", ours: "retry", why: NOT_LOST },
        r#"{"class":"Boom","args":[],"jid":"g8","error_backtrace":"eJyLjgUAARUAuQ==","retry_count":0,"failed_at":1.5}"# => Same("retry"),
        // what is only passed on
        r#"{"class":"Boom","args":[],"jid":"h1","tags":["a","é"],"bid":"b-1","display_class":"Bang"}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"h2","tags":"no array","bid":null}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"h3","cattr":{"user":{"_aj_globalid":"gid://a/U/1"}},"locale":"de","encrypt":true}"# => Same("retry"),
        r#"{"class":"Boom","args":[18446744073709551615,1.0,1e-7,{}],"jid":"h4","later":{"a":[[],{}]},"n":1.50}"# => Same("retry"),
        r#"{"class":"Boom","args":[],"jid":"h5","jid":"h5b","x":1,"x":2}"# => Same("retry"),
        // what cannot run
        r#"{"class":"Unheard","args":[],"jid":"i1","retry":true}"# => Same("retry"),
        r#"{"class":"Unheard","args":[],"jid":"i2","retry":0}"# => Same("dead"),
        r#"{"class":"Unheard","args":[],"jid":"i3","retry":false}"# => Differs { ruby: "gone", ours: "dead", why: NEVER_DROPPED },
        r#"{"class":"Unheard","args":[],"jid":"i4"}"# => Differs { ruby: "gone", ours: "retry", why: NEVER_DROPPED },
        r#"{"class":"Boom","args":"no array","jid":"i5","retry":true}"# => Same("retry"),
        r#"{"class":"Boom","args":"no array","jid":"i6","retry":false}"# => Differs { ruby: "gone", ours: "dead", why: NEVER_DROPPED },
        r#"{"class":"","args":[],"jid":"i7","retry":true}"# => Differs { ruby: "retry", ours: "dead", why: "no process will ever know a class without a name" },
        r#"{"args":[],"jid":"i8","retry":true}"# => Differs { ruby: "retry", ours: "dead", why: "no process will ever know a class without a name" },
    }
}
