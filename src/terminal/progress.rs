//! How far a long operation is, for somebody who watches.

use std::io::{IsTerminal, Write, stderr};

/// A bar on stderr, if that is a terminal, and only if it takes long enough to be looked at. Gone
/// when it is dropped.
pub(super) struct Progress {
    shown: Option<usize>,
    terminal: bool,
}

/// Fewer are done before anybody looks.
const MANY: usize = 1_000;
const LENGTH: usize = 30;

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { shown: None, terminal: stderr().is_terminal() }
    }

    pub(super) fn at(&mut self, done: usize, total: usize) {
        let part = 100 * done.min(total) / total.max(1);
        if self.terminal && total >= MANY && self.shown != Some(part) {
            self.shown = Some(part);
            let _ = write!(stderr(), "\r{}", bar(done, total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(stderr(), "\r\u{1b}[K");
        }
    }
}

fn bar(done: usize, total: usize) -> String {
    let full = LENGTH * done.min(total) / total.max(1);
    format!("[{}{}] {done} of {total}", "#".repeat(full), "-".repeat(LENGTH - full))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_is_full_at_the_end() {
        assert_eq!(super::bar(0, 9), format!("[{}] 0 of 9", "-".repeat(30)));
        assert_eq!(super::bar(3, 9), format!("[{}{}] 3 of 9", "#".repeat(10), "-".repeat(20)));
        assert_eq!(super::bar(11, 9), format!("[{}] 11 of 9", "#".repeat(30)));
        assert_eq!(super::bar(0, 0), format!("[{}] 0 of 0", "-".repeat(30)));
    }
}
