//! The uploaded file: compressed from the upload to the end of the import.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use redis::RedisResult;

use super::{KEPT_SECONDS, body_key, import_key, rejected_key};
use crate::engine::Redis;

/// Compresses a file. It takes a moment: not on the runtime's threads.
pub fn pack(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// The reverse of [`pack`], with the same advice.
pub fn unpack(packed: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    ZlibDecoder::new(packed).read_to_string(&mut text)?;
    Ok(text)
}

/// Stores a new import of `total` rows, before its job is pushed.
pub async fn create(redis: &Redis, jid: &str, packed: &[u8], total: u64) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    pipe.cmd("SET").arg(body_key(jid)).arg(packed).arg("EX").arg(KEPT_SECONDS).ignore();
    pipe.cmd("HSET").arg(import_key(jid)).arg("total").arg(total);
    pipe.arg("created_at").arg(redis.now() as u64).ignore();
    pipe.cmd("EXPIRE").arg(import_key(jid)).arg(KEPT_SECONDS).ignore();
    redis.pipe(&pipe).await
}

/// Takes an import back whose job could not be pushed.
pub async fn forget(redis: &Redis, jid: &str) -> RedisResult<()> {
    redis
        .query(redis::cmd("DEL").arg(body_key(jid)).arg(import_key(jid)).arg(rejected_key(jid)))
        .await
}

/// The compressed file, if it is still there.
pub async fn load(redis: &Redis, jid: &str) -> RedisResult<Option<Vec<u8>>> {
    redis.query(redis::cmd("GET").arg(body_key(jid))).await
}

/// KEYS the file, the import; ARGV rows taken. One step, and first what a full server lets pass: a file that is
/// gone means that the import has ended only if that stands there.
const END: &str = "redis.call('DEL', KEYS[1]) \
                   if redis.call('EXISTS', KEYS[2]) == 1 then \
                     redis.call('HSET', KEYS[2], 'ended', ARGV[1]) \
                   end";

/// The import has ended, with so many rows taken: nobody needs the file any more.
pub async fn end(redis: &Redis, jid: &str, accepted: u64) -> RedisResult<()> {
    let mut end = redis::cmd("EVAL");
    end.arg(END).arg(2).arg(body_key(jid)).arg(import_key(jid)).arg(accepted);
    redis.query(&end).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpack_reverses_pack() {
        let text = "id,name\n1,Zoë\n".repeat(1000);
        let packed = pack(&text).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(unpack(&packed).unwrap(), text);
    }
}
