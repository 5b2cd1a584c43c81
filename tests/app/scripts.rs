//! `bin/jobs` and `bin/dev` before they build: which Redis, which profile. A stand-in for cargo and
//! for what it would build says how it was called.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The scripts in a directory of their own, `tmp` and `.env` included.
struct Checkout(TempDir);

impl Checkout {
    fn new() -> Checkout {
        let (checkout, root) =
            (Checkout(tempfile::tempdir().unwrap()), Path::new(env!("CARGO_MANIFEST_DIR")));
        let mut copy = Command::new("cp");
        copy.arg("-R").arg(root.join("bin")).arg(checkout.0.path());
        assert!(copy.status().unwrap().success());
        checkout.write("path/cargo", "#!/bin/sh\necho \"cargo $*\"\n");
        for profile in ["debug", "release"] {
            let program = "#!/bin/sh\necho \"$0 ${REDIS_URL-unset}: $*\"\n";
            checkout.write(&format!("target/{profile}/jobs"), program);
        }
        checkout
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// As `bin/dev` notes it.
    fn private_redis(&self, pid: u32, port: u16) {
        self.write("tmp/redis/redis.pid", &format!("{pid}\n"));
        self.write("tmp/redis/owner", &format!("{port} {}\n", std::process::id()));
    }

    /// From another directory: the exit code and both outputs.
    fn run(&self, words: &[&str], vars: &[(&str, &str)]) -> (Option<i32>, String, String) {
        let path = format!("{}/path:{}", self.0.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(self.0.path().join(words[0]));
        command.args(&words[1..]).current_dir("/").stdin(Stdio::null()).env("PATH", path);
        for name in ["REDIS_URL", "REDIS_PROVIDER", "DEV_PROFILE", "DEV_RUNNER"] {
            command.env_remove(name);
        }
        let output = command.envs(vars.iter().copied()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn bin_jobs_asks_the_configured_redis_or_that_of_bin_dev_or_none() {
    let checkout = Checkout::new();
    let (code, out, err) = checkout.run(&["bin/jobs", "stats"], &[]);
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
    assert!(err.contains("bin/dev") && err.contains("REDIS_URL"), "{err}");
    for help in [&["bin/jobs", "--help"][..], &["bin/jobs", "why", "-h"], &["bin/jobs"]] {
        assert_eq!(checkout.run(help, &[]).0, Some(0), "{help:?}");
    }

    // the script looks only whether somebody listens
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    checkout.private_redis(std::process::id(), port);
    let (code, out, err) = checkout.run(&["bin/jobs", "why", "a b"], &[]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, format!("target/debug/jobs redis://127.0.0.1:{port}/0: why a b\n"));
    assert!(err.contains("--profile dev") && err.contains("--bin jobs"), "{err}");
    let (_, out, _) = checkout.run(&["bin/jobs", "stats"], &[("REDIS_URL", "redis://there")]);
    assert_eq!(out, "target/debug/jobs redis://there: stats\n");
    let (_, out, _) = checkout.run(&["bin/jobs", "stats"], &[("DEV_PROFILE", "release")]);
    assert!(out.starts_with("target/release/jobs "), "{out}");

    // the program reads it by itself
    checkout.write(".env", "REDIS_URL=redis://file\n");
    assert_eq!(checkout.run(&["bin/jobs", "stats"], &[]).1, "target/debug/jobs unset: stats\n");
    checkout.write(".env", "");
    // of a bin/dev that has ended
    drop(listener);
    assert_eq!(checkout.run(&["bin/jobs", "stats"], &[]).0, Some(1));
}

#[test]
fn a_profile_that_is_none_is_refused_in_one_line() {
    let checkout = Checkout::new();
    for script in ["bin/jobs", "bin/dev"] {
        let (code, out, err) = checkout.run(&[script], &[("DEV_PROFILE", "fast")]);
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{script}: {err}");
        assert!(err.contains("DEV_PROFILE=fast") && err.contains("release"), "{err}");
    }
}
