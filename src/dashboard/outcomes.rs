//! What became of jobs that somebody wanted to retry, kill or delete, in words.

use super::told::Told;
use super::words::{count, jobs};
use crate::engine::inspect::{Edit, Edited, Outcome, Set};
use crate::text::plain;

/// The word on the button, and in the form.
pub(super) fn verb(edit: Edit) -> &'static str {
    match edit {
        Edit::Retry => "retry",
        Edit::Kill => "kill",
        Edit::Delete => "delete",
    }
}

/// What stands on the button. What was never tried is not tried again.
pub(super) fn label(edit: Edit, set: Option<Set>) -> String {
    match (edit, set) {
        (Edit::Retry, Some(Set::Scheduled)) => "Run now".to_owned(),
        _ => capital(verb(edit)),
    }
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn done(edit: Edit) -> &'static str {
    match edit {
        Edit::Retry => "went to their queues",
        Edit::Kill => "are dead now",
        Edit::Delete => "are deleted",
    }
}

/// For one job.
pub(super) fn of_one(edit: Edit, outcome: &Outcome) -> Told {
    match (outcome, edit) {
        (Outcome::Done, Edit::Retry) => Told::good("The job went to its queue."),
        (Outcome::Done, Edit::Kill) => Told::good("The job is dead now."),
        (Outcome::Done, Edit::Delete) => Told::good("The job is deleted."),
        (other, _) => Told::bad(format!("Nothing was changed: {}.", why(other))),
    }
}

/// For many.
pub(super) fn summed_up(edit: Edit, edited: &Edited) -> Told {
    let mut text = match edited.done {
        0 if edited.left_in_all > 0 || edited.unfinished => "Nothing was changed.".to_owned(),
        0 => "Nothing was changed: no such job is there any more.".to_owned(),
        1 => format!("1 job: {}.", of_one(edit, &Outcome::Done).text.trim_end_matches('.')),
        many => format!("{} {}.", jobs(many), done(edit)),
    };
    if edited.left_in_all > 0 {
        text += &format!(" {} left as they are", jobs(edited.left_in_all));
        if let Some((jid, outcome)) = edited.left.first() {
            text += &format!(", the first of them {}: {}", plain(jid), why(outcome));
        }
        text += ".";
    }
    if edited.trimmed > 0 {
        text += &format!(" The dead set was full and let {} go.", jobs(edited.trimmed));
    }
    if edited.unfinished {
        text += &format!(
            " The time was up after {}: do it again for the rest.",
            count(edited.done as u64)
        );
    }
    let good = edited.done > 0 && edited.left_in_all == 0 && !edited.unfinished;
    Told { good, text }
}

fn why(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "it is done".to_owned(),
        Outcome::Gone => "it is not there any more".to_owned(),
        Outcome::Already => "it is there already".to_owned(),
        Outcome::Runs => "it runs; an iterable job can be cancelled, a process stopped".to_owned(),
        Outcome::Locked(holder) => {
            format!("another one of its kind waits or runs, {}", plain(holder))
        }
        Outcome::NoJob => "it is no job that could run".to_owned(),
        Outcome::Refused(words) => format!("Redis refused it ({})", plain(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_and_what_was_not() {
        let mut edited = Edited { done: 1_500, ..Edited::default() };
        let told = summed_up(Edit::Delete, &edited);
        assert_eq!((told.good, &*told.text), (true, "1,500 jobs are deleted."));
        edited.left = vec![("j1".to_owned(), Outcome::Locked("j0".to_owned()))];
        edited.left_in_all = 1;
        edited.unfinished = true;
        let told = summed_up(Edit::Retry, &edited);
        assert!(
            !told.good && told.text.contains("1 job left as they are, the first of them j1"),
            "{told:?}"
        );
        assert!(told.text.ends_with("The time was up after 1,500: do it again for the rest."));
        assert!(!of_one(Edit::Kill, &Outcome::Gone).good);
    }
}
