//! The wire form of a job: one JSON object, Sidekiq's.
//!
//! What we do not change keeps its bytes: number text, key order and unknown fields of a Ruby
//! client survive a retry, and Ruby's own re-encoding finds the same bytes again. That is why
//! the fields are raw JSON and never go through a number type.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

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

#[cfg(test)]
mod tests;
