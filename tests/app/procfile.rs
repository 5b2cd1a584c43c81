//! The `Procfile` as each of its readers takes it. Their rules differ, so each is written down here,
//! with a file that it takes for something else.

use std::fs;
use std::path::Path;

type Processes = Result<Vec<(String, String)>, String>;

/// Who reads it, by which rule, what is a trap to that rule, and what comes of it: an error is the
/// reader's.
type Reader = (&'static str, fn(&str) -> Processes, &'static str, Result<&'static str, ()>);

const READERS: [Reader; 12] = [
    ("Heroku's Cedar", cedar, "run the worker\n", Ok("run=the worker")),
    ("Heroku's Fir", fir, "web: a\nworker\n", Err(())),
    ("Dokku", dokku, "web: a // b\nmy_worker: b\n", Err(())),
    ("foreman", foreman, "web: a\n worker: b\n", Ok("web=a")),
    ("honcho", honcho, "web: a\nweb: b\n", Err(())),
    ("overmind, hivemind", overmind, "web:a\nworker: b\n", Ok("worker=b")),
    ("npm foreman", npm_foreman, "web: a\n # b\n", Err(())),
    ("heroku local", heroku_local, "web: a\nmy-worker: b\n", Err(())),
    ("goreman", goreman, "web: a\n # x: b\n", Ok("# x=b web=a")),
    ("Railpack", railpack, "web: a: b\n", Err(())),
    ("Piku", piku, "web: a\nweb: b\n", Ok("web=b")),
    ("bin/dev", bin_dev, "web : a\n", Ok("web =a")),
];

#[test]
fn every_reader_finds_the_same_two_processes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let procfile = fs::read_to_string(root.join("Procfile")).unwrap();
    for (reader, rule, ..) in READERS {
        let shown = shown(rule(&procfile));
        let expected = "web=./target/release/web worker=./target/release/worker";
        assert_eq!(shown.as_deref(), Ok(expected), "{reader}");
    }
}

#[test]
fn each_rule_has_its_own_trap() {
    for (reader, rule, trap, outcome) in READERS {
        let shown = shown(rule(trap));
        assert_eq!(shown.as_deref().map_err(|_| ()), outcome, "{reader}: {trap:?}");
    }
}

#[test]
fn a_command_means_the_same_with_and_without_a_shell() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let procfile = fs::read_to_string(root.join("Procfile")).unwrap();
    for (name, command) in foreman(&procfile).unwrap() {
        // what foreman's and honcho's exports, a shell and YAML would make something else of
        let plain = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
        assert!(command.chars().all(plain), "{name}: {command}");
        assert_eq!(command, format!("./target/release/{name}"));
    }
}

fn shown(processes: Processes) -> Result<String, String> {
    let mut processes = processes?;
    processes.sort();
    let line = |(name, command)| format!("{name}={command}");
    Ok(processes.into_iter().map(line).collect::<Vec<_>>().join(" "))
}

/// A name of such characters, a colon, a command.
fn entry(line: &str, key: impl Fn(char) -> bool) -> Option<(String, String)> {
    let (name, command) = line.split_once(':')?;
    let good = !name.is_empty() && name.chars().all(key) && !command.trim().is_empty();
    good.then(|| owned((name, command.trim())))
}

fn common(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-".contains(c)
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn owned((name, command): (&str, &str)) -> (String, String) {
    (name.to_owned(), command.to_owned())
}

fn unique(processes: Vec<(String, String)>) -> Processes {
    for (at, (name, _)) in processes.iter().enumerate() {
        if processes[..at].iter().any(|(other, _)| other == name) {
            return Err(format!("{name} twice"));
        }
    }
    Ok(processes)
}

fn last_wins(processes: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::new();
    for process in processes {
        kept.retain(|(name, _)| *name != process.0);
        kept.push(process);
    }
    kept
}

/// `^[[:space:]]*([a-zA-Z0-9_-]+):?\s+(.*)[[:space:]]*`: the colon may be missing, so prose is a
/// process.
fn cedar(text: &str) -> Processes {
    let process = |line: &str| {
        let line = line.trim_start();
        let end = line.find(|c| !common(c)).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let command = rest.trim();
        let good = !name.is_empty() && rest.starts_with([' ', '\t']) && !command.is_empty();
        good.then(|| (name.to_owned(), command.to_owned()))
    };
    Ok(text.lines().filter_map(process).collect())
}

fn label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.chars().all(inner) && name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-')
}

