//! The wire form of a job: one JSON object, Sidekiq's.
//!
//! What we do not change keeps its bytes: number text, key order and unknown fields of a Ruby
//! client survive a retry, and Ruby's own re-encoding finds the same bytes again. That is why
//! the fields are raw JSON and never go through a number type.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::clock::moment;
use super::jid::new_jid;
use super::json::{raw, write};
use super::readable::{DEEPEST, deeper_than, readable};

/// A job on its way through Redis: its fields in their order, each as raw JSON.
#[derive(Clone, Debug)]
pub struct Payload {
    pub(super) fields: Vec<(Name, String)>,
}

/// Most names of fields are ours.
type Name = Cow<'static, str>;

impl Payload {
    /// A job of any class, for instance one that a Ruby worker knows. `args` is an array of
    /// positional arguments; anything else becomes the only argument.
    pub fn new(class: &str, args: serde_json::Value) -> Payload {
        let args = match args {
            serde_json::Value::Array(args) => args,
            other => vec![other],
        };
        Payload::ordered(class, "default", true, raw(&args).unwrap_or_default())
    }

    /// In the order in which Sidekiq writes them.
    pub(crate) fn ordered(
        class: &str,
        queue: &str,
        retry: impl Serialize,
        args: String,
    ) -> Payload {
        let mut payload = Payload { fields: Vec::with_capacity(8) };
        payload.set("retry", retry);
        payload.set("queue", queue);
        payload.set("class", class);
        payload.put("args".into(), args);
        payload.set("jid", new_jid());
        payload
    }

    /// Reads a payload; an error, which quotes nothing of it, if it is no JSON object in UTF-8 or
    /// nested more than 100 deep, which no Ruby reader would take.
    pub fn parse(bytes: &[u8]) -> Result<Payload, serde_json::Error> {
        serde_json::from_str(readable(bytes)?)
    }

    /// The queue to push to.
    pub fn queue(mut self, name: &str) -> Payload {
        self.set("queue", name);
        self
    }

