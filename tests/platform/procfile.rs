//! What the process types run: the repository's own Procfile, its programs being the built ones.

use std::process::Command;

#[derive(Clone)]
/// Process types and the words of their commands.
pub struct Procfile(Vec<(String, Vec<String>)>);

impl Procfile {
    pub fn of_the_repository() -> Procfile {
        Procfile::parse(include_str!("../../Procfile"))
    }

    /// As Heroku reads it: a name, a colon or none, a blank, and the rest is the command.
    fn parse(text: &str) -> Procfile {
        let line = |line: &str| {
            let (kind, command) = line.trim().split_once(char::is_whitespace)?;
            let kind = kind.strip_suffix(':').unwrap_or(kind);
            let named = kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            let words = command.split_whitespace().map(str::to_owned).collect();
            named.then(|| (kind.to_owned(), words))
        };
        Procfile(text.lines().filter_map(line).collect())
    }

    /// The same with another command for a type.
    pub fn with(mut self, kind: &str, words: &[&str]) -> Procfile {
        self.0.retain(|(known, _)| known != kind);
        self.0.push((kind.to_owned(), words.iter().map(|word| (*word).to_owned()).collect()));
        self
    }

    /// What a dyno of this type is to run.
    pub fn command(&self, kind: &str) -> Command {
        let found = self.0.iter().find(|(known, _)| known == kind);
        let (_, words) = found.unwrap_or_else(|| panic!("no {kind} in the Procfile"));
        command(words)
    }
}

/// A command of the slug, where the release build is.
pub fn command(words: &[impl AsRef<str>]) -> Command {
    let built = match words[0].as_ref().trim_start_matches("./") {
        "target/release/web" => env!("CARGO_BIN_EXE_web"),
        "target/release/worker" => env!("CARGO_BIN_EXE_worker"),
        "target/release/jobs" => env!("CARGO_BIN_EXE_jobs"),
        other => other,
    };
    let mut command = Command::new(built);
    command.args(words[1..].iter().map(AsRef::as_ref));
    command
}

#[test]
fn lines_that_are_none_are_skipped() {
    let procfile = Procfile::parse("# web: no\n\n web: ./a b\nworker  c -d  e\nbroken:x\n");
    let expected = [("web", vec!["./a", "b"]), ("worker", vec!["c", "-d", "e"])];
    let found = procfile
        .0
        .iter()
        .map(|(kind, words)| (kind.as_str(), words.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(found.eq(expected), "{:?}", procfile.0);
}
