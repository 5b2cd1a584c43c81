//! `bin/rename`: what it refuses, what it changes, what it leaves alone. `sample/mine.rs` builds
//! what comes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const OWN: &str = env!("CARGO_PKG_NAME");
/// Not in one word, so that a renaming does not find it here.
const UPSTREAM: &str = concat!("rousta", "bout");

/// A tree with what has a name in it.
struct Clone(TempDir);

impl Clone {
    fn new() -> Clone {
        let (clone, root) = (tempfile::tempdir().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")));
        let folders = ["bin", "src", "tests", "examples", "fuzz", "ops", "docs"];
        let files = ["app.json", "Cargo.toml", "Cargo.lock", "Dockerfile", "README.md"];
        let files = files.iter().chain(&["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"]);
        let mut copy = Command::new("cp");
        copy.arg("-R").args(folders.iter().chain(files).map(|name| root.join(name)));
        assert!(copy.arg(clone.path()).status().unwrap().success());
        fs::copy(root.join("rustfmt.toml"), clone.path().join("rustfmt.toml")).unwrap();
        fs::write(clone.path().join("tests/app/rename.rs"), "").unwrap(); // this, full of names
        Clone(clone)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    fn git(&self, words: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@localhost"]).args(words);
        let output = git.current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// From another directory. Both outputs, and the exit code.
    fn rename(&self, words: &[&str]) -> (String, Option<i32>) {
        let mut command = Command::new(self.path("bin/rename"));
        let output = command.args(words).current_dir("/").stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (said, output.status.code())
    }

    /// All lines with this in them, but for those that may keep it.
    fn lines(&self, with: &str) -> String {
        let mut grep = Command::new("grep");
        grep.args(["-rnI", "--exclude-dir=.git", with, "."]).current_dir(self.0.path());
        let lines = String::from_utf8(grep.output().unwrap().stdout).unwrap();
        let kept = ["./bin/rename:", "./LICENSE:", "./CHANGELOG.md:"];
        let named = lines.lines().filter(|line| !kept.iter().any(|file| line.starts_with(file)));
        named.map(|line| format!("{line}\n")).collect()
    }
}

#[test]
fn names_that_cannot_be_are_refused_and_nothing_is_changed() {
    let clone = Clone::new();
    clone.git(&["init", "-q"]);
    clone.git(&["add", "."]);
    clone.git(&["commit", "-qm", "all"]);
    for (name, says) in [
        ("Mine", "lower case"),
        ("1app", "lower case"),
        ("my app", "lower case"),
        ("my.app", "lower case"),
        ("my/app", "lower case"),
        ("m\u{fc}ll", "lower case"),
        ("my-", "lower case"),
        ("my--app", "lower case"),
        ("a;rm -rf x", "lower case"),
        (&"a".repeat(65), "64"),
        ("async", "keyword"),
        ("core", "Rust itself"),
        ("proc-macro", "Rust itself"),
        ("worker", "program or a test"),
        ("build", "cargo"),
        ("serde", "dependency"),
        ("serde-json", "dependency"),
        ("getrandom", "dependency"),
        ("engine", "something else of that name"),
        ("io", "something else of that name"),
        ("u64", "something else of that name"),
    ] {
        let (said, code) = clone.rename(&[name]);
        assert_eq!((code, said.lines().count()), (Some(1), 1), "{name}: {said}");
        assert!(said.contains(says) && said.contains(name), "{name}: {said}");
    }
    for bad in [&[][..], &["a", "b"], &["--nonsense", "a"]] {
        assert_eq!(clone.rename(bad).1, Some(2), "{bad:?}");
    }
    fs::write(clone.path("README.md"), clone.read("README.md") + "mine\n").unwrap();
    let (said, code) = clone.rename(&["zz-own"]);
    assert!(
        code == Some(1) && said.contains("not committed") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(clone.git(&["status", "--porcelain"]), " M README.md\n");
    assert_eq!(clone.rename(&["--force", "zz-own"]).1, Some(0));
    assert!(clone.read("Cargo.toml").contains("name = \"zz-own\""));
}

#[test]
fn all_that_is_called_so_gets_the_name_and_redis_keeps_its_keys() {
    let clone = Clone::new();
    let keys = ["src/engine/keys.rs", "tests/it/refusals.rs", "src/engine/lua/fetch.lua"];
    let before = keys.map(|file| clone.read(file));
    let metrics = clone.read("docs/metrics.md").matches("`roustabout_").count();
    for (file, was) in
        [("CHANGELOG.md", clone.read("CHANGELOG.md")), ("LICENSE", clone.read("LICENSE"))]
    {
        let (said, code) = clone.rename(&["zz-own"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(clone.read(file), was);
    }
    assert_eq!(keys.map(|file| clone.read(file)), before);
    assert_eq!(clone.read("docs/metrics.md").matches("`roustabout_").count(), metrics);
    for (file, has) in [
        ("Cargo.toml", "\nname = \"zz-own\"\n"),
        ("Cargo.lock", "\n[[package]]\nname = \"zz-own\"\nversion"),
        ("README.md", "# zz-own\n"),
        ("app.json", "\"name\": \"zz-own\","),
        ("src/lib.rs", "//! zz-own: "),
        ("src/bin/web.rs", "use zz_own::app::App;"),
        ("Dockerfile", "cargo clean --release --package zz-own "),
        ("fuzz/Cargo.toml", "name = \"zz-own-fuzz\""),
        ("fuzz/Cargo.toml", "\nzz-own = { path = \"..\" }"),
        ("fuzz/fuzz_targets/payload.rs", "zz_own::"),
        ("ops/systemd/web.service", "User=zz-own\n"),
        ("ops/systemd/web.service", "EnvironmentFile=/etc/zz-own.env\n"),
        ("ops/monit/worker.conf", "check process zz-own-worker with pidfile /srv/zz-own/"),
        ("ops/monit/worker.conf", "as uid \"zz-own\" and gid \"zz-own\" with"),
        ("ops/README.md", "--shell /usr/sbin/nologin zz-own\n"),
        ("docs/middleware.md", " zz_own::engine::processor: "),
    ] {
        assert!(clone.read(file).contains(has), "{file}: {has}");
    }
    let left = clone.lines(&format!("{OWN}::\\|/{OWN}\\|{OWN}-worker\\|\"{OWN}\"\\|[ =]{OWN}$"));
    // cargo ends with an error that knows no such package
    assert_eq!(clone.lines(&format!("\\(-p\\|--package\\)[ =]{OWN}")), "");
    let engine = |line: &&str| line.contains("/engine/") || line.contains("cron");
    let other: Vec<&str> = left.lines().filter(|line| !engine(line)).collect();
    assert!(other.is_empty(), "{other:#?}");

    let once = clone.read("src/bin/web.rs");
    let (said, code) = clone.rename(&["zz-own"]);
    assert!(code == Some(0) && said.contains("nothing is left"), "{said}");
    // a file that an upgrade brings
    fs::write(clone.path("src/bin/web.rs"), once.replace("zz_own::", &format!("{UPSTREAM}::")))
        .unwrap();
    assert_eq!(clone.rename(&["zz-own"]).1, Some(0));
    assert_eq!(clone.read("src/bin/web.rs"), once);

    let lock = clone.read("Cargo.lock");
    assert_eq!(clone.rename(&["zz_other"]).1, Some(0));
    assert_eq!(clone.lines("zz[-_]own"), "");
    assert_eq!(clone.rename(&["zz-own"]).1, Some(0));
    assert_eq!((clone.read("Cargo.lock"), clone.read("src/bin/web.rs")), (lock, once));
}
