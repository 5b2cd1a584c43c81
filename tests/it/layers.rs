//! Imports go down: the picture in the engine's documentation cannot rot, and neither room
//! reaches into the other.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of the engine from the ground up. Each may use those before it.
const GROUND_UP: &[&str] = &[
    "keys",
    "clock",
    "readable",
    "json",
    "jid",
    "payload",
    "head",
    "ties",
    "placed",
    "active_job",
    "invalid",
    "signals",
    "lifecycle",
    "lookout",
    "patterns",
    "queues",
    "limits",
    "options",
    "tls",
    "server",
    "slots",
    "schedule",
    "scripts",
    "metrics",
    "counters",
    "sign",
    "waits",
    "backtrace",
    "retry",
    "failed",
    "status",
    "field",
    "delivery",
    "inflight",
    "tracker",
    "meter", // plain data and decisions
    "address",
    "gauge",
    "wakes",
    "serving",
    "taken",
    "errors",
    "enqueue_error",
    "enqueued",
    "refusals",
    "process",
    "fate",
    "endings",
    "rescues",
    "connection",
    "connect",
    "redis", // the connection
    "records",
    "session",
    "iteration",
    "run",
    "context",
    "middleware",
    "job",
    "batch",
    "pushing",
    "recorded",
    "pushes",
    "client",
    "backlog",
    "buffered",
    "notice",
    "cron_line", // what authors see
    "entry",
    "fleet",
    "sets",
    "found",
    "needle",
    "picks",
    "pages",
    "waiting",
    "oldest",
    "queue_list",
    "wanted",
    "search",
    "holds",
    "whereabouts",
    "busy",
    "figures",
    "moves",
    "edits",
    "steer",
    "cron_list",
    "history",
    "inspect", // looking and steering
    "trial",
    "private_redis",
    "testing", // … and what their tests use
    "suspects",
    "finish",
    "fetch",
    "track",
    "giveback",
    "watchdog",
    "heartbeat",
    "reaper",
    "poller",
    "crontab",
    "cron", // one verb each
    "registry",
    "outcome",
    "judge",
    "processor",
    "intake",
    "parts",
    "idle",
    "worker", // one job, all jobs, the process
    "mod",
];

fn sources(dir: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(path.to_str().unwrap()));
        } else if path.extension().is_some_and(|end| end == "rs") && !only_tests(&path) {
            found.push(path);
        }
    }
    found
}

/// Files that no normal build has.
fn only_tests(path: &Path) -> bool {
    ["tests.rs", "arbitrary.rs", "invariants.rs"].iter().any(|name| path.ends_with(name))
}

/// The names that follow `marker` in a source, braces taken apart.
fn named_after(source: &str, marker: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in source.match_indices(marker) {
        let rest = &source[at + marker.len()..];
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap(),
            None => rest,
        };
        let first = |item: &str| -> String {
            item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        match rest.starts_with('{') {
            true => names.extend(list.split(',').map(first)),
            false => names.push(first(list)),
        }
    }
    names
}

#[test]
fn engine_imports_go_down() {
    let place = |name: &str| GROUND_UP.iter().position(|file| *file == name);
    let files = sources("src/engine");
    assert_eq!(files.len(), GROUND_UP.len(), "list new files in GROUND_UP");
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let Some(own) = place(name) else { panic!("{name} is not in GROUND_UP") };
        let source = fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        assert!(!source.contains("crate::"), "{name}: the engine knows nothing outside itself");
        for used in named_after(source, "super::") {
            let below = place(&used).is_none_or(|place| place < own);
            assert!(below, "{name} uses {used}, which is above it");
        }
    }
}

#[test]
fn the_users_room_uses_the_front_door_only() {
    let front = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/mod.rs"));
    let front = front.unwrap();
    let public: Vec<String> =
        front.lines().filter(|line| line.starts_with("pub ")).map(str::to_owned).collect();
    let public = public.join(" ");
    for path in
        sources("src").into_iter().filter(|path| !path.to_string_lossy().contains("/engine/"))
    {
        let source = fs::read_to_string(&path).unwrap();
        for marker in ["crate::engine::", "roustabout::engine::"] {
            for used in named_after(&source, marker) {
                assert!(public.contains(&used), "{}: engine::{used} is not public", path.display());
            }
        }
    }
}

#[test]
fn keys_are_in_one_place() {
    let own = [
        "\"queue:",
        "\"roustabout:",
        "\"stat:",
        "\"it-",
        "\"processes\"",
        "\"schedule\"",
        "-signals\"",
        ":work\"",
        "\"cron_job",
        "\"j|",
        "\"h|",
    ];
    for path in sources("src/engine") {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        let code: Vec<&str> =
            source.lines().filter(|line| !line.trim().starts_with("//")).collect();
        let stray = own.iter().find(|key| code.iter().any(|line| line.contains(**key)));
        assert!(
            name == "keys" || stray.is_none(),
            "{name}: the key {stray:?} belongs into keys.rs"
        );
    }
}
