//! Reading deliveries from in-flight hashes: in replies of bounded size, whatever the jobs are
//! like. A reply that is too large for its deadline would be so at every attempt.

use redis::{RedisResult, cmd, pipe};

use super::connection::Connection;

/// Deliveries and bytes at most per reply; but one at least.
const MOST: usize = 200;
const MOST_BYTES: usize = 4 << 20;

/// The values of the first of these fields, as many as go into one reply.
pub(crate) async fn read(
    connection: &Connection,
    key: &str,
    fields: &[String],
) -> RedisResult<Vec<Option<Vec<u8>>>> {
    let fields = &fields[..fields.len().min(MOST)];
    let mut lengths = pipe();
    for field in fields {
        lengths.cmd("HSTRLEN").arg(key).arg(field);
    }
    let lengths: Vec<usize> = connection.pipe(&lengths).await?;
    let mut values = cmd("HMGET");
    values.arg(key).arg(&fields[..fitting(&lengths)]);
    connection.query(&values).await
}

fn fitting(lengths: &[usize]) -> usize {
    let mut bytes = 0;
    let fits = |length: &&usize| {
        bytes += **length;
        bytes <= MOST_BYTES
    };
    lengths.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_least() {
        assert_eq!(fitting(&[100; 200]), 200);
        assert_eq!(fitting(&[MOST_BYTES, 1]), 1);
        assert_eq!(fitting(&[5 << 20, 5 << 20]), 1);
        assert_eq!(fitting(&[1 << 20; 9]), 4);
    }
}