/// Comments and blank lines, else it must be an entry. (It mends upper case and `_`, with a warning;
/// here that is an error.)
fn fir(text: &str) -> Processes {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let process = |line: &str| entry(line, |_| true).filter(|(name, _)| label(name));
    let found = lines.map(|line| process(line).ok_or_else(|| line.to_owned()));
    Ok(last_wins(found.collect::<Result<_, _>>()?))
}

/// The same, but no name twice, `//` is a comment too, and either ends a command.
fn dokku(text: &str) -> Processes {
    let mut processes = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        let (name, command) = entry(line, common).ok_or(line)?;
        let command = command.split(" #").next().unwrap_or_default();
        let command = command.split(" //").next().unwrap_or_default();
        processes.push((name, command.trim().to_owned()));
    }
    match processes.iter().find(|(name, _)| !label(name)) {
        Some((name, _)) => Err(name.clone()),
        None => unique(processes),
    }
}

/// `^([A-Za-z0-9_-]+):\s*(.+)$`; other lines do not count.
fn foreman(text: &str) -> Processes {
    Ok(text.lines().filter_map(|line| entry(line, common)).collect())
}

fn honcho(text: &str) -> Processes {
    unique(foreman(text)?)
}

/// `^([\w-]+):\s+(.+)$`
fn overmind(text: &str) -> Processes {
    let blank = |line: &&str| line.contains(": ") || line.contains(":\t");
    unique(text.lines().filter(blank).filter_map(|line| entry(line, common)).collect())
}

/// Passes over empty lines and comments in the first column only; for any other line the file is no
/// Procfile.
fn npm_foreman(text: &str) -> Processes {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| entry(line, common).ok_or_else(|| line.to_owned())).collect()
}

/// Reads the file before npm's foreman does, and knows no hyphen: whatever has a letter in it is a
/// comment or begins with `\w+:`.
fn heroku_local(text: &str) -> Processes {
    let counts = |line: &&str| !line.trim_start().starts_with('#') && line.contains(word);
    let read = |line: &str| {
        let (name, rest) = line.split_once(':').ok_or(line)?;
        let good = name.trim_start().chars().all(word);
        good.then(|| owned((name, rest.trim_start()))).ok_or_else(|| line.to_owned())
    };
    text.lines().filter(counts).map(read).collect()
}

/// Whatever is before the first colon, unless it begins with `#`.
fn goreman(text: &str) -> Processes {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let lines = lines.filter(|(name, _)| !name.starts_with('#'));
    Ok(lines.map(|(name, command)| owned((name.trim(), command.trim()))).collect())
}

/// As YAML: a mapping of plain scalars.
fn railpack(text: &str) -> Processes {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let process = |line: &str| {
        let (name, command) = line.split_once(": ").ok_or(line)?;
        let special = |c: char| "!&*{}[]|>@`\"'%,?-".contains(c);
        let tricky =
            command.contains(": ") || command.contains(" #") || command.starts_with(special);
        let plain = !tricky && !name.starts_with([' ', '\t']) && !name.starts_with(special);
        plain.then(|| owned((name, command.trim()))).ok_or_else(|| line.to_owned())
    };
    unique(lines.map(process).collect::<Result<_, String>>()?)
}

/// Passes over what has no colon, with a warning.
fn piku(text: &str) -> Processes {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let lines = lines.filter_map(|line| line.split_once(':'));
    Ok(last_wins(lines.map(|(name, rest)| owned((name.trim(), rest.trim()))).collect()))
}

/// `IFS=: read -r name command`: blanks around the command go, those around the name stay.
fn bin_dev(text: &str) -> Processes {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines = lines.map(|line| line.split_once(':').unwrap_or((line, "")));
    Ok(lines.map(|(name, command)| owned((name, command.trim()))).collect())
}
