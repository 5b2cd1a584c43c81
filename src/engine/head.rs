//! What running a job needs of its payload, borrowed from the bytes: the way of every job, so
//! nothing is copied.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::clock::moment;
use super::payload::number;
use super::readable::readable;

/// The fields that a run goes by. Fields of an unexpected type are as good as absent.
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
    enqueued_at: Option<&'a str>,
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

    /// Since when it is in its queue, in epoch seconds; read only where somebody wants to know.
    pub(crate) fn enqueued_at(&self) -> Option<f64> {
        self.enqueued_at.and_then(moment)
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
    EnqueuedAt,
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
                        Field::EnqueuedAt => head.enqueued_at = Some(raw()?),
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

/// A text, if it is one; nearly always as it stands.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Some(plain.into()),
        _ => serde_json::from_str::<String>(raw).ok().map(Cow::from),
    }
}
