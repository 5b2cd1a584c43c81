//! The judgement on a storm: what was lost, what ran more than once, and whether a blow of the
//! driver explains it. Pure: it reads the record and the engine's own account.
//!
//! A job may start again only if the process of its last run was hit before, while that run was
//! under way. One that had come to its end may be repeated only if the blow fell in the moment
//! between its last line and the record of its end.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ledger::{End, Mark, Record, Run, Sign};

/// Between the last line of a job and the record of its end, as slow as machines may be.
const MOMENT: u64 = 5_000;
/// Between a thaw and the news that the lease is lost.
const NEWS: u64 = 2_000;
/// An abort comes with the end of the grace, not before.
const EARLY: u64 = 20;

/// What the driver and Redis know beside the record.
#[derive(Default)]
pub struct Account {
    /// Enqueued for certain, and perhaps (no answer came).
    pub enqueued: Vec<String>,
    pub doubtful: Vec<String>,
    /// In the dead set as poison.
    pub buried: Vec<String>,
    /// The engine's counters, and what stopped workers say they gave back.
    pub rescued: u64,
    pub interrupted: u64,
    pub given_back: u64,
    pub processed: u64,
    /// Between two beats, in ms: what a killed process has counted since is lost.
    pub beat: u64,
}

/// The result.
#[derive(Default, Debug)]
pub struct Verdict {
    pub jobs: usize,
    pub lost: Vec<String>,
    /// Starts beyond the first of an attempt, and those of them that nothing explains.
    pub duplicated: usize,
    pub unexplained: Vec<String>,
    /// What does not add up otherwise.
    pub wrong: Vec<String>,
    /// From a blow to the end of the jobs it cut off, or from the end of a disturbance to the
    /// next end of a job: the longest, in ms.
    pub recovery: u64,
}

/// Why a job started again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    /// Its process was killed or frozen, at this mark.
    Rescued(u64),
    /// Its process stopped, at this mark; Redis was there to hear of it, or not.
    Returned { ms: u64, heard: bool },
    /// The start of a thawed process that does not know yet that others have its job.
    Stray,
}

struct Court<'a> {
    record: &'a Record,
    /// The marks of each worker.
    blows: HashMap<&'a str, Vec<&'a Mark>>,
    /// Places and times of disturbances.
    outages: Vec<(&'a Mark, Option<&'a Mark>)>,
}

pub fn judge(record: &Record, account: &Account) -> Verdict {
    let court = Court::of(record);
    let mut runs: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &record.runs {
        runs.entry(&run.jid).or_default().push(run);
    }
    let jobs = account.enqueued.len();
    let mut verdict = Verdict { jobs, recovery: court.healing(), ..Verdict::default() };
    let buried: HashSet<&String> = account.buried.iter().collect();
    for jid in &account.enqueued {
        let done = runs.get(jid.as_str()).is_some_and(|runs| runs.iter().any(|r| court.done(r)));
        if !done && !buried.contains(jid) {
            verdict.lost.push(jid.clone());
        }
    }
    let known: HashSet<&str> =
        account.enqueued.iter().chain(&account.doubtful).map(String::as_str).collect();
    let mut explained = 0;
    for (jid, runs) in &runs {
        if !known.contains(jid) {
            verdict.wrong.push(format!("{jid} ran and was never enqueued"));
        }
        explained += court.examine(runs, &mut verdict);
    }
    let moved = account.rescued + account.given_back + account.interrupted;
    if explained > moved {
        let text = format!("{explained} runs were repeated, and only {moved} jobs were moved back");
        verdict.wrong.push(text);
    }
    court.compare_processed(account, &mut verdict);
    verdict
}

impl<'a> Court<'a> {
    fn of(record: &'a Record) -> Court<'a> {
        let mut blows: HashMap<&str, Vec<&Mark>> = HashMap::new();
        let mut outages: Vec<(&Mark, Option<&Mark>)> = Vec::new();
        for mark in &record.marks {
            match mark.sign {
                Sign::Fault => outages.push((mark, None)),
                Sign::Healed => outages.last_mut().expect("a fault before").1 = Some(mark),
                _ => blows.entry(&mark.worker).or_default().push(mark),
            }
        }
        Court { record, blows, outages }
    }

    fn blows(&self, worker: &str) -> impl Iterator<Item = &'a Mark> {
        self.blows.get(worker).into_iter().flatten().copied()
    }

    /// Whether Redis was disturbed at any time between the two.
    fn disturbed(&self, from_ms: u64, to_ms: u64) -> bool {
        self.outages.iter().any(|(fault, healed)| {
            let over = healed.map_or(u64::MAX, |healed| healed.moment.ms + MOMENT);
            fault.moment.ms <= to_ms && over >= from_ms
        })
    }

    /// Whether a run came to a good end and the job was its own until then.
    fn done(&self, run: &Run) -> bool {
        let Some((End::Ok, end)) = run.end else { return false };
        let thaws = |mark: &Mark| {
            mark.sign == Sign::Thaw && (run.start.place..end.place).contains(&mark.moment.place)
        };
        !self.blows(&run.worker).any(thaws)
    }

    /// All runs of one job, in their order. Returns how many of the repeated ones took a moving
    /// back that the engine has counted.
    fn examine(&self, runs: &[&Run], verdict: &mut Verdict) -> u64 {
        let mut attempts: BTreeMap<u32, Vec<&Run>> = BTreeMap::new();
        for run in runs {
            attempts.entry(run.attempt).or_default().push(run);
        }
        let mut counted = 0;
        for (attempt, runs) in &attempts {
            let failed = |run: &&Run| matches!(run.end, Some((End::Failed, _)));
            let before = attempts.get(&(attempt - 1)).is_some_and(|runs| runs.iter().any(failed));
            if *attempt > 1 && !before {
                let jid = &runs[0].jid;
                verdict.unexplained.push(format!("{jid}: attempt {attempt} after no failure"));
            }
            verdict.duplicated += runs.len() - 1;
            counted += self.repeated(runs, verdict);
        }
        counted
    }

