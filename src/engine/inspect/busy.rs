//! What runs, as people look at it: the longest first, with what is known of each.

use redis::{Pipeline, RedisResult, Value, pipe};

use super::super::jid::known_as;
use super::super::keys;
use super::super::redis::Redis;
use super::super::status::Status;
use super::fleet::{Running, lenient, processes, read, work_entry};
use super::found::args;
use super::whereabouts::texts;

/// Some of the jobs that run.
#[derive(Clone, Debug, Default)]
pub struct BusyPage {
    /// When this was so: the server's time, in epoch seconds.
    pub now: f64,
    /// How many run, as of the last heartbeats.
    pub total: usize,
    /// Those of this page.
    pub jobs: Vec<Busy>,
    /// Entries that could not be read.
    pub unreadable: usize,
}

/// A job that runs.
#[derive(Clone, Debug)]
pub struct Busy {
    /// The process that runs it.
    pub identity: String,
    /// Whether that is of this engine; else it is a Ruby process.
    pub process_ours: bool,
    /// The job.
    pub job: Running,
    /// Its arguments as JSON, which may be secret; of long ones the beginning. (Of a job of more
    /// than 16 KiB our processes tell only how long it is.)
    pub args: Option<String>,
    /// How far it is, if that is kept.
    pub status: Option<Status>,
}

/// So many bytes of arguments are told.
const LONGEST: usize = 64 << 10;
/// Work hashes read in one write: the payloads come along.
const AT_ONCE: usize = 20;

/// The running jobs of all processes, the longest first, so many passed over, so many at most.
pub async fn busy(redis: &Redis, from: usize, count: usize) -> RedisResult<BusyPage> {
    let fleet = processes(redis).await?;
    let running = fleet.all.iter().flat_map(|it| it.running.iter().map(move |job| (it, job)));
    let mut running: Vec<_> = running.collect();
    running.sort_by(|(_, one), (_, other)| one.run_at.total_cmp(&other.run_at));
    let total = running.len();
    let jobs = running.into_iter().skip(from).take(count).map(|(process, job)| Busy {
        identity: process.identity.clone(),
        process_ours: process.ours,
        job: job.clone(),
        args: None,
        status: None,
    });
    let mut jobs: Vec<Busy> = jobs.collect();
    let mut identities: Vec<String> = jobs.iter().map(|job| job.identity.clone()).collect();
    identities.sort();
    identities.dedup();
    for identities in identities.chunks(AT_ONCE) {
        arguments(redis, identities, &mut jobs).await?;
    }
    statuses(redis, &mut jobs).await?;
    Ok(BusyPage { now: fleet.now, total, jobs, unreadable: fleet.unreadable })
}

/// Reads the work of these processes once more: of most jobs, nobody wants the arguments.
async fn arguments(redis: &Redis, identities: &[String], jobs: &mut [Busy]) -> RedisResult<()> {
    let mut reads = pipe();
    for identity in identities {
        reads.cmd("HVALS").arg(keys::work(identity));
    }
    add(&lenient(redis, &mut reads).await?, identities, jobs);
    // Sidekiq's name for it through 6.4.1
    let rest = jobs.iter().filter(|job| job.args.is_none() && !job.process_ours);
    let older: Vec<String> =
        rest.map(|job| job.identity.clone()).filter(|it| identities.contains(it)).collect();
    let mut reads: Pipeline = pipe();
    for identity in &older {
        reads.cmd("HVALS").arg(keys::workers(identity));
    }
    if !older.is_empty() {
        add(&lenient(redis, &mut reads).await?, &older, jobs);
    }
    Ok(())
}

fn add(replies: &[RedisResult<Value>], identities: &[String], jobs: &mut [Busy]) {
    for (identity, reply) in identities.iter().zip(replies) {
        let entries: Vec<Vec<u8>> = read(reply);
        let mut of_it: Vec<_> = jobs.iter_mut().filter(|job| job.identity == *identity).collect();
        for (running, payload) in entries.iter().filter_map(|entry| work_entry(entry)) {
            let same = of_it.iter_mut().find(|job| job.args.is_none() && job.job == running);
            if let Some(job) = same {
                job.args = args(payload.as_bytes()).map(|args| beginning(&args).to_owned());
            }
        }
    }
}

fn beginning(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

async fn statuses(redis: &Redis, jobs: &mut [Busy]) -> RedisResult<()> {
    let mut reads = pipe();
    for Busy { job, .. } in jobs.iter() {
        reads.cmd("HGETALL").arg(keys::status(&known_as(&[], Some(&job.jid))));
    }
    if jobs.is_empty() {
        return Ok(());
    }
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    for (job, reply) in jobs.iter_mut().zip(replies) {
        job.status = Status::read(texts(reply.unwrap_or(Value::Nil)));
    }
    Ok(())
}
