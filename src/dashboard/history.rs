//! What has run and how long jobs have waited, in bars: from the samples that workers take each
//! minute, and from the totals of each day.

use chrono::DateTime;
use redis::RedisResult;

use super::chart::Bar;
use crate::engine::Redis;
use crate::engine::inspect::{self, Sample};

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Hour,
    Day,
    Month,
}

impl Range {
    pub(super) const ALL: [(Range, &str); 3] =
        [(Range::Hour, "1 hour"), (Range::Day, "24 hours"), (Range::Month, "30 days")];

    pub(super) fn parse(word: &str) -> Range {
        let known = Range::ALL.into_iter().find(|(range, _)| range.word() == word);
        known.map_or(Range::Hour, |(range, _)| range)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Range::Hour => "hour",
            Range::Day => "day",
            Range::Month => "month",
        }
    }

    /// What a bar stands for, in words.
    pub(super) fn each(self) -> &'static str {
        match self {
            Range::Hour => "a minute",
            Range::Day => "in a quarter of an hour",
            Range::Month => "a day",
        }
    }

    /// Minutes in a bar.
    fn step(self) -> i64 {
        if self == Range::Hour { 1 } else { 15 }
    }

    fn minutes(self) -> i64 {
        if self == Range::Hour { 60 } else { 24 * 60 }
    }
}

pub(super) async fn bars(redis: &Redis, range: Range, now: f64) -> RedisResult<Vec<Bar>> {
    if range == Range::Month {
        let days = inspect::days(redis, 30).await?;
        let bar = |day: inspect::Day| Bar {
            label: day.date,
            runs: Some((day.processed, day.failed)),
            latency: None,
        };
        return Ok(days.into_iter().map(bar).collect());
    }
    // one more, to know what the first bar began with
    let samples = inspect::history(redis, (range.minutes() + range.step()) as usize).await?;
    Ok(group(&samples, range, now as i64))
}

/// Samples say how many there had been by then: a bar is what came to that in its time.
fn group(samples: &[Sample], range: Range, now: i64) -> Vec<Bar> {
    let width = range.step() * 60;
    let end = now - now.rem_euclid(width) + width;
    let bars = range.minutes() / range.step();
    let mut before: Option<&Sample> = None;
    let mut all = Vec::new();
    for place in -1..bars {
        let from = end - (bars - place) * width;
        let inside: Vec<&Sample> =
            samples.iter().filter(|it| (from..from + width).contains(&it.at)).collect();
        let last = inside.last().copied();
        let more = |of: fn(&Sample) -> u64| Some(of(last?).saturating_sub(of(before?)));
        let runs = more(|it| it.processed).zip(more(|it| it.failed));
        let latency = inside
            .iter()
            .map(|it| it.latency)
            .fold(None, |most: Option<f64>, it| Some(most.map_or(it, |most| most.max(it))));
        before = last.or(before);
        if place >= 0 {
            all.push(Bar { label: label(from), runs, latency });
        }
    }
    all
}

fn label(from: i64) -> String {
    DateTime::from_timestamp(from, 0).map_or_else(String::new, |at| at.format("%H:%MZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: i64, processed: u64, failed: u64, latency: f64) -> Sample {
        Sample { at, processed, failed, latency, ..Sample::default() }
    }

    #[test]
    fn a_bar_is_what_came_to_it() {
        let now = 1_000 * 3_600 + 90;
        let minute = now - now % 60;
        let samples = [
            sample(minute - 180, 100, 1, 0.5),
            sample(minute - 120, 150, 1, 2.0),
            // a minute in which nobody looked
            sample(minute, 180, 4, 0.0),
        ];
        let bars = group(&samples, Range::Hour, now);
        assert_eq!(bars.len(), 60);
        let shown: Vec<_> = bars[56..].iter().map(|bar| (bar.runs, bar.latency)).collect();
        assert_eq!(
            shown,
            [
                (None, Some(0.5)),
                (Some((50, 0)), Some(2.0)),
                (None, None),
                (Some((30, 3)), Some(0.0))
            ]
        );
        assert_eq!(bars[59].label, "16:01Z");
        let bars = group(&samples, Range::Day, now);
        assert_eq!((bars.len(), bars[95].latency), (96, Some(0.0)));
    }

    #[test]
    fn counters_that_were_reset_are_nothing_negative() {
        let now = 6_000_000;
        let bars =
            group(&[sample(now - 60, 500, 9, 0.0), sample(now, 3, 0, 0.0)], Range::Hour, now);
        assert_eq!(bars[59].runs, Some((0, 0)));
    }
}
