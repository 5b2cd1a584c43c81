//! What people do with jobs that wait: try them again, bury them, delete them. Each in one step, so
//! that a job is never in between, and only where it was found.

use std::collections::BTreeMap;
use std::time::Instant;

use redis::{RedisResult, Value};

use super::super::jid::known_as;
use super::super::keys;
use super::super::redis::Redis;
use super::super::scripts;
use super::super::status::State;
use super::found::{Found, Place};
use super::moves::{Edit, Move, Outcome, plan};
use super::needle::Needle;
use super::sets::{Set, Walk, list};

/// What became of many.
#[derive(Clone, Debug, Default)]
pub struct Edited {
    /// How many it is done with.
    pub done: usize,
    /// Those that were left as they are, the first of them, with their jids …
    pub left: Vec<(String, Outcome)>,
    /// … and how many there are.
    pub left_in_all: usize,
    /// How many jobs the dead set had to let go, being full.
    pub trimmed: usize,
    /// The time was up before all were looked at. (What is done, stays done: the same once more
    /// does the rest.)
    pub unfinished: bool,
}

/// So many of those that were left are told.
const TOLD: usize = 20;
/// Jobs to a script.
const SLICE: usize = 200;
/// … and bytes, about.
const SLICE_BYTES: usize = 4 << 20;

/// Does it with a job where it was found.
pub async fn edit(redis: &Redis, edit: Edit, found: &Found) -> RedisResult<(Outcome, usize)> {
    let Some((source, set)) = source(&found.place) else { return Ok((Outcome::Runs, 0)) };
    let planned = plan(edit, set, &found.raw, redis.now());
    let (mut outcomes, trimmed) = carry_out(redis, &source, set, vec![planned]).await?;
    Ok((outcomes.pop().unwrap_or(Outcome::Gone), trimmed))
}

/// Does it with all jobs that are in a set by now and have this text in their payload (as a page
/// searches; empty: all), until the time is up, and tells how far it is: of how many in the set.
pub async fn edit_all(
    redis: &Redis,
    edit: Edit,
    set: Set,
    search: &str,
    until: Option<Instant>,
    mut progress: impl FnMut(usize, usize),
) -> RedisResult<Edited> {
    let (before, mut all) = (list(redis, set, 0).await?, Edited::default());
    let needle = Needle::of(search);
    let mut walk = Walk::through(set, needle.as_ref().and_then(Needle::pattern));
    let late = || until.is_some_and(|until| Instant::now() >= until);
    // what has come back in the meantime, because it failed again, is not done twice
    let since = |at: f64| set == Set::Dead && at > before.now;
    let fits = |raw: &[u8]| needle.as_ref().is_none_or(|needle| needle.is_in(raw));
    while let Some(page) = walk.next(redis).await? {
        let page = page.into_iter().filter(|(raw, at)| !since(*at) && fits(raw));
        let page: Vec<Vec<u8>> = page.map(|(raw, _)| raw).collect();
        if page.is_empty() && late() {
            return Ok(Edited { unfinished: true, ..all });
        }
        for slice in slices(&page) {
            if late() {
                return Ok(Edited { unfinished: true, ..all });
            }
            all.carry_out(redis, edit, (set.key(), Some(set)), slice).await?;
            progress(all.done + all.left_in_all, before.total);
        }
    }
    Ok(all)
}

/// Does it with each of these where it was found.
pub async fn edit_each(redis: &Redis, edit: Edit, jobs: Vec<Found>) -> RedisResult<Edited> {
    let mut all = Edited::default();
    let mut sources: BTreeMap<String, (Option<Set>, Vec<Vec<u8>>)> = BTreeMap::new();
    for found in jobs {
        match source(&found.place) {
            Some((key, set)) => sources.entry(key).or_insert((set, Vec::new())).1.push(found.raw),
            None => all.note(&found.raw, Outcome::Runs),
        }
    }
    for (key, (set, jobs)) in sources {
        for slice in slices(&jobs) {
            all.carry_out(redis, edit, (&key, set), slice).await?;
        }
    }
    Ok(all)
}

/// What goes into one script, and into the next.
fn slices(mut rest: &[Vec<u8>]) -> impl Iterator<Item = &[Vec<u8>]> {
    std::iter::from_fn(move || {
        let (slice, later) = rest.split_at(slice(rest).min(rest.len()));
        rest = later;
        Some(slice).filter(|slice| !slice.is_empty())
    })
}

/// How many of these go into one script.
fn slice(jobs: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let fit = jobs.iter().take(SLICE).take_while(|raw| {
        bytes += raw.len();
        bytes <= SLICE_BYTES
    });
    fit.count().max(1)
}

