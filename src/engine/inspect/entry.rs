//! What the bytes of a job say to people, wherever it waits. Its arguments stay where they are:
//! they may be secret.

use super::super::clock::moment;
use super::super::payload::{Payload, number};
use super::super::readable::cut;
use super::super::status::shortened;
use super::super::ties::EXPIRES_AT;

/// A job as a list shows it. The texts are those of whoever pushed it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// What it is; for one of Active Job the class inside the wrapper. `?` where nothing says so,
    /// as in the other texts.
    pub class: String,
    /// Which one.
    pub jid: String,
    /// Where it is to run.
    pub queue: String,
    /// How often it has failed.
    pub failures: u32,
    /// Why it failed the last time: the class of the error, and its message.
    pub error: Option<(String, String)>,
    /// When it was put into its queue, in epoch seconds; if that is not known, when it was made.
    pub enqueued_at: Option<f64>,
    /// When it failed the last time, in epoch seconds.
    pub failed_at: Option<f64>,
    /// From when on it is dropped instead of run.
    pub expires_at: Option<f64>,
    /// How many bytes it has.
    pub bytes: usize,
}

impl Entry {
    /// What can be read of it.
    pub(crate) fn of(raw: &[u8]) -> Entry {
        let unknown = || "?".to_owned();
        let [class, jid, queue] = [(); 3].map(|()| unknown());
        let Ok(payload) = Payload::parse(raw) else {
            return Entry { class, jid, queue, bytes: raw.len(), ..Entry::default() };
        };
        let word = |name: &str| payload.get::<String>(name).map(|word| cut(&word).to_owned());
        let time = |name: &str| payload.raw(name).and_then(moment);
        let error = word("error_class").map(|class| {
            (class, shortened(&payload.get::<String>("error_message").unwrap_or_default()))
        });
        Entry {
            class: word("wrapped").or_else(|| word("class")).unwrap_or(class),
            jid: word("jid").unwrap_or(jid),
            queue: word("queue").unwrap_or(queue),
            failures: number(payload.raw("retry_count")).map_or(0, |count| (count + 1.0) as u32),
            error,
            enqueued_at: time("enqueued_at").or_else(|| time("created_at")),
            failed_at: time("retried_at").or_else(|| time("failed_at")),
            expires_at: time(EXPIRES_AT),
            bytes: raw.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubys_and_everybodys_jobs_are_read() {
        let ruby = r#"{"retry":true,"queue":"low","class":"ActiveJob::W","wrapped":"Real","args":["s3cret"],
            "jid":"1","created_at":1700000000500,"failed_at":1700000001.5,"retry_count":1,
            "error_class":"RuntimeError","error_message":"no","retried_at":1700000009000}"#;
        let entry = Entry::of(ruby.as_bytes());
        assert_eq!((&*entry.class, &*entry.jid, &*entry.queue), ("Real", "1", "low"));
        assert_eq!((entry.failures, entry.failed_at), (2, Some(1_700_000_009.0)));
        assert_eq!(entry.enqueued_at, Some(1_700_000_000.5));
        assert_eq!(entry.error, Some(("RuntimeError".into(), "no".into())));
        assert!(!format!("{entry:?}").contains("s3cret"));
        for odd in [&b""[..], b"[]", b"\xff", b"{", b"{}", br#"{"class":7,"jid":[],"queue":null}"#]
        {
            let entry = Entry::of(odd);
            assert_eq!((&*entry.class, &*entry.jid, &*entry.queue), ("?", "?", "?"));
            assert_eq!(entry.bytes, odd.len());
        }
        super::super::super::arbitrary::rounds(500, |rng| {
            let words =
                ["{", "}", "\"retry_count\":", "-1e999", "\"class\":\"A\"", ",", "[", "\"x\""];
            let _ = Entry::of(super::super::super::arbitrary::words(rng, &words).as_bytes());
        });
    }
}