    fn repeated(&self, runs: &[&Run], verdict: &mut Verdict) -> u64 {
        let (mut last, mut counted) = (runs[0], 0);
        for run in &runs[1..] {
            let Some(cause) = self.cause(last, run) else {
                verdict.unexplained.push(format!("{last:?} and again {run:?}"));
                last = run;
                continue;
            };
            counted += u64::from(!matches!(cause, Cause::Returned { heard: false, .. }));
            if let Cause::Rescued(ms) | Cause::Returned { ms, .. } = cause {
                let ended = |other: &&&Run| other.start.place >= run.start.place;
                let ends = runs.iter().filter(ended).filter_map(|run| run.end);
                let end = ends.map(|(_, end)| end.ms).min().unwrap_or(ms);
                verdict.recovery = verdict.recovery.max(end.saturating_sub(ms));
                last = run;
            }
        }
        counted
    }

    /// What made the job of this run start again.
    fn cause(&self, run: &Run, next: &Run) -> Option<Cause> {
        let before = |mark: &&Mark| mark.moment.place < next.start.place;
        let mut blows = self.blows(&run.worker).filter(before);
        blows.find_map(|mark| self.cut(run, mark)).or_else(|| self.stray(next))
    }

    /// Whether a process took a job before it froze: the run began before the thaw, or so soon
    /// after it that the process did not know yet.
    fn stale(&self, run: &Run, freeze: &Mark) -> bool {
        let thaw =
            |mark: &&Mark| mark.sign == Sign::Thaw && mark.moment.place > freeze.moment.place;
        let thaw = self.blows(&run.worker).find(thaw);
        thaw.is_none_or(|thaw| run.start.ms < thaw.moment.ms + NEWS)
    }

    /// Whether this blow may have kept the run from its end, or its end from being known.
    fn cut(&self, run: &Run, mark: &Mark) -> Option<Cause> {
        let ms = mark.moment.ms;
        let hidden = |end: u64| end < ms && self.disturbed(end, ms);
        if mark.sign == Sign::Freeze && !self.stale(run, mark) {
            return None;
        }
        match (mark.sign, run.end) {
            (Sign::Kill | Sign::Freeze, None) => Some(Cause::Rescued(ms)),
            (Sign::Kill | Sign::Freeze, Some((_, end))) => {
                let under_way = end.place > mark.moment.place || end.ms + MOMENT >= ms;
                (under_way || hidden(end.ms)).then_some(Cause::Rescued(ms))
            }
            (Sign::Stop(grace), end) => {
                let heard = !self.disturbed(ms, ms + grace + MOMENT);
                let returned = Some(Cause::Returned { ms, heard });
                match end {
                    None | Some((End::Left, _)) => returned,
                    // aborted between its last line and its end, or nobody was there to hear
                    Some((_, end)) if end.ms + EARLY >= ms + grace || !heard => returned,
                    Some(_) => None,
                }
            }
            _ => None,
        }
    }

    fn stray(&self, next: &Run) -> Option<Cause> {
        let thawed = |mark: &Mark| {
            let (place, ms) = (mark.moment.place, mark.moment.ms);
            mark.sign == Sign::Thaw && place < next.start.place && next.start.ms <= ms + NEWS
        };
        self.blows(&next.worker).any(thawed).then_some(Cause::Stray)
    }

    /// From the end of each disturbance to the next end of a job.
    fn healing(&self) -> u64 {
        let next = |mark: &Mark| {
            let ends = self.record.runs.iter().filter_map(|run| Some(run.end?.1));
            let after = ends.filter(|end| end.place > mark.moment.place);
            after.map(|end| end.ms - mark.moment.ms.min(end.ms)).min()
        };
        self.outages.iter().filter_map(|(_, healed)| next((*healed)?)).max().unwrap_or(0)
    }

    /// Each end is counted once. A process that is killed takes its numbers since the last beat
    /// with it, one that stops without Redis too, and a run that is aborted after its last line
    /// has none.
    fn compare_processed(&self, account: &Account, verdict: &mut Verdict) {
        let ended = |run: &&Run| matches!(run.end, Some((End::Ok | End::Failed, _)));
        let ends: Vec<&Run> = self.record.runs.iter().filter(ended).collect();
        let uncertain = ends.iter().filter(|run| self.perhaps_uncounted(run, account.beat)).count();
        let most = ends.len() as u64;
        let least = most - uncertain as u64;
        if !(least..=most).contains(&account.processed) {
            let processed = account.processed;
            let text = format!("stat:processed is {processed}, not from {least} to {most}");
            verdict.wrong.push(text);
        }
    }

    fn perhaps_uncounted(&self, run: &Run, beat: u64) -> bool {
        let Some((_, end)) = run.end else { return false };
        self.blows(&run.worker).any(|mark| {
            let ms = mark.moment.ms;
            match mark.sign {
                Sign::Kill => end.ms + beat + MOMENT >= ms || self.disturbed(end.ms, ms),
                Sign::Stop(grace) => {
                    let aborted = end.ms + EARLY >= ms + grace;
                    let missed = self.disturbed(ms, ms + grace + MOMENT);
                    end.place > mark.moment.place && aborted || missed
                }
                _ => false,
            }
        })
    }
}

#[cfg(test)]
mod tests;
