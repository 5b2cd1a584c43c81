//! What came out, for people or for programs.

use serde::Serialize;

/// The numbers of one run; a mode leaves out what it has no number for.
#[derive(Default, Serialize)]
pub struct Report {
    pub mode: String,
    pub jobs: usize,
    pub concurrency: usize,
    pub jobs_per_s: Option<f64>,
    pub limit_jobs_per_s: Option<f64>,
    pub redis_cpu_us_per_job: Option<f64>,
    pub worker_cpu_us_per_job: Option<f64>,
    pub redis_commands_per_job: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub rss_start_mb: Option<f64>,
    pub rss_peak_mb: Option<f64>,
    pub rss_end_mb: Option<f64>,
    pub connections: Option<usize>,
    /// What only this mode has: a name and a number.
    #[serde(skip)]
    pub more: Vec<(String, f64)>,
}

impl Report {
    /// The three from a list of times in µs.
    pub fn times(&mut self, times: Vec<u32>) {
        let [p50, p99, max] = spread(times);
        (self.p50_ms, self.p99_ms, self.max_ms) = (Some(p50), Some(p99), Some(max));
    }

    pub fn more(&mut self, name: &str, number: f64) {
        self.more.push((name.to_owned(), number));
    }

    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        println!("{}, {} jobs, concurrency {}", self.mode, self.jobs, self.concurrency);
        let lines = [
            ("jobs per second", self.jobs_per_s),
            ("  limit in this run", self.limit_jobs_per_s),
            ("  share of it, %", self.share()),
            ("Redis CPU, µs a job", self.redis_cpu_us_per_job),
            ("worker CPU, µs a job", self.worker_cpu_us_per_job),
            ("Redis commands a job", self.redis_commands_per_job),
            ("p50, ms", self.p50_ms),
            ("p99, ms", self.p99_ms),
            ("max, ms", self.max_ms),
            ("worker RSS at start, MiB", self.rss_start_mb),
            ("worker RSS at its peak, MiB", self.rss_peak_mb),
            ("worker RSS at the end, MiB", self.rss_end_mb),
            ("connections", self.connections.map(|number| number as f64)),
        ];
        let lines = lines.iter().filter_map(|(name, number)| Some((*name, (*number)?)));
        for (name, number) in lines.chain(self.more.iter().map(|(name, n)| (name.as_str(), *n))) {
            println!("  {name:<34} {:>12}", shown(number));
        }
        Ok(())
    }

    fn share(&self) -> Option<f64> {
        Some(self.jobs_per_s? / self.limit_jobs_per_s? * 100.0)
    }
}

/// p50, p99 and the longest, in ms.
pub fn spread(mut times: Vec<u32>) -> [f64; 3] {
    times.sort_unstable();
    let last = times.len().saturating_sub(1) as f64;
    let at = |share: f64| times.get((last * share) as usize).map_or(0.0, |us| f64::from(*us) / 1e3);
    [at(0.5), at(0.99), at(1.0)]
}

fn shown(number: f64) -> String {
    match number.abs() {
        large if large >= 100.0 => format!("{number:.0}"),
        small if small < 1.0 => format!("{number:.3}"),
        _ => format!("{number:.2}"),
    }
}
