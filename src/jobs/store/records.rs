//! The imported rows. A record is `SECONDS JSON`: when it was uploaded, and the row as an object.
//!
//! The hash finds a record by key, the sorted set holds the keys in order: with equal scores Redis sorts by bytes.

use redis::RedisResult;
use serde_json::value::RawValue;

use super::{KEPT_SECONDS, REJECTIONS_KEPT, Rejection, rejected_key};
use crate::engine::Redis;

const RECORDS: &str = "roustabout:records";
const KEYS: &str = "roustabout:records:keys";

/// Writes what a piece of an import came to, in one round trip. Doing it again changes nothing.
///
/// `earlier` counts the rejections before this piece. `created_at` is the upload's time, not the clock's: a piece
/// that is imported again after a crash writes the same bytes.
pub async fn save(
    redis: &Redis,
    jid: &str,
    created_at: u64,
    records: &[(String, String)],
    rejections: &[Rejection],
    earlier: u64,
) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    for (key, json) in records {
        pipe.cmd("HSET").arg(RECORDS).arg(key).arg(format!("{created_at} {json}")).ignore();
        pipe.cmd("ZADD").arg(KEYS).arg(0).arg(key).ignore();
    }
    let room = REJECTIONS_KEPT.saturating_sub(earlier) as usize;
    for rejection in rejections.iter().take(room) {
        pipe.cmd("HSET").arg(rejected_key(jid)).arg(rejection.line).arg(&rejection.reason).ignore();
    }
    pipe.cmd("EXPIRE").arg(rejected_key(jid)).arg(KEPT_SECONDS).ignore();
    redis.pipe(&pipe).await
}

/// The first `limit` records by key, as the objects they were stored as.
pub async fn first(redis: &Redis, limit: usize) -> RedisResult<Vec<Box<RawValue>>> {
    // ZRANGE's end is inclusive, and -1 is the last one: no limit of 0 may come through.
    let Some(last) = limit.checked_sub(1) else {
        return Ok(Vec::new());
    };
    let keys: Vec<Vec<u8>> = redis.query(redis::cmd("ZRANGE").arg(KEYS).arg(0).arg(last)).await?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<Option<String>> =
        redis.query(redis::cmd("HMGET").arg(RECORDS).arg(keys)).await?;
    // A record that was pruned between the two reads is missing, and one that is not ours is left out.
    Ok(found.into_iter().flatten().filter_map(json).collect())
}

fn json(record: String) -> Option<Box<RawValue>> {
    let (_, json) = record.split_once(' ')?;
    RawValue::from_string(json.to_owned()).ok()
}

/// KEYS records, keys; ARGV key, stamp, key, stamp, … Returns how many were removed.
/// Compares the stamp once more: the record may have been imported again since it was read.
const REMOVE: &str = "local removed = 0 \
    for i = 1, #ARGV, 2 do \
      local record = redis.call('HGET', KEYS[1], ARGV[i]) \
      if record and string.sub(record, 1, #ARGV[i + 1]) == ARGV[i + 1] then \
        redis.call('HDEL', KEYS[1], ARGV[i]) \
        redis.call('ZREM', KEYS[2], ARGV[i]) \
        removed = removed + 1 \
      end \
    end \
    return removed";

/// A key and its record: bytes, because whoever else writes to Redis may write anything.
type Entry = (Vec<u8>, Vec<u8>);

/// One step of a scan: removes what was uploaded before `oldest_kept`. Returns where to go on, 0 at the end, and how
/// many records it removed.
pub async fn prune(redis: &Redis, cursor: u64, oldest_kept: u64) -> RedisResult<(u64, u64)> {
    let scan =
        redis.query(redis::cmd("HSCAN").arg(RECORDS).arg(cursor).arg("COUNT").arg(200)).await;
    let (next, found): (u64, Vec<Entry>) = scan?;
    let mut remove = redis::cmd("EVAL");
    remove.arg(REMOVE).arg(2).arg(RECORDS).arg(KEYS);
    let mut old = 0;
    for (key, record) in &found {
        if let Some(stamp) = stamp(record).filter(|stamp| *stamp < oldest_kept) {
            remove.arg(key).arg(format!("{stamp} "));
            old += 1;
        }
    }
    match old {
        0 => Ok((next, 0)),
        _ => Ok((next, redis.query(&remove).await?)),
    }
}

fn stamp(record: &[u8]) -> Option<u64> {
    let digits = record.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_stamp_and_an_object() {
        let record = r#"1700000000 {"b":"x y","a":"1"}"#;
        assert_eq!(stamp(record.as_bytes()), Some(1_700_000_000));
        assert_eq!(json(record.into()).unwrap().get(), r#"{"b":"x y","a":"1"}"#);
        assert_eq!(stamp(b"{}"), None);
        assert!(json("1700000000".into()).is_none());
    }
}
