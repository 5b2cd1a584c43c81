//! The README's first job, done as it says: on a copy of this tree, built and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Process, Redis, Web, program_at, wait_for};

/// The blocks of code under a heading, each with its language.
fn blocks(readme: &str, heading: &str) -> Vec<(String, String)> {
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
fn apply(source: &str, steps: &str) -> String {
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

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Shares what was built of other people's crates, which is the most of a build.
fn share(from: &Path, to: &Path) {
    let ours = ["roustabout", "web-", "worker-", "app-", "it-", "jobs-", "libroustabout"];
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

#[test]
fn the_first_job_works_as_the_readme_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("app");
    for file in ["Cargo.toml", "Cargo.lock", "README.md", "rust-toolchain.toml"] {
        fs::create_dir_all(&tree).unwrap();
        fs::copy(root.join(file), tree.join(file)).unwrap();
    }
    copy(&root.join("src"), &tree.join("src"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks = blocks(&readme, "## Your first job");
    assert!(blocks[0].1.starts_with("// src/jobs/greet.rs"));
    fs::write(tree.join("src/jobs/greet.rs"), &blocks[0].1).unwrap();
    for (file, (language, steps)) in ["src/jobs/mod.rs", "src/routes.rs"].iter().zip(&blocks[1..]) {
        assert_eq!(language, "diff");
        let source = fs::read_to_string(tree.join(file)).unwrap();
        fs::write(tree.join(file), apply(&source, steps)).unwrap();
    }
    let routes = tree.join("src/routes.rs");
    let source = fs::read_to_string(&routes).unwrap() + "\n" + &blocks[3].1;
    fs::write(&routes, source).unwrap();
    // as bin/test would find it
    fs::copy(root.join("rustfmt.toml"), tree.join("rustfmt.toml")).unwrap();
    let mut format = Command::new(env!("CARGO"));
    let formatted = format.args(["fmt", "--check"]).current_dir(&tree).output().unwrap();
    let installed = Command::new("rustfmt").arg("--version").output().is_ok();
    assert!(formatted.status.success() || !installed, "{formatted:?}");
    let programs = build(&tree);

    let redis = Redis::start();
    let log = place.path().join("worker.log");
    let worker = program_at(&programs.join("worker"), &redis, &[]);
    let _worker = Process::logging(worker, &log);
    let web = Web::launch(program_at(&programs.join("web"), &redis, &[]));
    assert!(blocks[4].1.contains("curl -X POST http://localhost:5006/greet/Ada"));
    let answer = wait_for("the endpoint", || {
        let answer = web.request("POST", "/greet/Ada", &[], b"");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.body.len(), 24, "the answer is the job's id: {answer:?}");
    wait_for("the greeting", || {
        fs::read_to_string(&log).unwrap().contains("Hello, Ada").then_some(())
    });
}

/// Builds the copy beside the target directory of these tests.
fn build(tree: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let own = target.join("tmp/readme");
    for folder in ["deps", "build", ".fingerprint"] {
        share(&target.join("debug").join(folder), &own.join("debug").join(folder));
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--bins"]).current_dir(tree);
    let output = cargo.env("CARGO_TARGET_DIR", &own).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    own.join("debug")
}
