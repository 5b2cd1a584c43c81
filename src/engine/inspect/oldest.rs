//! Since when the next job of each queue waits, whatever its size: of a long one only the end is read.

use redis::RedisResult;

use super::super::errors::code;
use super::super::keys;
use super::super::redis::Redis;
use super::super::scripts;
use super::entry::Entry;

/// Bytes of a job that is read as a whole.
const WHOLE: usize = 64 << 10;
/// … and of the end of a longer one, where its clients write when it was pushed.
const END: usize = 16 << 10;
/// Fields that say so, as they stand in JSON: inside of a text the marks would be escaped.
const FIELDS: [&[u8]; 2] = [b"\"enqueued_at\":", b"\"created_at\":"];

/// Since when the next jobs of these queues wait, in epoch seconds, in their order; `None` where
/// that cannot be told. A server that does not let us run scripts tells it of none.
pub(crate) async fn oldest(redis: &Redis, queues: &[String]) -> RedisResult<Vec<Option<f64>>> {
    let mut script = scripts::OLDEST.prepare_invoke();
    script.arg(WHOLE).arg(END);
    for name in queues {
        script.arg(keys::queue(name));
    }
    match redis.connection().await?.run::<Vec<Option<Vec<u8>>>>(&script).await {
        Ok(jobs) => Ok(jobs.into_iter().map(|job| since(&job?)).collect()),
        Err(error) if code(&error).as_deref() == Some("NOPERM") => Ok(vec![None; queues.len()]),
        Err(error) => Err(error),
    }
}

/// Of a job, or of the end of one.
fn since(job: &[u8]) -> Option<f64> {
    Entry::of(job).enqueued_at.or_else(|| FIELDS.into_iter().find_map(|field| ended(job, field)))
}

/// From this field on to the end it is an object of its own, unless the field was one of something
/// inside.
fn ended(end: &[u8], field: &[u8]) -> Option<f64> {
    let at = end.windows(field.len()).rposition(|text| text == field)?;
    Entry::of(&[b"{", &end[at..]].concat()).enqueued_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_job_tells_since_when_it_waits() {
        let table = [
            (r#"{"class":"A","enqueued_at":1.5}"#, Some(1.5)),
            (r#"ong text"],"jid":"1","created_at":1.5,"enqueued_at":2.5}"#, Some(2.5)),
            (r#"ong text"],"created_at":1700000000500,"tags":["a"]}"#, Some(1_700_000_000.5)),
            (r#"ong "}],"enqueued_at":2.5,"error_message":"a\"enqueued_at\":7}"}"#, Some(2.5)),
            (r#"é"],"enqueued_at":2.5,"x":{"y":[1]}}"#, Some(2.5)),
            // inside of the arguments
            (r#"ong"},{"enqueued_at":2.5}],"jid":"1"}"#, None),
            (r#"ong"},{"enqueued_at":2.5}],"created_at":1.5,"jid":"1"}"#, Some(1.5)),
            (r#"ong \"enqueued_at\":2.5}"#, None),
            (r#"ong"],"enqueued_at":"#, None),
            ("no job", None),
            ("", None),
        ];
        for (end, expected) in table {
            assert_eq!(since(end.as_bytes()), expected, "{end}");
            assert_eq!(since(&[b"\xa9", end.as_bytes()].concat()[1..]), expected);
        }
    }
}
