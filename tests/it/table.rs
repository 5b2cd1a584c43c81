//! What the rounds of a soak have shown, as a table to be pasted.

use std::fmt;
use std::time::Duration;

use crate::verdict::Verdict;

/// One round, or all of a kind.
#[derive(Default)]
pub struct Row {
    pub injected: usize,
    pub jobs: usize,
    pub lost: usize,
    pub repeated: usize,
    pub unexplained: usize,
    /// What does not add up, or a round that came to no end.
    pub wrong: usize,
    pub recovery: Duration,
}

/// All rows, by the names of their rounds.
#[derive(Default)]
pub struct Table {
    rows: Vec<(&'static str, Row)>,
}

impl Row {
    pub fn of((verdict, injected): (Verdict, usize)) -> Row {
        Row {
            injected,
            jobs: verdict.jobs,
            lost: verdict.lost.len(),
            repeated: verdict.duplicated,
            unexplained: verdict.unexplained.len(),
            wrong: verdict.wrong.len(),
            recovery: Duration::from_millis(verdict.recovery),
        }
    }

    fn clean(&self) -> bool {
        self.lost + self.unexplained + self.wrong == 0
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Row { injected, jobs, lost, repeated, unexplained, .. } = self;
        let explained = repeated.saturating_sub(*unexplained);
        let recovery = self.recovery.as_secs_f32();
        write!(f, "{injected} | {jobs} | {lost} | {explained} | {unexplained} | {recovery:.1} s")?;
        match self.wrong {
            0 => Ok(()),
            _ => f.write_str(" (does not add up, see above)"),
        }
    }
}

impl Table {
    pub fn add(&mut self, name: &'static str, row: Row) {
        let Some((_, sum)) = self.rows.iter_mut().find(|(other, _)| *other == name) else {
            return self.rows.push((name, row));
        };
        sum.injected += row.injected;
        sum.jobs += row.jobs;
        sum.lost += row.lost;
        sum.repeated += row.repeated;
        sum.unexplained += row.unexplained;
        sum.wrong += row.wrong;
        sum.recovery = sum.recovery.max(row.recovery);
    }

    /// A round that failed on its way.
    pub fn broken(&mut self, name: &'static str) {
        self.add(name, Row { wrong: 1, ..Row::default() });
    }

    /// The row of a round so far.
    pub fn last(&self, name: &str) -> String {
        let row = self.rows.iter().find(|(other, _)| *other == name);
        row.map_or_else(String::new, |(_, row)| row.to_string())
    }

    pub fn clean(&self) -> bool {
        self.rows.iter().all(|(_, row)| row.clean())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            f,
            "| fault | injected | jobs | lost | repeated, explained | repeated, unexplained | longest recovery |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|")?;
        for (name, row) in &self.rows {
            writeln!(f, "| {name} | {row} |")?;
        }
        f.write_str(
            "\nRepeated: runs of a job beyond the first (failures, which are retried, aside); explained: \
             its process was\nkilled, frozen or stopped while it ran. Longest recovery: from the blow that \
             cut a job off to the end of its next run,\nor from the end of a disturbance of Redis to the \
             next job that ended. A process counts as dead after 20 s of silence.\n",
        )
    }
}