    /// Sets any field, known or not; it replaces the one of that name.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Serialize) -> Payload {
        self.set(name, value);
        self
    }

    /// The job's id; empty if it has none.
    pub fn jid(&self) -> String {
        self.get("jid").unwrap_or_default()
    }

    /// The job's class; empty if it has none.
    pub fn class(&self) -> String {
        self.get("class").unwrap_or_default()
    }

    /// A field as a type; `None` if it is absent or something else.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        let raw = self.raw(name)?;
        serde_json::from_str(raw).ok()
    }

    /// Sets a field in place. A value that JSON cannot hold is left out.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Serialize) {
        if let Ok(raw) = raw(&value) {
            self.put(name.into(), raw);
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(field, _)| field != name);
    }

    /// The text of a field as it stands.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        let (_, raw) = self.fields.iter().find(|(field, _)| field == name)?;
        Some(raw)
    }

    /// Whether it would be nested too deep to be read again.
    pub(crate) fn too_deep(&self) -> bool {
        self.fields.iter().any(|(_, raw)| deeper_than(raw, DEEPEST - 1))
    }

    /// Compact JSON, fields in their order: as it stands in Redis.
    pub fn to_bytes(&self) -> Vec<u8> {
        let length: usize = self.fields.iter().map(|(name, raw)| name.len() + raw.len() + 6).sum();
        let mut bytes = Vec::with_capacity(length + 2);
        for (name, raw) in &self.fields {
            bytes.push(if bytes.is_empty() { b'{' } else { b',' });
            let _ = write(&mut bytes, &**name); // a text in memory: nothing to go wrong
            bytes.push(b':');
            bytes.extend_from_slice(raw.as_bytes());
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
        bytes.push(b'}');
        bytes
    }

    fn put(&mut self, name: Name, raw: String) {
        match self.fields.iter_mut().find(|(field, _)| *field == name) {
            Some(field) => field.1 = raw,
            None => self.fields.push((name, raw)),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Payload;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a job: a JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Payload, M::Error> {
                let mut fields: Vec<(Name, String)> = Vec::with_capacity(12);
                let mut places = HashMap::<String, usize>::with_capacity(12);
                while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    let raw = String::from(Box::<str>::from(raw));
                    // a repeated name: the last one counts, as in Ruby
                    match places.entry(name.clone()) {
                        Entry::Occupied(place) => fields[*place.get()].1 = raw,
                        Entry::Vacant(place) => {
                            place.insert(fields.len());
                            fields.push((name.into(), raw));
                        }
                    }
                }
                Ok(Payload { fields })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What running a job needs of its payload, borrowed from the bytes: the way of every job, so
/// nothing is copied. Fields of an unexpected type are as good as absent.
#[derive(Default)]
pub(crate) struct Head<'a> {
    pub(crate) class: Option<Cow<'a, str>>,
    pub(crate) jid: Option<Cow<'a, str>>,
    /// The class of an Active Job; `class` is its wrapper's then.
    pub(crate) wrapped: Option<Cow<'a, str>>,
    pub(crate) args: Option<&'a str>,
    retry_count: Option<&'a str>,
    retry: Option<&'a str>,
    retry_for: Option<&'a str>,
    failed_at: Option<&'a str>,
    pub(crate) lock: Option<Cow<'a, str>>,
    pub(crate) status_for: Option<&'a str>,
    expires_at: Option<&'a str>,
}

impl<'a> Head<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Head<'a>, serde_json::Error> {
        serde_json::from_str(readable(bytes)?)
    }

    /// Failures so far: `retry_count` is 0 after the first one.
    pub(crate) fn failures(&self) -> u32 {
        number(self.retry_count).map_or(0, |count| (count + 1.0) as u32)
    }

    /// The `retry` field if it is there and makes sense.
    pub(crate) fn retry(&self) -> Option<RetryField> {
        self.retry.and_then(RetryField::parse)
    }

    /// How long it may be tried again, and since when it fails, if either is known.
    pub(crate) fn retry_for(&self) -> (Option<f64>, Option<f64>) {
        (number(self.retry_for), self.failed_at.and_then(moment))
    }

    /// Whether it is too late to run it.
    pub(crate) fn expired(&self, now: f64) -> bool {
        self.expires_at.and_then(moment).is_some_and(|at| at < now)
    }
}

/// The name of a field, recognized without a copy of it.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Class,
    Wrapped,
    Jid,
    Args,
    Retry,
    RetryCount,
    RetryFor,
    FailedAt,
    #[serde(rename = "unique_key")]
    Lock,
    StatusFor,
    ExpiresAt,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Head<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Head<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a job: a JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Head<'de>, M::Error> {
                let mut head = Head::default();
                while let Some(field) = map.next_key()? {
                    let mut raw = || map.next_value::<&'de RawValue>().map(RawValue::get);
                    match field {
                        Field::Class => head.class = text(raw()?),
                        Field::Wrapped => head.wrapped = text(raw()?),
                        Field::Jid => head.jid = text(raw()?),
                        Field::Args => head.args = Some(raw()?),
                        Field::Retry => head.retry = Some(raw()?),
                        Field::RetryCount => head.retry_count = Some(raw()?),
                        Field::RetryFor => head.retry_for = Some(raw()?),
                        Field::FailedAt => head.failed_at = Some(raw()?),
                        Field::Lock => head.lock = text(raw()?),
                        Field::StatusFor => head.status_for = Some(raw()?),
                        Field::ExpiresAt => head.expires_at = Some(raw()?),
                        Field::Other => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(head)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The `retry` field of a payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RetryField {
    /// `true`, and whatever else Ruby takes for true: the usual number of retries.
    Usual,
    /// `false`: none, and no place in the dead set either.
    Never,
    /// That many retries, then the dead set.
    Times(u64),
}

impl RetryField {
    pub(crate) fn parse(raw: &str) -> Option<RetryField> {
        match raw {
            "null" => None,
            "false" => Some(RetryField::Never),
            number => Some(match number.parse::<i128>() {
                Ok(times) => RetryField::Times(times.clamp(0, u64::MAX.into()) as u64),
                Err(_) => RetryField::Usual,
            }),
        }
    }
}

/// A number, whatever it stands for.
pub(crate) fn number(raw: Option<&str>) -> Option<f64> {
    raw.and_then(|raw| serde_json::from_str(raw).ok())
}

/// A time as Sidekiq 6, 7 and 8 all read it: JSON float seconds, always with a decimal point.
/// (8 takes an integer for milliseconds, 6 and 7 take any number for seconds.)
pub(crate) struct Seconds(pub(crate) f64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0 * 1e6).round() / 1e6)
    }
}

/// A text, if it is one; nearly always as it stands.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Some(plain.into()),
        _ => serde_json::from_str::<String>(raw).ok().map(Cow::from),
    }
}

#[cfg(test)]
mod tests;
