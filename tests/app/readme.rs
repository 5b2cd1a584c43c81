//! The README's first job, done as it says: on a copy of this tree, built and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Process, Redis, Web, program_at, wait_for};

/// The blocks of code under a heading, each with its language.
pub fn blocks(readme: &str, heading: &str) -> Vec<(String, String)> {
    let section = readme.split(heading).nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let fences: Vec<&str> = section.split("\n```").collect();
    let block = |text: &&str| {
        let (language, code) = text.split_once('\n').unwrap();
        (language.to_owned(), format!("{code}\n"))
    };
    fences[1..].iter().step_by(2).map(block).collect()
}

/// Puts the `+` lines below the line before them.
pub fn apply(source: &str, steps: &str) -> String {
    let mut lines: Vec<String> = source.lines().map(str::to_owned).collect();
    let mut at = 0;
    for step in steps.lines().filter(|line| !line.is_empty()) {
        match step.split_at(1) {
            ("+", new) => lines.insert(at, new.to_owned()),
            (_, anchor) => {
                let found = lines.iter().position(|line| line == anchor);
                at = found.unwrap_or_else(|| panic!("no line {anchor:?} to go by"));
            }
        }
        at += 1;
    }
    lines.join("\n") + "\n"
}

fn copy(from: &Path, to: &Path, but: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        match entry.file_type().unwrap() {
            _ if but.iter().any(|it| name == *it) => {}
            kind if kind.is_dir() => copy(&entry.path(), &target, &[]),
            _ => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Shares what was built of other people's crates, which is the most of a build.
fn share(from: &Path, to: &Path) {
    let own = env!("CARGO_PKG_NAME");
    let (library, krate) = (format!("lib{own}").replace('-', "_"), own.replace('-', "_"));
    let ours = [own, &krate, &library, "web-", "worker-", "app-", "it-", "jobs-"];
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let target = to.join(&name);
        if ours.iter().any(|own| name.starts_with(own)) || target.exists() {
            continue;
        }
        match entry.file_type().unwrap().is_dir() {
            true => share(&entry.path(), &target),
            false => drop(fs::hard_link(entry.path(), &target)),
        }
    }
}

/// A copy of this tree, to do something with.
pub struct Copied {
    pub tree: PathBuf,
    target: PathBuf,
}

impl Copied {
    /// `name` is that of its target directory, beside the one of these tests.
    pub fn new(place: &Path, name: &str) -> Copied {
        let tree = place.join("app");
        copy(Path::new(env!("CARGO_MANIFEST_DIR")), &tree, &["target", "tmp", ".git"]);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let own = target.join("tmp").join(name);
        for folder in ["deps", "build", ".fingerprint"] {
            share(&target.join("debug").join(folder), &own.join("debug").join(folder));
        }
        Copied { tree, target: own }
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.tree.join(file)).unwrap()
    }

    /// Runs something in it that has to succeed, and gives what it says.
    pub fn run(&self, program: &str, words: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(words).current_dir(&self.tree).stdin(Stdio::null());
        command.env("CARGO_TARGET_DIR", &self.target).env("CARGO_NET_OFFLINE", "true");
        command.env("CARGO_INCREMENTAL", "0");
        // what cargo tells tests of their own package; build scripts would take it for news
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME"];
        for (name, _) in std::env::vars_os() {
            if told.iter().any(|it| name.to_string_lossy().starts_with(it)) {
                command.env_remove(name);
            }
        }
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(status.success(), "{program} {words:?}: {said}");
        said
    }

    pub fn cargo(&self, words: &[&str]) -> String {
        self.run(env!("CARGO"), words)
    }

    /// As bin/test would find it, if what it takes is installed.
    pub fn is_formatted(&self) {
        if Command::new("rustfmt").arg("--version").output().is_ok() {
            self.cargo(&["fmt", "--check"]);
        }
    }

    /// What the README's section on the first job says, up to the programs.
    pub fn write_first_job(&self) {
        let blocks = blocks(&self.read("README.md"), "## Your first job");
        assert!(blocks[0].1.starts_with("// src/jobs/greet.rs"));
        fs::write(self.tree.join("src/jobs/greet.rs"), &blocks[0].1).unwrap();
        for (file, (language, steps)) in
            ["src/jobs/mod.rs", "src/routes.rs"].iter().zip(&blocks[1..])
        {
            assert_eq!(language, "diff");
            fs::write(self.tree.join(file), apply(&self.read(file), steps)).unwrap();
        }
        let endpoint = self.read("src/routes.rs") + "\n" + &blocks[3].1;
        fs::write(self.tree.join("src/routes.rs"), endpoint).unwrap();
        assert!(blocks[4].1.contains("curl -X POST http://localhost:5006/greet/Ada"));
    }

    /// One of its programs, built before.
    pub fn program(&self, name: &str, redis: &Redis) -> Command {
        program_at(&self.target.join("debug").join(name), redis, &[])
    }

    /// … and what it says of the programs.
    pub fn greets(&self, redis: &Redis, log: &Path) {
        let _worker = Process::logging(self.program("worker", redis), log);
        let web = Web::launch(self.program("web", redis));
        let answer = wait_for("the endpoint", || {
            let answer = web.request("POST", "/greet/Ada", &[], b"");
            (answer.status == 200).then_some(answer)
        });
        assert_eq!(answer.body.len(), 24, "the answer is the job's id: {answer:?}");
        wait_for("the greeting", || {
            fs::read_to_string(log).unwrap().contains("Hello, Ada").then_some(())
        });
    }
}

/// What was built of it would never be of use again: the next copy is at another place.
impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.target);
    }
}

#[test]
fn the_first_job_works_as_the_readme_says() {
    let place = tempfile::tempdir().unwrap();
    let copied = Copied::new(place.path(), "readme");
    copied.write_first_job();
    copied.is_formatted();
    copied.cargo(&["build", "--locked", "--bins"]);
    copied.greets(&Redis::start(), &place.path().join("worker.log"));
}
