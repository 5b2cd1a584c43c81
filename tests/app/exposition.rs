//! Reads Prometheus's text format, strictly: what is wrong in it is a panic.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::installed;

/// A page, read.
#[derive(Debug, Default)]
pub struct Exposition {
    /// Name to type.
    pub families: BTreeMap<String, String>,
    /// `name{label="value"}` as it stands, to its value.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads a page and checks it, with Prometheus's own checker, too, if it is there.
    pub fn read(text: &str) -> Exposition {
        let (mut page, mut helped) = (Exposition::default(), BTreeSet::new());
        let mut family = String::new();
        assert!(text.ends_with('\n'), "no end: {text}");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(!words.is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(helped.contains(name), "no help: {line}");
                assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                let before = page.families.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "twice: {line}");
                family = name.to_owned();
            } else {
                page.sample(line, &family);
            }
        }
        page.histograms();
        promtool(text);
        page
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let name = series.split('{').next().unwrap();
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(!name.is_empty() && name.chars().all(valid), "{line}");
        let rest = name.strip_prefix(family).unwrap_or_else(|| panic!("{family}: {line}"));
        let ends = match self.families[family].as_str() {
            "histogram" => &["_bucket", "_sum", "_count"][..],
            _ => &[""],
        };
        assert!(ends.contains(&rest), "{line}");
        labels(&series[name.len()..]);
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(self.samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }

    /// Counts go up from bucket to bucket, up to the count of all.
    fn histograms(&self) {
        let mut buckets: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for (series, count) in &self.samples {
            let Some((base, bound)) = series.split_once("le=\"") else { continue };
            let bound = bound.trim_end_matches("\"}").parse().unwrap();
            buckets.entry(base).or_default().push((bound, *count));
        }
        for (base, mut buckets) in buckets {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{base} {buckets:?}");
            let last = buckets.last().unwrap();
            let all = base.replace("_bucket{", "_count{").trim_end_matches(',').to_owned() + "}";
            assert_eq!(*last, (f64::INFINITY, self.value(&all)), "{base}");
        }
    }

    /// The value of a series that must be there.
    pub fn value(&self, series: &str) -> f64 {
        self.samples.get(series).copied().unwrap_or_else(|| panic!("no {series} in {self:#?}"))
    }

    pub fn has(&self, series: &str) -> bool {
        self.samples.contains_key(series)
    }

    /// How many series a family of plain numbers has.
    pub fn count(&self, family: &str) -> usize {
        self.samples.keys().filter(|series| series.split('{').next() == Some(family)).count()
    }
}

/// `{a="x",b="y"}` or nothing, each label once.
fn labels(text: &str) {
    let Some(text) = text.strip_prefix('{') else {
        assert_eq!(text, "");
        return;
    };
    let (mut rest, mut names) = (text, BTreeSet::new());
    loop {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && names.insert(name));
        let (mut escaped, mut end) = (false, None);
        for (at, c) in value.char_indices() {
            match c {
                _ if escaped => {
                    assert!(['"', '\\', 'n'].contains(&c), "{text}");
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    end = Some(at);
                    break;
                }
                c => assert!(!c.is_control(), "{text}"),
            }
        }
        rest = &value[end.unwrap_or_else(|| panic!("no end: {text}")) + 1..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return assert_eq!(rest, "}", "{text}"),
        }
    }
}

fn promtool(text: &str) {
    if !installed("promtool") {
        return;
    }
    let mut check = Command::new("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.stdout(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.status.success() && words.trim().is_empty(), "promtool: {words}");
}
