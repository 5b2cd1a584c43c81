//! Bars over time, as SVG. The texts stand beside it, in HTML, so that it may be of any width.

use maud::{Markup, html};

use super::words::{count, lasting};

/// Height of the drawing, in its own units; the page stretches it.
const HEIGHT: f64 = 100.0;

/// What a bar stands for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bar {
    /// When it begins, for people.
    pub(super) label: String,
    /// Runs, failed ones included, and the failed ones; `None` where nobody counted.
    pub(super) runs: Option<(u64, u64)>,
    /// The longest wait, in seconds.
    pub(super) latency: Option<f64>,
}

/// Runs, and below them waits, and all of it as a table for those who cannot see the bars.
pub(super) fn charts(bars: &[Bar], each: &str) -> Markup {
    let most = bars.iter().filter_map(|bar| bar.runs).map(|(runs, _)| runs).max().unwrap_or(0);
    let longest = bars.iter().filter_map(|bar| bar.latency).fold(0.0, f64::max);
    let waits = bars.iter().any(|bar| bar.latency.is_some());
    let ends = || {
        let label = |bar: Option<&Bar>| bar.map(|bar| bar.label.clone()).unwrap_or_default();
        html! { p .axis { span { (label(bars.first())) } span { (label(bars.last())) } } }
    };
    html! {
        figure {
            figcaption {
                span .key .processed { "runs" } " " span .key .failed { "failed" }
                span .most { "up to " (count(most)) " " (each) }
            }
            (runs(bars, most))
            (ends())
        }
        @if waits {
            figure {
                figcaption {
                    span .key .latency { "longest wait in a queue" }
                    span .most { "up to " (lasting(longest)) }
                }
                (latency(bars, longest))
                (ends())
            }
        }
        details data-key="table" {
            summary { "As a table" }
            (table(bars))
        }
    }
}

fn runs(bars: &[Bar], most: u64) -> Markup {
    let most = most.max(1) as f64;
    svg("Runs and failed runs over time", bars, |bar| {
        let (runs, failed) = bar.runs?;
        let [all, bad] = [runs, failed].map(|number| visible(number as f64 / most));
        Some(vec![("processed", all), ("failed", bad.min(all))])
    })
}

fn latency(bars: &[Bar], longest: f64) -> Markup {
    let longest = if longest > 0.0 { longest } else { 1.0 };
    svg("Longest wait in a queue over time", bars, |bar| {
        Some(vec![("latency", visible(bar.latency? / longest))])
    })
}

/// As a height; a little is not nothing.
fn visible(share: f64) -> f64 {
    if share > 0.0 { (share * HEIGHT).max(1.5) } else { 0.0 }
}

/// A column for each bar, the later parts of it in front; where nothing is known, a mark.
fn svg(
    title: &str,
    bars: &[Bar],
    parts: impl Fn(&Bar) -> Option<Vec<(&'static str, f64)>>,
) -> Markup {
    let width = bars.len().max(1) as f64 * 10.0;
    html! {
        svg viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(title) {
            @for (place, bar) in bars.iter().enumerate() {
                @let x = place as f64 * 10.0;
                g {
                    title { (said(bar)) }
                    rect .hover x=(x) y="0" width="10" height=(HEIGHT) {}
                    @match parts(bar) {
                        Some(parts) => {
                            @for (class, height) in parts.into_iter().filter(|(_, height)| *height > 0.0) {
                                rect class=(class) x=(x + 1.0) y=(format!("{:.2}", HEIGHT - height)) width="8" height=(format!("{height:.2}")) {}
                            }
                        }
                        None => { rect .unknown x=(x + 1.0) y=(HEIGHT - 1.0) width="8" height="1" {} }
                    }
                }
            }
        }
    }
}

fn said(bar: &Bar) -> String {
    let runs = match bar.runs {
        Some((runs, failed)) => format!("{} runs, {} failed", count(runs), count(failed)),
        None => "nobody counted".to_owned(),
    };
    let wait = bar.latency.map_or(String::new(), |wait| format!(", waits {}", lasting(wait)));
    format!("{}: {runs}{wait}", bar.label)
}

fn table(bars: &[Bar]) -> Markup {
    let shown = |number: Option<u64>| number.map_or("–".to_owned(), count);
    html! {
        div .scroll tabindex="0" role="region" aria-label="The same as a table" {
            table {
                thead { tr { th { "from" } th .number { "runs" } th .number { "failed" } th .number { "longest wait" } } }
                tbody {
                    @for bar in bars.iter().rev() {
                        @let (runs, failed) = bar.runs.unzip();
                        tr {
                            td { (bar.label) }
                            td .number { (shown(runs)) }
                            td .number { (shown(failed)) }
                            td .number { (bar.latency.map_or("–".to_owned(), lasting)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(runs: Option<(u64, u64)>, latency: Option<f64>) -> Bar {
        Bar { label: "14:05".into(), runs, latency }
    }

    #[test]
    fn a_little_is_seen_and_nothing_is_not() {
        let shown = charts(
            &[bar(Some((10_000, 1)), None), bar(Some((0, 0)), None), bar(None, None)],
            "a minute",
        );
        let shown = shown.into_string();
        assert!(
            shown.contains(r#"class="processed" x="1" y="0.00" width="8" height="100.00""#),
            "{shown}"
        );
        assert!(
            shown.contains(r#"class="failed" x="1" y="98.50" width="8" height="1.50""#),
            "{shown}"
        );
        assert_eq!(shown.matches("class=\"processed\" x").count(), 1);
        assert_eq!(shown.matches("class=\"unknown\"").count(), 1);
        assert!(shown.contains("up to 10,000 a minute") && shown.contains("nobody counted"));
        assert!(!shown.contains("longest wait in a queue"), "nobody measured one");
    }

    #[test]
    fn no_bars_and_odd_numbers_are_drawn_too() {
        charts(&[], "a day");
        let shown = charts(&[bar(Some((u64::MAX, u64::MAX)), Some(f64::MAX))], "").into_string();
        assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
    }
}
