//! What a client refuses to push: the same as Sidekiq's own, so that nobody finds it in a queue.

use std::fmt;

use serde_json::Value;

use super::payload::Payload;

/// Why a job is none.
#[derive(Clone, Debug, PartialEq)]
pub enum Invalid {
    /// `class` is missing, empty, or no text.
    Class,
    /// `args` is missing, or no array.
    Args,
    /// `queue` is empty, or no text.
    Queue,
    /// `at` is no number.
    At,
    /// `tags` is no array.
    Tags,
    /// `retry_for` is no number of seconds, or a point in time instead of a span.
    RetryFor,
    /// Nested more than 100 deep.
    TooDeep,
    /// The job's type cannot be written as JSON; with the reason.
    Encoding(String),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Invalid::Class => "`class` must be a text",
            Invalid::Args => "`args` must be an array",
            Invalid::Queue => "`queue` must name a queue",
            Invalid::At => "`at` must be a number of seconds",
            Invalid::Tags => "`tags` must be an array",
            Invalid::RetryFor => "`retry_for` must be a number of seconds, at most 1000000000",
            Invalid::TooDeep => "nested more than 100 deep, which other readers would refuse",
            Invalid::Encoding(reason) => reason,
        })
    }
}

impl std::error::Error for Invalid {}

/// What Sidekiq's client insists on.
pub(crate) fn check(payload: &Payload) -> Result<(), Invalid> {
    let fits = |field: &str, fits: fn(&Value) -> bool| match payload.raw(field) {
        None => true,
        Some(_) => payload.get(field).is_some_and(|value| fits(&value)),
    };
    // the arguments of millions: looked at, but not parsed
    let array = payload.raw("args").is_some_and(|args| args.starts_with('['));
    let rules = [
        (!payload.class().is_empty(), Invalid::Class),
        (array, Invalid::Args),
        (payload.get::<String>("queue").is_some_and(|name| !name.is_empty()), Invalid::Queue),
        (fits("at", Value::is_number), Invalid::At),
        (fits("tags", |tags| tags.is_array() || is_off(tags)), Invalid::Tags),
        (fits("retry_for", |span| is_span(span) || is_off(span)), Invalid::RetryFor),
        (!payload.too_deep(), Invalid::TooDeep),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, reason)) => Err(reason),
        None => Ok(()),
    }
}

fn is_span(value: &Value) -> bool {
    value.as_f64().is_some_and(|seconds| seconds <= 1e9)
}

/// What Ruby takes for "not given".
fn is_off(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused() {
        let (queue, deep) = (r#""queue":"q""#, "[".repeat(101) + &"]".repeat(101));
        let table = [
            ("".to_owned(), Ok(())),
            (r#","tags":[],"retry_for":1000000000,"at":1.5"#.to_owned(), Ok(())),
            (r#","tags":null,"retry_for":false"#.to_owned(), Ok(())),
            (r#","class":"""#.to_owned(), Err(Invalid::Class)),
            (r#","class":7"#.to_owned(), Err(Invalid::Class)),
            (r#","args":{}"#.to_owned(), Err(Invalid::Args)),
            (r#","args":null"#.to_owned(), Err(Invalid::Args)),
            (r#","queue":"""#.to_owned(), Err(Invalid::Queue)),
            (r#","queue":null"#.to_owned(), Err(Invalid::Queue)),
            (r#","at":"12:00""#.to_owned(), Err(Invalid::At)),
            (r#","at":null"#.to_owned(), Err(Invalid::At)),
            (r#","tags":"x""#.to_owned(), Err(Invalid::Tags)),
            (r#","retry_for":1000000001"#.to_owned(), Err(Invalid::RetryFor)),
            (r#","retry_for":"1 day""#.to_owned(), Err(Invalid::RetryFor)),
        ];
        for (fields, expected) in table {
            let raw = format!(r#"{{"class":"A","args":[],{queue}{fields}}}"#);
            let payload = Payload::parse(raw.as_bytes()).unwrap();
            assert_eq!(check(&payload), expected, "{raw}");
        }
        let deep: Box<serde_json::value::RawValue> = serde_json::from_str(&deep).unwrap();
        let payload = Payload::new("A", Value::Null).with("args", deep);
        assert_eq!(check(&payload), Err(Invalid::TooDeep));
    }
}
