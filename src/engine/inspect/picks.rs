//! Jobs of a set, found again by what a page knows of them: their times, and their jids.

use std::collections::HashMap;
use std::hash::Hash;

use redis::{RedisResult, Value, pipe};

use super::super::readable::cut;
use super::super::redis::Redis;
use super::entry::Entry;
use super::fleet::{lenient, read};
use super::found::{Found, Place};
use super::sets::{FIRST_PAGE, Set, next_page};

/// Times asked about in one write: the jobs come along, of whatever size.
const AT_ONCE: usize = 50;

/// Those of these jobs, told by time and jid as a list shows them, that are still there. Of jobs that have time and jid in common there are as
/// many as are asked for.
pub async fn pick_all(redis: &Redis, set: Set, jobs: &[(f64, String)]) -> RedisResult<Vec<Found>> {
    let wanted = jobs.iter().map(|(at, jid)| (*at, cut(jid).to_owned()));
    at_times(redis, set, wanted, |raw| Entry::of(raw).jid).await
}

/// What is wanted at a time, by its name, and how many there are of each.
struct Wanted<K> {
    at: f64,
    names: HashMap<K, usize>,
    /// How many members at this time were read.
    read: usize,
    /// How many to read next; 0: no more.
    page: usize,
}

/// The members of a set with these times and names.
pub(crate) async fn at_times<K: Eq + Hash>(
    redis: &Redis,
    set: Set,
    wanted: impl IntoIterator<Item = (f64, K)>,
    name: impl Fn(&[u8]) -> K,
) -> RedisResult<Vec<Found>> {
    let mut times: HashMap<u64, Wanted<K>> = HashMap::new();
    for (at, name) in wanted.into_iter().filter(|(at, _)| !at.is_nan()) {
        let at = at + 0.0; // of -0.0 and 0.0 one is enough
        let new = || Wanted { at, names: HashMap::new(), read: 0, page: 0 };
        let wanted = times.entry(at.to_bits()).or_insert_with(new);
        *wanted.names.entry(name).or_default() += 1;
        wanted.page = (wanted.page + 1).min(FIRST_PAGE);
    }
    let (mut open, mut found): (Vec<Wanted<K>>, _) = (times.into_values().collect(), Vec::new());
    while !open.is_empty() {
        for some in open.chunks_mut(AT_ONCE) {
            look(redis, set, some, &name, &mut found).await?;
        }
        open.retain(|wanted| wanted.page > 0);
    }
    Ok(found)
}

/// Reads the next members of each of these times.
async fn look<K: Eq + Hash>(
    redis: &Redis,
    set: Set,
    some: &mut [Wanted<K>],
    name: &impl Fn(&[u8]) -> K,
    found: &mut Vec<Found>,
) -> RedisResult<()> {
    let mut reads = pipe();
    for Wanted { at, read, page, .. } in some.iter() {
        reads.cmd("ZRANGE").arg(set.key()).arg(at).arg(at).arg("BYSCORE");
        reads.arg("LIMIT").arg(read).arg(page);
    }
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    for (wanted, reply) in some.iter_mut().zip(&replies) {
        let members: Vec<Vec<u8>> = read(reply);
        wanted.read += members.len();
        let all = members.len() < wanted.page;
        wanted.page = next_page(wanted.page, members.iter().map(Vec::len));
        for raw in members {
            if let Some(count) = wanted.names.get_mut(&name(&raw)).filter(|count| **count > 0) {
                *count -= 1;
                found.push(Found::at(Place::Set { set, at: wanted.at }, raw));
            }
        }
        if all || wanted.names.values().all(|count| *count == 0) {
            wanted.page = 0;
        }
    }
    Ok(())
}
