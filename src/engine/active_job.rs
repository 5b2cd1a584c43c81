//! Active Job, the interface of Rails: its jobs travel in a wrapper, which names their class and
//! marks in their arguments what JSON has no word for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::head::Head;
use super::jid::random_hex;
use super::payload::Payload;

/// The name that every version of Sidekiq knows …
const WRAPPER: &str = "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper";
/// … and the one that Sidekiq 8 writes.
const WRAPPERS: [&str; 2] = [WRAPPER, "Sidekiq::ActiveJob::Wrapper"];
/// What the names of marks begin with.
const MARK: &str = "_aj_";

pub(crate) type Arguments<'a> = Result<Cow<'a, str>, serde_json::Error>;

/// The class that a handler is registered for, and its arguments: of a wrapped job its own.
pub(crate) fn opened<'a>(head: &Head<'a>) -> (Cow<'a, str>, Arguments<'a>) {
    let class = head.class.clone().unwrap_or_default();
    let args = head.args.unwrap_or("[]");
    if !WRAPPERS.contains(&&*class) {
        return (class, Ok(args.into()));
    }
    match serde_json::from_str::<[Record; 1]>(args) {
        Ok([Record { job_class, arguments }]) => {
            let class = head.wrapped.clone().or(job_class.map(Cow::from)).unwrap_or(class);
            let mut args = String::new();
            (class, plain(arguments, &mut args).map(|()| args.into()))
        }
        Err(error) => (head.wrapped.clone().unwrap_or(class), Err(error)),
    }
}

#[derive(Deserialize)]
struct Record<'a> {
    job_class: Option<String>,
    #[serde(borrow)]
    arguments: &'a RawValue,
}

/// Without the marks, at any depth: what a serializer wrapped (a time, a symbol, a duration)
/// becomes its `value`, a reference to a record its `gid://` text. Numbers keep their text.
fn plain(value: &RawValue, out: &mut String) -> Result<(), serde_json::Error> {
    let text = value.get();
    let marked = text.contains(MARK); // most are not: they are copied as they stand
    match text.as_bytes() {
        [b'[', ..] if marked => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            list(out, ['[', ']'], items, plain)
        }
        [b'{', ..] if marked => object(serde_json::from_str(text)?, out),
        _ => {
            out.push_str(text);
            Ok(())
        }
    }
}

fn object(mut fields: Fields, out: &mut String) -> Result<(), serde_json::Error> {
    if let (1, Some(reference)) = (fields.len(), fields.get("_aj_globalid")) {
        out.push_str(reference.get());
        return Ok(());
    }
    if let (Some(_), Some(value)) = (fields.get("_aj_serialized"), fields.get("value")) {
        return plain(value, out);
    }
    fields.retain(|name, _| !name.starts_with(MARK));
    list(out, ['{', '}'], fields, |(name, value), out| {
        out.push_str(&serde_json::to_string(&name)?);
        out.push(':');
        plain(value, out)
    })
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn list<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    each: impl Fn(T, &mut String) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    out.push(open);
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        each(item, out)?;
    }
    out.push(close);
    Ok(())
}

impl Payload {
    /// A job for a Ruby worker with Active Job (Rails). `arguments` is an array; an object at
    /// its end arrives as keyword arguments, or as a hash with symbols as keys where `perform`
    /// takes none. Other objects arrive as hashes with strings as keys.
    pub fn active_job(class: &str, queue: &str, arguments: Value) -> Payload {
        let mut arguments = match arguments {
            Value::Array(arguments) => arguments,
            other => vec![other],
        };
        if let Some(Value::Object(keywords)) = arguments.last_mut() {
            let names: Vec<String> = keywords.keys().cloned().collect();
            keywords.insert(format!("{MARK}ruby2_keywords"), names.into());
        }
        Payload::wrapped(class, queue, &arguments)
    }

    /// The same with arguments as they are to stand there.
    pub(crate) fn wrapped(class: &str, queue: &str, arguments: &impl Serialize) -> Payload {
        #[derive(Serialize)]
        struct Record<'a, A> {
            job_class: &'a str,
            job_id: String,
            provider_job_id: (),
            queue_name: &'a str,
            priority: (),
            arguments: &'a A,
            executions: u32,
            exception_executions: BTreeMap<String, u32>,
        }
        let id = random_hex::<16>();
        let record = Record {
            job_class: class,
            job_id: [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-"),
            provider_job_id: (),
            queue_name: queue,
            priority: (),
            arguments,
            executions: 0,
            exception_executions: BTreeMap::new(),
        };
        let payload = Payload::new(WRAPPER, json!([])).queue(queue).with("args", [record]);
        payload.with("wrapped", class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(payload: &str) -> (String, Option<String>) {
        let (class, args) = opened(&Head::parse(payload.as_bytes()).unwrap());
        (class.into_owned(), args.ok().map(Cow::into_owned))
    }

    #[test]
    fn the_inner_name_and_plain_arguments() {
        let args = r#"[{"job_class":"A","arguments":[1180591620717411303424,1.0,{"a":{"b":[{"_aj_globalid":"gid://app/User/7"}],"_aj_symbol_keys":["b"]},"_aj_ruby2_keywords":["a"]},{"_aj_serialized":"ActiveJob::Serializers::TimeSerializer","value":"2026-11-22T05:00:00Z"},{"_aj_serialized":"X","value":{"_aj_serialized":"Y","value":"deep"}},{"_aj_serialized":"R","begin":1,"end":2}]}]"#;
        let plain = r#"[1180591620717411303424,1.0,{"a":{"b":["gid://app/User/7"]}},"2026-11-22T05:00:00Z","deep",{"begin":1,"end":2}]"#;
        for wrapper in WRAPPERS {
            let payload = format!(r#"{{"class":"{wrapper}","wrapped":"B","args":{args}}}"#);
            assert_eq!(open(&payload), ("B".into(), Some(plain.into())));
            let unnamed = payload.replace(r#""wrapped":"B","#, "");
            assert_eq!(open(&unnamed).0, "A");
        }
    }

    #[test]
    fn what_is_no_wrapper_and_what_is_a_broken_one() {
        let other = r#"{"class":"A","wrapped":"B","args":[{"_aj_x":1}]}"#;
        assert_eq!(open(other), ("A".into(), Some(r#"[{"_aj_x":1}]"#.into())));
        for args in ["[]", "[{}]", "[{\"arguments\":[]},1]", "7"] {
            let broken = format!(r#"{{"class":"{WRAPPER}","wrapped":"B","args":{args}}}"#);
            assert_eq!(open(&broken), ("B".into(), None), "{args}");
        }
    }

    #[test]
    fn there_and_back() {
        let payload = Payload::active_job("B", "low", json!([1, {"a": {"c": 2}}]));
        let bytes = payload.to_bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(open(text), ("B".into(), Some(r#"[1,{"a":{"c":2}}]"#.into())));
        assert!(text.contains(r#""_aj_ruby2_keywords":["a"]"#), "{text}");
    }
}
