//! `docs/deploy.md` names files, settings, programs, paths: they are there, and its steps agree with
//! the files.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::app_json::{file, known};
use crate::jobs::jobs;
use crate::support::{Redis, Web};

fn page() -> String {
    file("docs/deploy.md")
}

/// What is between backticks, single or in fences.
fn code(page: &str) -> Vec<String> {
    let fences = page.split("\n```").skip(1).step_by(2).map(str::to_owned);
    let prose: String = page.split("\n```").step_by(2).collect();
    fences.chain(prose.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// The words of all code, cut where a name cannot go on.
fn words(page: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || "_./@*-".contains(c);
    let code = code(page);
    let words = code.iter().flat_map(|text| text.split(|c| !part(c)));
    words
        .filter(|word| !word.is_empty())
        .map(|word| word.trim_end_matches('.').to_owned())
        .collect()
}

fn exists(path: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
}

/// As GitHub makes the address of a heading.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || "_- ".contains(*c);
    let slug = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        heading.chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    headings.map(slug).collect()
}

#[test]
fn its_links_lead_somewhere() {
    let page = page();
    let links = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let mut checked = 0;
    for link in links.filter(|link| !link.starts_with("https://")) {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let path = match path.strip_prefix("../") {
            _ if path.is_empty() => "docs/deploy.md".to_owned(),
            Some(path) => path.to_owned(),
            None => format!("docs/{path}"),
        };
        assert!(exists(&path), "{link}");
        assert!(anchor.is_empty() || anchors(&file(&path)).contains(anchor), "{link}");
        checked += 1;
    }
    assert!(checked > 12, "{checked}");
}

#[test]
fn its_files_and_programs_are_there() {
    let mut checked = 0;
    for word in words(&page()) {
        let ours = ["ops/", "src/", "tests/", "docs/"].iter().any(|dir| word.starts_with(dir));
        let suffix = word.rsplit_once('.').map(|(_, suffix)| suffix);
        let named = !word.contains('/')
            && word.matches('.').count() == 1
            && suffix.is_some_and(|it| ["json", "toml", "yml", "rs"].contains(&it));
        if let Some(program) =
            word.strip_prefix("./").unwrap_or(&word).strip_prefix("target/release/")
        {
            assert!(exists(&format!("src/bin/{program}.rs")), "{word}");
        } else if ours && !word.contains('*') {
            assert!(exists(&word), "{word}");
        } else if named {
            assert!(exists(&word) || exists(&format!("tests/app/{word}")), "{word}");
        } else {
            continue;
        }
        checked += 1;
    }
    assert!(checked > 12, "{checked}");
}

/// What the platforms call their own.
const THEIRS: [&str; 5] = ["RAILWAY_", "CC_", "BUILDPACK_URL", "YOUR", "VERSION"];

#[test]
fn its_settings_are_known_to_the_programs() {
    let mut checked = 0;
    for word in words(&page()) {
        let upper = word.bytes().all(|it| it.is_ascii_uppercase() || it == b'_');
        let variable = upper && (word.contains('_') || word == "PORT" || word == "QUEUES");
        if variable && !THEIRS.iter().any(|prefix| word.starts_with(prefix)) {
            assert!(known(&word), "{word}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}

#[test]
fn its_commands_and_paths_answer() {
    let redis = Redis::start();
    let page = page();
    let code = code(&page);
    let commands = code.iter().flat_map(|text| text.split("jobs ").skip(1));
    let commands: BTreeSet<&str> =
        commands.map(|rest| rest.split_whitespace().next().unwrap()).collect();
    assert!(commands.contains("stats") && commands.len() > 2, "{commands:?}");
    for command in commands {
        assert_eq!(
            jobs(&redis, &[command, "--help"], &[]).status.code(),
            Some(0),
            "jobs {command}"
        );
    }
    let web = Web::ready(&redis, &[]);
    let paths = code.iter().filter(|text| text.starts_with('/') && text.matches('/').count() == 1);
    let paths: BTreeSet<&String> = paths.collect();
    assert!(paths.len() > 2, "{paths:?}");
    for path in paths {
        assert_eq!(web.get(path).status, 200, "{path}");
    }
}

/// The lines of code under a heading, without comments and superfluous blanks.
fn steps(page: &str, heading: &str) -> Vec<String> {
    let section =
        page.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    let block = section.split("\n```sh\n").nth(1).unwrap().split("\n```").next().unwrap();
    let step = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    block.lines().map(step).collect()
}

#[test]
fn its_steps_are_those_of_the_other_pages() {
    let page = page();
    let ops = steps(&file("ops/README.md"), "## Installing the units");
    assert_eq!(steps(&page, "## A machine of your own"), ops);
    // by hand what the button does
    let app: Value = serde_json::from_str(&file("app.json")).unwrap();
    let by_hand = steps(&page, "### From the command line").join("\n");
    for (name, of) in app["env"].as_object().unwrap() {
        let set = of["value"].is_string() || of["generator"].is_string();
        assert_eq!(by_hand.contains(&format!(" {name}=")), set, "{name}");
    }
    let buildpack = app["buildpacks"][0]["url"].as_str().unwrap();
    let plan = app["addons"][0]["plan"].as_str().unwrap();
    assert!(by_hand.contains(buildpack) && by_hand.contains(plan), "{by_hand}");
    for process in app["formation"].as_object().unwrap().keys() {
        assert!(by_hand.contains(&format!(" {process}=1")), "{process}");
    }
    assert!(
        steps(&page, "## Dokku").iter().any(|step| step.ends_with(" appjson-path ops/dokku.json"))
    );
}
