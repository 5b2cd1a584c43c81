//! What builds it elsewhere: the `Dockerfile` and what goes into it, `heroku.yml`, `project.toml`,
//! `.slugignore`. No engine builds the image here; what is checked is that the files agree with each
//! other, the Procfile and the crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::app_json::{file, process_types};

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Vec<(String, String)> {
    let text = file("Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(a, b)| (a.into(), b.trim().into()))
        .collect()
}

fn all(name: &str) -> Vec<String> {
    instructions().into_iter().filter(|(it, _)| it == name).map(|(_, rest)| rest).collect()
}

/// What a COPY copies, and whether out of the checkout.
fn copied() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut checkout, mut stage) = (BTreeSet::new(), BTreeSet::new());
    for copy in all("COPY") {
        let words: Vec<&str> = copy.split_whitespace().collect();
        let (flags, names): (Vec<&str>, Vec<&str>) =
            words.iter().partition(|it| it.starts_with("--"));
        let into = if flags.is_empty() { &mut checkout } else { &mut stage };
        into.extend(names[..names.len() - 1].iter().map(|&name| name.to_owned()));
    }
    (checkout, stage)
}

fn programs() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    let name = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
    fs::read_dir(root).unwrap().map(|entry| name(entry.unwrap())).collect()
}

/// The command of a process type.
fn command<'a>(procfile: &'a str, name: &str) -> &'a str {
    let lines = procfile.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn the_image_is_built_of_what_is_there_and_let_in() {
    let (checkout, _) = copied();
    for name in &checkout {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(name).exists(), "{name}");
    }
    let ignored = file(".dockerignore");
    let mut lines = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "all is kept out, a .env above all");
    let let_in: BTreeSet<String> =
        lines.map(|line| line.strip_prefix('!').unwrap().into()).collect();
    assert_eq!(let_in, checkout);
}

#[test]
fn the_image_holds_each_program_where_the_procfile_has_it() {
    let (_, stage) = copied();
    let programs: BTreeSet<String> =
        programs().into_iter().map(|name| format!("/app/target/release/{name}")).collect();
    let authorities = "/etc/ssl/certs/ca-certificates.crt".to_owned();
    assert_eq!(stage, programs.into_iter().chain([authorities]).collect());
    assert!(all("COPY").last().unwrap().ends_with(" ./target/release/"));
    assert_eq!(all("WORKDIR"), ["/app", "/app"]);
}

#[test]
fn the_image_runs_web_as_nobody_and_hands_it_the_signals() {
    let procfile = file("Procfile");
    // a list, and so without a shell
    let command: Vec<String> = serde_json::from_str(&all("CMD")[0]).unwrap();
    assert_eq!(command, [self::command(&procfile, "web")]);
    let (user, group) =
        all("USER")[0].split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0);
    for name in ["EXPOSE", "ENTRYPOINT", "STOPSIGNAL", "SHELL", "ADD"] {
        assert!(all(name).is_empty(), "{name}");
    }
    // the second base is the one that is shipped, and it is of the same release as the first
    let bases = all("FROM");
    assert_eq!(bases, ["rust:1-slim-bookworm AS build", "debian:bookworm-slim"]);
}

#[test]
fn the_stand_in_source_is_what_the_manifest_asks_for() {
    let manifest = file("Cargo.toml");
    let steps = &all("RUN")[0];
    let default = manifest.split("default-run = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(steps.contains(&format!("src/bin/{default}.rs")), "cargo wants its default-run");
    let name = manifest.split("name = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(steps.contains(&format!("cargo clean --release --package {name} ")));
    for run in all("RUN") {
        assert!(run.contains("cargo build --release --locked"), "{run}");
    }
}

#[test]
fn heroku_yml_says_what_the_procfile_and_app_json_say() {
    let procfile = file("Procfile");
    let manifest = file("heroku.yml");
    let run = manifest.split("\nrun:\n").nth(1).expect("run comes last");
    let web = command(&procfile, "web");
    let worker = command(&procfile, "worker");
    let expected =
        format!("  web: {web}\n  worker:\n    command:\n      - {worker}\n    image: web\n");
    assert_eq!(run, expected);
    assert_eq!(process_types(&procfile), ["web", "worker"].into(), "no third one");
    let app: Value = serde_json::from_str(&file("app.json")).unwrap();
    let plan = app["addons"][0]["plan"].as_str().unwrap();
    let verify = app["env"]["REDIS_TLS_VERIFY"]["value"].as_str().unwrap();
    assert!(manifest.contains(&format!("    - plan: {plan}\n")));
    assert!(manifest.contains(&format!("    REDIS_TLS_VERIFY: {verify}\n")));
    assert!(manifest.contains("\nbuild:\n  docker:\n    web: Dockerfile\n"));
}

#[test]
fn the_cloud_native_buildpack_does_not_see_the_procfile() {
    let project = file("project.toml");
    assert!(project.contains("\nexclude = [\"Procfile\"]\n"));
    assert!(project.contains("schema-version = \"0.2\""));
}

/// Heroku takes these files away before the build, and perhaps before the tests of its CI, too.
#[test]
fn the_slug_lacks_nothing_that_is_built_or_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in file(".slugignore").lines() {
        let name = name.strip_prefix('/').expect("a place, no pattern");
        assert!(root.join(name).exists(), "{name}");
        for kept in ["src", "tests", "examples", "bin", "docs", "ops", "Cargo.toml", "Procfile"] {
            assert_ne!(name, kept);
        }
        assert!(!file("bin/test").contains(&format!("{name}/")), "{name}");
    }
}
