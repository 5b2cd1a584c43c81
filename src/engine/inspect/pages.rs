//! A page of one of the sets, as people look through it: searched, sorted, and never in memory as a
//! whole, however many jobs are in it and whatever their size.

use std::hash::{DefaultHasher, Hash, Hasher};

use redis::{RedisResult, Value, cmd, pipe};

use super::super::redis::Redis;
use super::entry::Entry;
use super::fleet::{lenient, read};
use super::found::{Found, Place, enough};
use super::needle::Needle;
use super::picks::at_times;
use super::sets::{FIRST_PAGE, Members, Set, Walk, next_page, there};

/// What a page is to show.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Only jobs with this in their payload (class, jid, arguments, error, …); empty: all.
    /// Capitals and small letters are the same.
    pub search: String,
    /// In which order.
    pub sort: Sort,
    /// So many are passed over.
    pub from: usize,
    /// So many are shown, at most.
    pub count: usize,
}

/// By what jobs are sorted. What is equal is in the order of the times: of the dead the last first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// By the time that they wait for, or at which they died.
    Time {
        /// The last one first, else the first.
        last_first: bool,
    },
    /// By their classes.
    Class,
    /// By their queues.
    Queue,
    /// The one that has failed most often first.
    Failures,
    /// By the classes of their errors, and their messages.
    Error,
}

impl Default for Sort {
    fn default() -> Sort {
        Sort::Time { last_first: false }
    }
}

/// A page of a set.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// When this was so: the server's time, in epoch seconds.
    pub now: f64,
    /// How many jobs are in the set.
    pub total: usize,
    /// How many of them match.
    pub matching: usize,
    /// Those of this page: fewer than were asked for where they are large (some 32 MiB in all, or a
    /// single one). What comes next is after these.
    pub jobs: Vec<Found>,
    /// There are too many to sort them as was asked for: they are by time.
    pub unsorted: bool,
    /// Keys of another type than they should be.
    pub strange: usize,
}

/// So many are sorted by something else than time.
const SORTED: usize = 20_000;

/// A page of a set. With a search or an order that Redis has not, it walks through all of the set, in
/// steps that hold up nobody.
pub async fn page(redis: &Redis, set: Set, want: &Want) -> RedisResult<Page> {
    let mut count = pipe();
    count.cmd("TIME").cmd("ZCARD").arg(set.key());
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut count).await?;
    let (seconds, micros): (f64, f64) = read(&replies[0]);
    let (total, strange) = (read(&replies[1]), usize::from(replies[1].is_err()));
    let mut page = Page { now: seconds + micros / 1e6, total, strange, ..Page::default() };
    let needle = Needle::of(&want.search);
    page.unsorted = !matches!(want.sort, Sort::Time { .. }) && needle.is_none() && total > SORTED;
    let last_first = match want.sort {
        Sort::Time { last_first } => last_first,
        _ => set == Set::Dead,
    };
    if needle.is_none() && (matches!(want.sort, Sort::Time { .. }) || page.unsorted) {
        page.matching = total;
        page.jobs = by_rank(redis, set, want, last_first, &mut page.strange).await?;
        return Ok(page);
    }
    let mut hits = Hits::new(want, last_first, total);
    let mut walk = Walk::through(set, needle.as_ref().and_then(Needle::pattern));
    while let Some(members) = there(walk.next(redis).await, &mut page.strange)? {
        let fits = |raw: &[u8]| needle.as_ref().is_none_or(|needle| needle.is_in(raw));
        members.iter().filter(|(raw, _)| fits(raw)).for_each(|(raw, at)| hits.add(raw, *at));
    }
    page.matching = hits.count;
    page.unsorted = hits.unsorted;
    page.jobs = by_print(redis, set, &hits.chosen(want)).await?;
    Ok(page)
}

/// Those of the page, in this order.
async fn by_print(redis: &Redis, set: Set, chosen: &[Hit]) -> RedisResult<Vec<Found>> {
    let (mut jobs, mut rest, mut step) = (Vec::new(), chosen, FIRST_PAGE);
    while !rest.is_empty() && !enough(&jobs) {
        let (some, later) = rest.split_at(step.min(rest.len()));
        let wanted = some.iter().map(|hit| (hit.at, hit.print));
        let mut found = at_times(redis, set, wanted, print).await?;
        let place = |found: &Found| some.iter().position(|hit| hit.print == print(&found.raw));
        found.sort_by_cached_key(place);
        step = next_page(step, found.iter().map(|found| found.raw.len()));
        jobs.extend(found);
        rest = later;
    }
    Ok(jobs)
}

/// Those of the page, in the order that Redis has.
async fn by_rank(
    redis: &Redis,
    set: Set,
    want: &Want,
    last_first: bool,
    strange: &mut usize,
) -> RedisResult<Vec<Found>> {
    let (mut jobs, mut page) = (Vec::new(), FIRST_PAGE);
    while jobs.len() < want.count && !enough(&jobs) {
        let from = want.from.saturating_add(jobs.len());
        let to = from.saturating_add(page.min(want.count - jobs.len()) - 1);
        let mut range = cmd("ZRANGE");
        range.arg(set.key()).arg(from.min(FARTHEST)).arg(to.min(FARTHEST));
        if last_first {
            range.arg("REV");
        }
        let members = redis.query::<Members>(range.arg("WITHSCORES")).await;
        let members = there(members, strange)?;
        if members.is_empty() {
            break;
        }
        page = next_page(page, members.iter().map(|(raw, _)| raw.len()));
        jobs.extend(members.into_iter().map(|(raw, at)| Found::at(Place::Set { set, at }, raw)));
    }
    Ok(jobs)
}