/// The key that a job is under, and which set that is. What runs is not touched.
fn source(place: &Place) -> Option<(String, Option<Set>)> {
    match place {
        Place::Queue { name, .. } => Some((keys::queue(name), None)),
        Place::Set { set, .. } => Some((set.key().to_owned(), Some(*set))),
        Place::Process { .. } => None,
    }
}

impl Edited {
    async fn carry_out(
        &mut self,
        redis: &Redis,
        edit: Edit,
        (key, set): (&str, Option<Set>),
        jobs: &[Vec<u8>],
    ) -> RedisResult<()> {
        let plans = jobs.iter().map(|raw| plan(edit, set, raw, redis.now())).collect();
        let (outcomes, trimmed) = carry_out(redis, key, set, plans).await?;
        self.trimmed += trimmed;
        jobs.iter().zip(outcomes).for_each(|(raw, outcome)| self.note(raw, outcome));
        Ok(())
    }

    fn note(&mut self, raw: &[u8], outcome: Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Gone => {} // a walk may come by twice
            other => {
                self.left_in_all += 1;
                if self.left.len() < TOLD {
                    self.left.push((super::entry::Entry::of(raw).jid, other));
                }
            }
        }
    }
}

/// The outcomes in their order, and how many jobs the dead set had to let go.
async fn carry_out(
    redis: &Redis,
    source: &str,
    set: Option<Set>,
    plans: Vec<Result<Move, Outcome>>,
) -> RedisResult<(Vec<Outcome>, usize)> {
    let moves: Vec<&Move> = plans.iter().filter_map(|plan| plan.as_ref().ok()).collect();
    let mut answers = Vec::new();
    let mut trimmed = 0;
    if !moves.is_empty() {
        let now = redis.now();
        let mut script = scripts::EDIT.prepare_invoke();
        script.arg(if set.is_some() { "ZREM" } else { "LREM" }).arg(source);
        script.arg(keys::QUEUES).arg(keys::QUEUE_PREFIX).arg(keys::DEAD).arg(now);
        script.arg(now - keys::DEAD_TTL.as_secs_f64()).arg(-keys::DEAD_MAX).arg(keys::COUNTERS);
        moves.iter().for_each(|it| add(&mut script, it));
        let ran = redis.connection().await?.run::<Vec<Value>>(&script).await;
        let queues = moves.iter().map(|it| &it.queue).filter(|queue| !queue.is_empty());
        queues.for_each(|queue| redis.wakes().pushed(queue));
        answers = ran?;
        trimmed = redis::from_redis_value(answers.remove(0)).unwrap_or(0);
    }
    let mut answers = answers.into_iter().map(outcome);
    let each = plans.into_iter().map(|plan| match plan {
        Ok(_) => answers.next().unwrap_or(Outcome::Gone),
        Err(outcome) => outcome,
    });
    Ok((each.collect(), trimmed))
}

fn add(script: &mut redis::ScriptInvocation<'_>, it: &Move) {
    let lock = it.ties.lock.as_ref().map_or(String::new(), |name| keys::lock(name));
    let take = it.take.map_or(String::new(), |seconds| seconds.to_string());
    script.arg(&it.member).arg(&it.payload).arg(&it.queue).arg(lock).arg(take).arg(&it.jid);
    let status = it.ties.status_for.zip(it.state);
    let (kept_for, state) = status.unwrap_or((0, State::Dead));
    let key = status.map_or(String::new(), |_| keys::status(&known_as(&it.member, Some(&it.jid))));
    script.arg(key).arg(kept_for).arg(state.as_str());
}

fn outcome(answer: Value) -> Outcome {
    let text = |value| redis::from_redis_value::<String>(value).unwrap_or_default();
    match answer {
        Value::Int(1) => Outcome::Done,
        Value::Int(_) => Outcome::Gone,
        Value::Array(mut holder) if !holder.is_empty() => Outcome::Locked(text(holder.remove(0))),
        other => Outcome::Refused(text(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_script_takes_more_than_the_server_likes() {
        let jobs = |count: usize, size: usize| vec![vec![0; size]; count];
        assert_eq!(slice(&jobs(500, 1_000)), SLICE);
        assert_eq!(slice(&jobs(500, 1 << 20)), 4);
        assert_eq!(slice(&jobs(2, 8 << 20)), 1);
        let sizes = |jobs: &[Vec<u8>]| slices(jobs).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&jobs(6, 1 << 20)), [4, 2]);
        assert_eq!(sizes(&jobs(2, 8 << 20)), [1, 1]);
        assert!(sizes(&[]).is_empty());
    }
}
