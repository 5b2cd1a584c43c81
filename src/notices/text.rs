//! The words of notices: one line each, and never an argument of a job.

use crate::engine::{Notice, Stopped, StuckJob};
use crate::text::{lasting, plain};

/// So many jobs are named in one notice.
const NAMED: usize = 5;

/// What to tell people.
pub(super) fn of(notice: &Notice) -> String {
    match notice {
        Notice::TimedOut { process, job, reason } => format!(
            "Stuck job: {} in {}, was ended: {reason}. It counts as failed.",
            name(job),
            chat(process),
        ),
        Notice::Stalled { stopped, limit } if stopped.jobs.is_empty() => format!(
            "{} stops (exit 70): its runtime has not answered for {}. Its jobs go back to their queues.",
            chat(&stopped.process),
            lasting(limit.as_secs()),
        ),
        Notice::Stalled { stopped, limit } => format!(
            "Stuck job: {}. The limit for holding a thread is {}: {} stops for it (exit 70), all other jobs go back to their queues.",
            running(stopped),
            lasting(limit.as_secs()),
            chat(&stopped.process),
        ),
        Notice::Back { process, stopped, after } => format!(
            "{} is back after {}, in the place of {}, which was stopped{}.",
            chat(process),
            lasting(after.as_secs()),
            chat(&stopped.process),
            reason(&stopped.jobs),
        ),
    }
}

/// `jobs check --stop` has told a process to stop.
pub fn told_to_stop(stopped: &Stopped, limit: &str) -> String {
    let process = chat(&stopped.process);
    format!("Stuck job: {}. The limit is {limit}: {process} was told to stop.", running(stopped))
}

fn running(stopped: &Stopped) -> String {
    format!("{} in {}", list(&stopped.jobs), chat(&stopped.process))
}

fn reason(jobs: &[StuckJob]) -> String {
    match jobs.is_empty() {
        true => String::new(),
        false => format!(" for {}", list(jobs)),
    }
}

fn list(jobs: &[StuckJob]) -> String {
    let named: Vec<String> = jobs.iter().take(NAMED).map(name).collect();
    let rest = match jobs.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    named.join("; ") + &rest
}

fn name(job: &StuckJob) -> String {
    let (class, jid, queue) = (chat(&job.class), chat(&job.jid), chat(&job.queue));
    format!("{class} {jid} on {queue}, running for {}", lasting(job.age))
}

/// Chats take `<!channel>` for a call to everybody; these three characters are all that their
/// form needs escaped.
fn chat(name: &str) -> String {
    plain(name).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_by_the_name_of_a_job() {
        let job = |n: u64| StuckJob {
            class: format!("<!channel> {n}"),
            jid: "a\nb".into(),
            queue: "q".into(),
            age: 65,
        };
        let stopped =
            Stopped { process: "worker.1:4:a".into(), at: 0.0, jobs: (0..7).map(job).collect() };
        let text = told_to_stop(&stopped, "30m");
        assert!(text.starts_with(r"Stuck job: &lt;!channel&gt; 0 a\nb on q, running for 1m 5s; "));
        assert!(text.contains(" 4 ") && text.contains("; and 2 more in worker.1:4:a"), "{text}");
    }
}
