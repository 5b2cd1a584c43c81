//! What `heroku logs` would show: the platform's lines, the router's errors, the dynos' output.

use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// A line of `app[worker.1]`, `heroku[worker.1]`, `heroku[router]` …
    pub fn line(&self, source: &str, text: &str) {
        self.0.lock().expect("no panic").push(format!("{source}: {text}"));
    }

    /// The lines with all these words in them.
    pub fn with(&self, words: &[&str]) -> Vec<String> {
        let lines = self.0.lock().expect("no panic");
        let all = |line: &&String| words.iter().all(|word| line.contains(word));
        lines.iter().filter(all).cloned().collect()
    }

    pub fn count(&self, words: &[&str]) -> usize {
        self.with(words).len()
    }

    /// Everything that went wrong by the platform's lights, the worst that a user sees in a log.
    pub fn errors(&self) -> Vec<String> {
        let lines = self.0.lock().expect("no panic");
        let error = |line: &&String| line.starts_with("heroku[") && line.contains("rror");
        lines.iter().filter(error).cloned().collect()
    }

    pub fn tail(&self, lines: usize) -> String {
        let all = self.0.lock().expect("no panic");
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}