/// No rank is greater.
const FARTHEST: usize = i64::MAX as usize;

/// What is kept of a job that matches, until it is known which are on the page: not its bytes.
struct Hit {
    column: String,
    at: f64,
    print: u64,
}

/// What has matched so far.
struct Hits {
    sort: Sort,
    last_first: bool,
    /// As many as come before the end of the page, or some more; to be sorted by a column: all.
    kept: Vec<Hit>,
    needed: usize,
    count: usize,
    unsorted: bool,
}

impl Hits {
    /// Of a page that begins behind the last job nothing is needed.
    fn new(want: &Want, last_first: bool, total: usize) -> Hits {
        let end = want.from.saturating_add(want.count).min(total);
        let needed = if want.from < total { end } else { 0 };
        let (kept, count, unsorted) = (Vec::new(), 0, false);
        Hits { sort: want.sort, last_first, kept, needed, count, unsorted }
    }

    fn by_time(&self) -> bool {
        self.unsorted || matches!(self.sort, Sort::Time { .. })
    }

    fn add(&mut self, raw: &[u8], at: f64) {
        self.count += 1;
        if !self.by_time() && self.count > SORTED {
            self.unsorted = true;
            self.kept.iter_mut().for_each(|hit| hit.column = String::new());
        }
        let column = if self.by_time() { String::new() } else { self.column(raw) };
        self.kept.push(Hit { column, at, print: print(raw) });
        if self.by_time() && self.kept.len() > self.needed.saturating_mul(2).max(SORTED) {
            self.sort();
            self.kept.truncate(self.needed);
        }
    }

    /// What it is sorted by, as a text.
    fn column(&self, raw: &[u8]) -> String {
        let entry = Entry::of(raw);
        match self.sort {
            Sort::Time { .. } => String::new(),
            Sort::Class => entry.class,
            Sort::Queue => entry.queue,
            Sort::Failures => format!("{:010}", u32::MAX - entry.failures),
            Sort::Error => entry.error.map_or(String::new(), |(class, message)| {
                format!("{class}: {}", message.chars().take(100).collect::<String>())
            }),
        }
    }

    fn sort(&mut self) {
        let last_first = self.last_first;
        self.kept.sort_unstable_by(|one, other| {
            let time = one.at.total_cmp(&other.at).then(one.print.cmp(&other.print));
            let time = if last_first { time.reverse() } else { time };
            one.column.cmp(&other.column).then(time)
        });
        // a walk may come by twice
        self.kept.dedup_by(|one, other| one.print == other.print && one.at == other.at);
    }

    /// Those of the page.
    fn chosen(mut self, want: &Want) -> Vec<Hit> {
        self.sort();
        self.kept.into_iter().skip(want.from).take(want.count).collect()
    }
}

/// What a member is told by, within a request.
fn print(raw: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    raw.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(set: Set, sort: Sort, from: usize, jobs: &[(&str, f64)]) -> Vec<f64> {
        let want = Want { sort, from, count: 2, ..Want::default() };
        let mut hits = Hits::new(&want, set == Set::Dead, jobs.len());
        jobs.iter().for_each(|(raw, at)| hits.add(raw.as_bytes(), *at));
        hits.chosen(&want).iter().map(|hit| hit.at).collect()
    }

    #[test]
    fn what_is_equal_is_by_time() {
        let jobs = [
            (r#"{"class":"B","retry_count":9}"#, 1.0),
            (r#"{"class":"A","retry_count":10,"error_class":"E","error_message":"x"}"#, 2.0),
            (r#"{"class":"A","retry_count":9,"error_class":"E","error_message":"a"}"#, 3.0),
            (r#"{"class":"A","retry_count":9,"error_class":"E","error_message":"a"}"#, 3.0),
        ];
        assert_eq!(chosen(Set::Retries, Sort::Class, 0, &jobs), [2.0, 3.0]);
        assert_eq!(chosen(Set::Dead, Sort::Class, 0, &jobs), [3.0, 2.0]);
        assert_eq!(chosen(Set::Retries, Sort::Class, 2, &jobs), [1.0]);
        assert_eq!(chosen(Set::Retries, Sort::Failures, 0, &jobs), [2.0, 1.0]);
        assert_eq!(chosen(Set::Retries, Sort::Error, 1, &jobs), [3.0, 2.0]);
    }

    #[test]
    fn only_what_a_page_needs_is_kept() {
        let want = Want { from: 3, count: 2, ..Want::default() };
        let mut hits = Hits::new(&want, false, 100_000);
        for n in 0..100_000 {
            hits.add(format!("{n}").as_bytes(), f64::from((n * 7_919) % 100_000));
        }
        assert!(hits.kept.len() <= SORTED + 1 && hits.count == 100_000);
        let chosen = hits.chosen(&want);
        assert_eq!(chosen.iter().map(|hit| hit.at).collect::<Vec<_>>(), [3.0, 4.0]);
        let mut hits = Hits::new(&Want { sort: Sort::Class, ..want.clone() }, false, SORTED + 1);
        for n in 0..=SORTED {
            hits.add(format!("{n}").as_bytes(), n as f64);
        }
        assert!(hits.unsorted && hits.kept.iter().all(|hit| hit.column.is_empty()));
        let mut hits = Hits::new(&Want { from: usize::MAX, ..want }, false, 100_000);
        (0..100_000).for_each(|n: u32| hits.add(&n.to_le_bytes(), f64::from(n)));
        assert!(hits.kept.len() <= SORTED && hits.count == 100_000, "{}", hits.kept.len());
    }
}
