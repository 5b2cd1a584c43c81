//! Where jobs are, found by their jids: there is no index, so the sets, the queues and what is in
//! flight are looked through, in steps that hold up nobody.

use redis::{RedisResult, cmd};

use super::super::field::split_name;
use super::super::keys;
use super::super::records;
use super::super::redis::Redis;
use super::entry::Entry;
use super::fleet::{Processes, processes};
use super::found::{Found, Place};
use super::queue_list::{Known, Pages, all_names, names};
use super::sets::{Set, Walk, there};
use super::wanted::Wanted;

/// What a search brought.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The jobs; one with the same jid as another counts, too.
    pub found: Vec<Found>,
    /// The live processes.
    pub processes: Processes,
    /// Keys of another type than they should be.
    pub strange: usize,
}

/// Looks for jobs with these jids everywhere. One that moves meanwhile, in the way in which jobs
/// move, is met all the same; if nothing is found, it looks once more.
pub async fn find(redis: &Redis, jids: &[String], known: &Known) -> RedisResult<Search> {
    let wanted = Wanted::of(jids.iter().map(String::as_str));
    let mut search = Search::default();
    for _ in 0..2 {
        search = Search::default();
        search.set(redis, &wanted, Set::Scheduled).await?;
        search.set(redis, &wanted, Set::Retries).await?;
        search.queues(redis, &wanted, known).await?;
        search.in_flight(redis, &wanted).await?;
        search.set(redis, &wanted, Set::Dead).await?;
        if !search.found.is_empty() {
            break;
        }
    }
    Ok(search)
}

/// Whether a set has a job with this jid.
pub(crate) async fn is_in(redis: &Redis, set: Set, jid: &str) -> RedisResult<bool> {
    let wanted = Wanted::of([jid]);
    let mut walk = Walk::through(set, wanted.pattern());
    while let Some(page) = walk.next(redis).await? {
        if page.iter().any(|(raw, _)| wanted.is(raw)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Search {
    async fn set(&mut self, redis: &Redis, wanted: &Wanted<'_>, set: Set) -> RedisResult<()> {
        let mut walk = Walk::through(set, wanted.pattern());
        while let Some(page) = there(walk.next(redis).await, &mut self.strange)? {
            for (raw, at) in page.into_iter().filter(|(raw, _)| wanted.is(raw)) {
                self.add(Place::Set { set, at }, raw);
            }
        }
        Ok(())
    }

    async fn queues(
        &mut self,
        redis: &Redis,
        wanted: &Wanted<'_>,
        known: &Known,
    ) -> RedisResult<()> {
        self.processes = processes(redis).await?;
        let mut names = all_names(redis, known, &self.processes, &mut self.strange).await?;
        names.insert("default".to_owned());
        for name in names {
            let mut pages = Pages::of(&name);
            loop {
                let page = pages.next(redis, &mut self.strange).await?;
                if page.is_empty() {
                    break;
                }
                for (ahead, raw) in page.into_iter().filter(|(_, raw)| wanted.is(raw)) {
                    self.add(Place::Queue { name: name.clone(), ahead }, raw);
                }
            }
        }
        Ok(())
    }

    async fn in_flight(&mut self, redis: &Redis, wanted: &Wanted<'_>) -> RedisResult<()> {
        self.processes = processes(redis).await?;
        for identity in names(redis, keys::OWNERS, &mut self.strange).await? {
            let key = keys::inflight(&identity);
            let mut fields = cmd("HKEYS");
            let fields = redis.query::<Vec<Vec<u8>>>(fields.arg(&key)).await;
            let fields = there(fields, &mut self.strange)?;
            let fields: Vec<String> =
                fields.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
            let mut rest = &fields[..];
            while !rest.is_empty() {
                let values = records::read(&redis.connection().await?, &key, rest).await?;
                for (field, raw) in rest.iter().zip(&values) {
                    let raw = raw.as_deref().filter(|raw| wanted.is(raw));
                    if let (Some(raw), Some((_, queue))) = (raw, split_name(field)) {
                        self.add(self.held(&identity, queue, raw), raw.to_vec());
                    }
                }
                rest = &rest[values.len().max(1).min(rest.len())..];
            }
        }
        self.in_ruby(wanted);
        Ok(())
    }

    fn held(&self, identity: &str, queue: &str, raw: &[u8]) -> Place {
        let process = self.processes.all.iter().find(|process| process.identity == identity);
        let jid = Entry::of(raw).jid;
        let since = process.and_then(|it| it.running.iter().find(|job| job.jid == jid));
        Place::Process {
            identity: identity.to_owned(),
            alive: process.is_some(),
            queue: queue.to_owned(),
            since: since.map(|job| job.run_at),
        }
    }

    /// Sidekiq's processes only tell what they run.
    fn in_ruby(&mut self, wanted: &Wanted<'_>) {
        let ruby = self.processes.all.iter().filter(|process| !process.ours);
        let running = ruby.flat_map(|it| it.running.iter().map(move |job| (it, job)));
        let found = running.filter(|(_, job)| wanted.has(&job.jid));
        let found = found.map(|(process, job)| Found {
            place: Place::Process {
                identity: process.identity.clone(),
                alive: true,
                queue: job.queue.clone(),
                since: Some(job.run_at),
            },
            entry: Entry {
                class: job.class.clone(),
                jid: job.jid.clone(),
                queue: job.queue.clone(),
                ..Entry::default()
            },
            raw: Vec::new(),
        });
        self.found.extend(found.collect::<Vec<_>>());
    }

    /// The same bytes in the same place may be met twice, and a job that moves in both its places:
    /// the later one counts.
    fn add(&mut self, place: Place, raw: Vec<u8>) {
        let same = |it: &Found| match (&it.place, &place) {
            (Place::Queue { name, .. }, Place::Queue { name: other, .. }) => {
                name == other && it.raw == raw
            }
            (Place::Set { set, .. }, Place::Set { set: other, .. }) => {
                set == other && it.raw == raw
            }
            (_, Place::Process { .. }) => it.raw == raw,
            _ => false,
        };
        self.found.retain(|it| !same(it));
        self.found.push(Found::at(place, raw));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_moves_is_in_the_later_place() {
        let mut search = Search::default();
        let queue = |ahead| Place::Queue { name: "q".into(), ahead };
        let set = Place::Set { set: Set::Dead, at: 1.0 };
        let held =
            Place::Process { identity: "a".into(), alive: true, queue: "q".into(), since: None };
        search.add(queue(7), b"{}".to_vec());
        search.add(queue(6), b"{}".to_vec());
        assert_eq!(search.found.iter().map(|it| &it.place).collect::<Vec<_>>(), [&queue(6)]);
        search.add(held.clone(), b"{}".to_vec());
        search.add(set.clone(), b"{\"a\":1}".to_vec());
        assert_eq!(search.found.iter().map(|it| &it.place).collect::<Vec<_>>(), [&held, &set]);
    }
}
