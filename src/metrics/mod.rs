//! Metrics in Prometheus's text format: of the fleet, as Redis knows it (`fleet`), and of one
//! worker process (`worker`). docs/metrics.md has the table of them.
//!
//! Names of queues, and all that others write into Redis, come from strangers: they are shown as
//! `text::plain` shows them, and those that then look alike are one.

pub mod fleet;
pub mod worker;

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::engine::{Class, Spread, resident_kib};
use crate::text::plain;

/// What a scraper is told that the text is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Names that are told apart; the others are one.
const APART: usize = 500;
/// What those are called.
const OTHER: &str = "other";

/// Metrics, and all that is said about them.
#[derive(Default)]
pub struct Page {
    families: Vec<MetricFamily>,
}

type Label = (&'static str, String);

impl Page {
    /// The text.
    pub fn text(&self) -> String {
        // nothing can be wrong: no family is without a metric
        TextEncoder::new().encode_to_string(&self.families).unwrap_or_default()
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [(Vec::new(), value)]);
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<Label>, f64)>,
    ) {
        let metrics = values.into_iter().map(|(labels, value)| {
            let (mut metric, mut gauge) = (labelled(labels), Gauge::default());
            gauge.set_value(value);
            metric.set_gauge(gauge);
            metric
        });
        self.add(MetricType::GAUGE, name, help, metrics.collect());
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [(Vec::new(), value)]);
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<Label>, u64)>,
    ) {
        let metrics = values.into_iter().map(|(labels, value)| {
            let (mut metric, mut counter) = (labelled(labels), Counter::default());
            counter.set_value(value as f64);
            metric.set_counter(counter);
            metric
        });
        self.add(MetricType::COUNTER, name, help, metrics.collect());
    }

    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        spreads: impl IntoIterator<Item = (Vec<Label>, &'a Spread)>,
    ) {
        let metrics = spreads.into_iter().map(|(labels, spread)| {
            let (mut metric, mut histogram) = (labelled(labels), Histogram::default());
            let bucket = |(below, count): &(f64, u64)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*below);
                bucket.set_cumulative_count(*count);
                bucket
            };
            histogram.set_bucket(spread.below.iter().map(bucket).collect());
            histogram.set_sample_count(spread.count);
            histogram.set_sample_sum(spread.seconds);
            metric.set_histogram(histogram);
            metric
        });
        self.add(MetricType::HISTOGRAM, name, help, metrics.collect());
    }

    fn add(&mut self, kind: MetricType, name: &str, help: &str, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.push(family);
    }

    /// Runs and run times by class, under these two names.
    fn classes(&mut self, runs: &str, took: &str, classes: &[Class]) {
        let name = |class: &Class| class.name.clone().unwrap_or_else(|| OTHER.to_owned());
        let named: Vec<(String, &Class)> = classes.iter().map(|it| (name(it), it)).collect();
        let counts = named.iter().map(|(name, it)| (&**name, (it.succeeded, it.failed)));
        let sum = u64::saturating_add;
        let counts = apart(counts, |one, other| (sum(one.0, other.0), sum(one.1, other.1)));
        let outcomes = counts.iter().flat_map(|(class, (succeeded, failed))| {
            [("success", *succeeded), ("failure", *failed)].map(|(outcome, runs)| {
                (vec![("class", class.clone()), ("outcome", outcome.to_owned())], runs)
            })
        });
        self.counters(runs, "Runs of jobs that came to an end.", outcomes);
        let ran = named.iter().filter(|(_, class)| class.name.is_some());
        let spreads = ran.map(|(name, class)| (&**name, class.took.clone()));
        self.spreads(took, "How long the runs took that ended well.", "class", spreads);
    }

    fn spreads<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        spreads: impl IntoIterator<Item = (&'a str, Spread)>,
    ) {
        let spreads = apart(spreads, joined);
        let spreads = spreads.iter().map(|(name, spread)| (vec![(label, name.clone())], spread));
        self.histograms(name, help, spreads);
    }

    fn events<'a>(&mut self, name: &str, events: impl IntoIterator<Item = (&'a str, u64)>) {
        let events = apart(events, u64::saturating_add);
        let events = events.into_iter().map(|(event, by)| (vec![("event", event)], by));
        self.counters(
            name,
            "Rarer things that happened to jobs; docs/metrics.md lists them.",
            events,
        );
    }

    fn resident(&mut self) {
        let help = "Resident memory of this process.";
        self.gauge("process_resident_memory_bytes", help, (resident_kib() * 1_024) as f64);
    }
}

fn joined(mut one: Spread, other: Spread) -> Spread {
    let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
    one.below.iter_mut().zip(&other.below).for_each(|((_, sum), (_, count))| add(sum, *count));
    add(&mut one.count, other.count);
    one.seconds += other.seconds;
    one
}

fn labelled(labels: Vec<Label>) -> Metric {
    let pair = |(name, value): Label| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    };
    Metric::from_label(labels.into_iter().map(pair).collect())
}

/// By name as it is shown; what is beyond so many names is one of its own.
fn apart<'a, T>(
    all: impl IntoIterator<Item = (&'a str, T)>,
    join: impl Fn(T, T) -> T,
) -> BTreeMap<String, T> {
    let mut told: BTreeMap<String, T> = BTreeMap::new();
    for (name, value) in all {
        let mut name = plain(name);
        if told.len() >= APART && !told.contains_key(&name) {
            name = OTHER.to_owned();
        }
        let value = match told.remove(&name) {
            Some(before) => join(before, value),
            None => value,
        };
        told.insert(name, value);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_whatever_a_stranger_made_up() {
        let mut page = Page::default();
        let names = ["a\"b", "back\\slash", "two\nlines", "\u{202e}x", "ü", ""];
        let queues = apart(names.map(|name| (name, 1.0)), |one, other| one + other);
        let queues = queues.into_iter().map(|(name, n)| (vec![("queue", name)], n));
        page.gauges("queue_jobs", "Help with a \\ and\na line.", queues);
        page.gauges("none", "Nothing to tell.", []);
        let text = page.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..2],
            ["# HELP queue_jobs Help with a \\\\ and\\na line.", "# TYPE queue_jobs gauge",]
        );
        assert_eq!(lines.len(), 2 + names.len(), "{text}");
        for label in [r#"a\"b"#, r"back\\\\slash", r"two\\nlines", r"\\u{202e}x", "ü", ""] {
            assert!(lines.contains(&&*format!("queue_jobs{{queue=\"{label}\"}} 1")), "{text}");
        }
    }

    #[test]
    fn names_that_look_alike_or_are_too_many_are_one() {
        let long = |end: &str| "q".repeat(200) + end;
        let (one, two) = (long("1"), long("2"));
        let joined = apart([(&*one, 1), (&*two, 2)], |a, b| a + b);
        assert_eq!(joined.into_values().collect::<Vec<_>>(), [3]);
        let names: Vec<String> = (0..APART + 10).map(|n| format!("q{n:04}")).collect();
        let all = apart(names.iter().map(|name| (name.as_str(), 1)), |a, b| a + b);
        assert_eq!((all.len(), all["other"]), (APART + 1, 10));
    }
}
