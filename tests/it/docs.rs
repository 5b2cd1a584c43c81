//! `docs/reliability.md` names a test for each promise, `docs/sidekiq.md` and `docs/cron.md` one
//! for what they say: they are there. The examples of `docs/testing-jobs.md` are tests.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `app/FILE`, `platform/FILE`, or `FILE` of `tests/it`; `None` for what went with the sample.
fn source(file: &str) -> Option<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let gone = |of: &str| file.starts_with(of) && !tests.join(of).exists();
    if gone("app/sample/") || gone("platform/") {
        return None;
    }
    match ["app/", "platform/"].iter().any(|other| file.starts_with(other)) {
        true => Some(read(&format!("tests/{file}.rs"))),
        false => Some(read(&format!("tests/it/{file}.rs"))),
    }
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let page = read("docs/reliability.md");
    let promises = page.split("\n## ").find(|part| part.starts_with("Promises")).unwrap();
    let rows = promises.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut checked = 0;
    for row in rows {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let mut file = "";
        for name in shown_by.split('`').skip(1).step_by(2) {
            // `FILE::test`, `FILE`, or one more test of the file before
            let test = match name.split_once("::") {
                Some((of, test)) => {
                    file = of;
                    test
                }
                None if Path::new(&format!("tests/it/{name}.rs")).exists() => {
                    file = name;
                    ""
                }
                None => name,
            };
            let Some(found) = source(file) else { continue };
            assert!(found.contains("#[test") || found.contains("#[tokio::test"), "{file}");
            assert!(test.is_empty() || names(&found, test), "{file}::{test} in: {row}");
            checked += 1;
        }
        assert!(!file.is_empty(), "no test is named in: {row}");
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn the_pages_on_sidekiq_and_cron_name_tests_that_are_there() {
    let pages = read("docs/sidekiq.md") + &read("docs/cron.md");
    let page: String = pages.split("```").step_by(2).collect(); // without the code
    let mut checked = 0;
    for (file, test) in page.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"))
    {
        if file.starts_with(|first: char| first.is_ascii_lowercase()) {
            assert!(source(file).is_none_or(|it| names(&it, test)), "{file}::{test}");
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn the_examples_of_how_to_test_jobs_are_tests() {
    let (page, tests) = (read("docs/testing-jobs.md"), source("testing").unwrap());
    let examples = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    assert_eq!(examples.clone().count(), 3);
    examples.for_each(|example| assert!(tests.contains(example), "{example}"));
}

/// As a function, or what a macro makes one of.
fn names(source: &str, test: &str) -> bool {
    source.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == test)
}
