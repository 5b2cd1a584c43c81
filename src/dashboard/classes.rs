//! What the runs of each class came to, and how long they took.

use axum::response::Response;
use maud::{Markup, html};

use super::page::Section;
use super::paging::{PAGE, pages, sought};
use super::seen::Seen;
use super::words::{count, lasting, name};
use crate::engine::{Class, Spread};

pub(super) async fn show(seen: Seen) -> Response {
    let mut classes: Vec<&Class> = seen.figures.classes.iter().collect();
    let from = sought(&seen.query);
    classes.sort_by(|one, other| other.took.seconds.total_cmp(&one.took.seconds));
    let content = html! {
        section .card id="classes" data-live {
            @if classes.is_empty() {
                p .empty { "Nothing has run yet." }
            } @else {
                table .rows {
                    thead { tr {
                        th { "class" } th .number { "runs" } th .number { "failed" } th .number { "mean" }
                        th .number { "median" } th .number { "p95" } th .number { "total" } th { "run times" }
                    } }
                    tbody { @for class in classes.iter().skip(from).take(PAGE) { (row(class)) } }
                }
                (pages(&seen.uri, from, PAGE, classes.len()))
            }
        }
        p .faint { "Since the first run, over all processes; run times are of runs that ended well, median and p95 the upper ends of their classes. Over time: Prometheus reads the same from /metrics." }
    };
    seen.page(Section::Classes, "Classes", content)
}

fn row(class: &Class) -> Markup {
    let took = &class.took;
    let mean = (took.count > 0).then(|| took.seconds / took.count as f64);
    let within = |share: f64| within(took, share).map_or("–".to_owned(), lasting);
    html! {
        tr {
            td data-label="class" {
                @match &class.name { Some(class) => (name(class)), None => "all others" }
            }
            td .number data-label="runs" { (count(class.succeeded.saturating_add(class.failed))) }
            td .number data-label="failed" .bad-text[class.failed > 0] { (count(class.failed)) }
            td .number data-label="mean" { (mean.map_or("–".to_owned(), lasting)) }
            td .number data-label="median" { (within(0.5)) }
            td .number data-label="p95" { (within(0.95)) }
            td .number data-label="total" { (lasting(took.seconds)) }
            td data-label="run times" { (histogram(took)) }
        }
    }
}

/// The upper end of the bucket in which this share of the runs is reached.
fn within(took: &Spread, share: f64) -> Option<f64> {
    let wanted = (took.count as f64 * share).ceil() as u64;
    took.below.iter().find(|(_, runs)| took.count > 0 && *runs >= wanted).map(|(end, _)| *end)
}

/// A bar for each bucket that has runs, or stands between two that do.
fn histogram(took: &Spread) -> Markup {
    let mut bars: Vec<(f64, u64)> = Vec::new();
    let mut before = 0;
    for (end, runs) in &took.below {
        bars.push((*end, runs.saturating_sub(before)));
        before = *runs;
    }
    bars.push((f64::INFINITY, took.count.saturating_sub(before)));
    let most = bars.iter().map(|(_, runs)| *runs).max().unwrap_or(0);
    let first = bars.iter().position(|(_, runs)| *runs > 0).unwrap_or(0);
    let last = bars.iter().rposition(|(_, runs)| *runs > 0).unwrap_or(0);
    let bars = if most == 0 { &[][..] } else { &bars[first..=last] };
    html! {
        @if let (Some(first), Some(last)) = (bars.first(), bars.last()) {
            svg .small viewBox=(format!("0 0 {} 40", bars.len() * 10)) preserveAspectRatio="none" role="img"
                aria-label=(format!("Run times, {} to {}", until(first.0), until(last.0))) {
                @for (place, (end, runs)) in bars.iter().enumerate() {
                    @let height = if *runs > 0 { (*runs as f64 / most as f64 * 40.0).max(1.0) } else { 0.0 };
                    g {
                        title { (count(*runs)) " " (until(*end)) }
                        rect .hover x=(place * 10) y="0" width="10" height="40" {}
                        rect .processed x=(place * 10 + 1) y=(format!("{:.1}", 40.0 - height)) width="8" height=(format!("{height:.1}")) {}
                    }
                }
            }
            p .axis {
                @if bars.len() > 1 { span { (until(first.0)) } }
                span { (until(last.0)) }
            }
        }
    }
}

fn until(end: f64) -> String {
    if end.is_finite() { format!("≤ {}", lasting(end)) } else { "longer".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_from_the_buckets() {
        let took =
            Spread { below: vec![(0.1, 0), (1.0, 60), (10.0, 98)], count: 100, seconds: 1.0 };
        assert_eq!((within(&took, 0.5), within(&took, 0.95)), (Some(1.0), Some(10.0)));
        assert_eq!(within(&Spread::default(), 0.5), None);
        let drawn = histogram(&took).into_string();
        assert_eq!(drawn.matches("<g>").count(), 3, "{drawn}");
        assert!(drawn.contains("height=\"40.0\"") && drawn.contains("2 longer"), "{drawn}");
        assert_eq!(histogram(&Spread::default()).into_string(), "");
    }
}
