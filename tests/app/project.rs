//! What GitHub reads it reads only there, and says nothing of what is wrong with it: so it is looked
//! at here. And the tests that CONTRIBUTING.md takes as examples are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::installed;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Ruby has a parser of YAML with it.
fn yaml(path: &Path) -> Value {
    let program = "require 'yaml'; require 'json'; puts JSON.dump(YAML.load(File.read(ARGV[0])))";
    let output = Command::new("ruby").args(["-e", program]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}: {output:?}", path.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn files(dir: &str) -> Vec<PathBuf> {
    fs::read_dir(root().join(dir)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn github_can_make_forms_of_the_issue_templates() {
    if !installed("ruby") {
        return;
    }
    let mut names = BTreeSet::new();
    for path in files(".github/ISSUE_TEMPLATE") {
        let form = yaml(&path);
        if path.ends_with("config.yml") {
            assert!(form["blank_issues_enabled"].is_boolean());
            continue;
        }
        let place = path.display();
        assert!(names.insert(form["name"].as_str().expect("a name").to_owned()), "{place}");
        assert!(form["description"].as_str().is_some_and(|it| it.len() < 200), "{place}");
        let (mut ids, mut asked) = (BTreeSet::new(), 0);
        for field in form["body"].as_array().expect("a body") {
            let (kind, attributes) = (field["type"].as_str().unwrap(), &field["attributes"]);
            let known = ["markdown", "textarea", "input", "dropdown", "checkboxes"];
            assert!(known.contains(&kind), "{place}: {kind}");
            if kind == "markdown" {
                assert!(attributes["value"].is_string(), "{place}");
                continue;
            }
            let id = field["id"].as_str().expect("an id");
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            assert!(id.chars().all(plain) && ids.insert(id), "{place}: {id}");
            assert!(attributes["label"].is_string(), "{place}: {id}");
            let options = attributes["options"].as_array();
            assert_eq!(
                options.is_some(),
                kind == "checkboxes" || kind == "dropdown",
                "{place}: {id}"
            );
            asked += 1;
        }
        assert!(asked > 0, "{place} asks nothing");
    }
    assert_eq!(names.len(), 3);
    let stuck = fs::read_to_string(root().join(".github/ISSUE_TEMPLATE/stuck-job.yml")).unwrap();
    assert!(stuck.contains("`jobs why JID`") && stuck.contains("`jobs stats`"));
}

#[test]
fn github_can_read_the_workflows_and_the_updates() {
    if !installed("ruby") {
        return;
    }
    for path in files(".github/workflows") {
        for (name, job) in yaml(&path)["jobs"].as_object().expect("jobs") {
            assert!(job["runs-on"].is_string() && job["timeout-minutes"].is_number(), "{name}");
            for step in job["steps"].as_array().unwrap() {
                assert!(step["uses"].is_string() != step["run"].is_string(), "{name}: {step}");
            }
        }
    }
    let updates = yaml(&root().join(".github/dependabot.yml"));
    assert_eq!(updates["version"], 2);
    for update in updates["updates"].as_array().unwrap() {
        assert!(
            update["package-ecosystem"].is_string() && update["schedule"]["interval"].is_string()
        );
    }
}

#[test]
fn the_tests_that_contributing_takes_as_examples_are_there() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let lines = page.lines().filter_map(|line| line.strip_prefix("bin/test "));
    let mut examples = 0;
    for line in lines {
        let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().collect();
        let of = |dir: &str, name: &str| {
            let file = name.trim_end_matches("::").replace("::", "/");
            root().join(dir).join(file + ".rs").exists()
        };
        let there = match words[..] {
            [test] => {
                fs::read_to_string(root().join("tests/app/pidfile.rs")).unwrap().contains(test)
            }
            ["--test", "app", file, ..] => of("tests/app", file),
            ["--test", "it", file, ..] => of("tests/it", file),
            ["--lib", module, ..] => of("src", module),
            _ => continue,
        };
        assert!(there, "{line}");
        examples += 1;
    }
    assert_eq!(examples, 4);
}
