//! The wire form of a job: one JSON object, Sidekiq's.
//!
//! What we do not change keeps its bytes: number text, key order and unknown fields of a Ruby
//! client survive a retry, and Ruby's own re-encoding finds the same bytes again. That is why
//! the fields are raw JSON and never go through a number type.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// A job on its way through Redis: its fields in their order, each as raw JSON.
#[derive(Clone, Debug)]
pub struct Payload {
    fields: Vec<(String, Box<RawValue>)>,
}

impl Payload {
    /// A job of any class, for instance one that a Ruby worker knows. `args` is an array of
    /// positional arguments; anything else becomes the only argument.
    pub fn new(class: &str, args: serde_json::Value) -> Payload {
        let args = match args {
            serde_json::Value::Array(args) => args,
            other => vec![other],
        };
        let mut payload = Payload { fields: Vec::with_capacity(8) };
        payload.set("retry", true);
        payload.set("queue", "default");
        payload.set("class", class);
        payload.set("args", args);
        payload.set("jid", new_jid());
        payload
    }

    /// Reads a payload; an error if it is no JSON object in UTF-8.
    pub fn parse(bytes: &[u8]) -> Result<Payload, serde_json::Error> {
        serde_json::from_str(utf8(bytes)?)
    }

    /// The queue to push to.
    pub fn queue(mut self, name: &str) -> Payload {
        self.set("queue", name);
        self
    }

    /// Sets any field, known or not; it replaces the one of that name.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Payload {
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
    pub fn set(&mut self, name: &str, value: impl Serialize) {
        if let Ok(raw) = to_raw_value(&value) {
            self.put(name.to_owned(), raw);
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(field, _)| field != name);
    }

    /// The text of a field as it stands.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        let (_, raw) = self.fields.iter().find(|(field, _)| field == name)?;
        Some(raw.get())
    }

    /// Compact JSON, fields in their order.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn put(&mut self, name: String, raw: Box<RawValue>) {
        match self.fields.iter_mut().find(|(field, _)| *field == name) {
            Some(field) => field.1 = raw,
            None => self.fields.push((name, raw)),
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(name, raw)| (name, raw)))
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
                let mut payload = Payload { fields: Vec::with_capacity(12) };
                while let Some((name, raw)) = map.next_entry()? {
                    payload.put(name, raw); // a repeated name: the last one counts, as in Ruby
                }
                Ok(payload)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What running a job needs of its payload, borrowed from the bytes: the way of every job, so
/// nothing is copied. Fields of an unexpected type are as good as absent.
#[derive(Default)]
pub(crate) struct Head<'a> {
    pub(crate) class: Option<String>,
    pub(crate) jid: Option<String>,
    pub(crate) args: Option<&'a str>,
    retry_count: Option<&'a str>,
    retry: Option<&'a str>,
}

impl<'a> Head<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Head<'a>, serde_json::Error> {
        serde_json::from_str(utf8(bytes)?)
    }

    /// Failures so far: `retry_count` is 0 after the first one.
    pub(crate) fn failures(&self) -> u32 {
        let count = self.retry_count.and_then(|raw| serde_json::from_str::<u32>(raw).ok());
        count.map_or(0, |count| count.saturating_add(1))
    }

    /// The `retry` field if it is there and makes sense.
    pub(crate) fn retry(&self) -> Option<RetryField> {
        self.retry.and_then(RetryField::parse)
    }
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
                while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    match name.as_ref() {
                        "class" => head.class = text(map.next_value::<&'de RawValue>()?.get()),
                        "jid" => head.jid = text(map.next_value::<&'de RawValue>()?.get()),
                        "args" => head.args = Some(map.next_value::<&'de RawValue>()?.get()),
                        "retry" => head.retry = Some(map.next_value::<&'de RawValue>()?.get()),
                        "retry_count" => {
                            head.retry_count = Some(map.next_value::<&'de RawValue>()?.get());
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
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
    /// `true`: the usual number of retries.
    Usual,
    /// `false`: none, and no place in the dead set either.
    Never,
    /// That many retries, then the dead set.
    Times(u64),
}

impl RetryField {
    pub(crate) fn parse(raw: &str) -> Option<RetryField> {
        match raw {
            "true" => Some(RetryField::Usual),
            "false" => Some(RetryField::Never),
            number => number.parse().ok().map(RetryField::Times),
        }
    }
}

/// What a job is known by: its jid, or, for one that a client pushed without, a name made from
/// its bytes.
pub(crate) fn known_as(raw: &[u8], jid: Option<&str>) -> String {
    match jid {
        Some(jid) if !jid.is_empty() => jid.to_owned(),
        _ => hex(&ring::digest::digest(&ring::digest::SHA256, raw).as_ref()[..12]),
    }
}

/// 24 lower-case hex digits from 12 random bytes, as Sidekiq's.
pub(crate) fn new_jid() -> String {
    random_hex::<12>()
}

/// `N` random bytes in lower-case hex.
pub(crate) fn random_hex<const N: usize>() -> String {
    let mut bytes = [0u8; N];
    if getrandom::fill(&mut bytes).is_err() {
        bytes.iter_mut().for_each(|byte| *byte = fastrand::u8(..));
    }
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A time as Sidekiq 6, 7 and 8 all read it: JSON float seconds, always with a decimal point.
/// (8 takes an integer for milliseconds, 6 and 7 take any number for seconds.)
pub(crate) struct Seconds(pub(crate) f64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0 * 1e6).round() / 1e6)
    }
}

fn text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

fn utf8(bytes: &[u8]) -> Result<&str, serde_json::Error> {
    std::str::from_utf8(bytes).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
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
        let head = Head::parse(br#"{"class":7,"jid":null,"retry":"x","retry_count":-1,"args":[]}"#);
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

    #[test]
    fn jids_look_like_sidekiqs() {
        let jid = new_jid();
        assert!(jid.len() == 24 && jid.bytes().all(|b| b.is_ascii_hexdigit()), "{jid}");
        assert_ne!(jid, new_jid());
    }
}
