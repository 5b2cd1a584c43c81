//! `worker --pidfile`: there when the worker is ready, gone when it ends, never anybody else's.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Process, Redis, program, run, wait_for};

/// Not `worker.pid`: nothing may depend on what it is called.
const NAME: &str = "the one";

fn command(redis: &Redis, path: impl AsRef<Path>, vars: &[(&str, &str)]) -> Command {
    let mut command = program("worker", redis, vars);
    command.arg("--pidfile").arg(path.as_ref());
    command
}

/// The file of a worker in the directory of its Redis, and everything there with such a name.
struct Place<'a>(&'a Redis);

impl Place<'_> {
    fn path(&self) -> PathBuf {
        self.0.dir().join(NAME)
    }

    fn start(&self, vars: &[(&str, &str)]) -> Process {
        Process::spawn(command(self.0, self.path(), vars))
    }

    /// Waits until the file has this worker's number, and nothing else has been seen in it.
    fn shows(&self, worker: &Process) {
        let wanted = format!("{}\n", worker.id());
        wait_for("the pidfile", || fs::read_to_string(self.path()).ok().filter(|it| *it == wanted));
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.dir()).unwrap().map(|entry| entry.unwrap());
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(NAME)).collect()
    }
}

/// A worker that refuses to start: what it says in its one line.
fn refused(command: Command) -> String {
    let output = run(command);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), line.lines().count()), (Some(1), 1), "{line}");
    line
}

#[test]
fn it_is_there_when_the_worker_is_ready_and_gone_after_its_end() {
    let mut redis = Redis::absent();
    let mut worker = Place(&redis).start(&[]);
    let waits = || Place(&redis).files().iter().any(|name| name != NAME).then_some(());
    wait_for("the worker to wait for Redis", waits);
    assert!(!Place(&redis).path().exists());
    redis.run();
    let place = Place(&redis);
    place.shows(&worker);
    assert_eq!(redis.ask::<usize>(&["SCARD", "processes"]), 1);
    assert_eq!(place.files(), [NAME]);
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
    assert!(place.files().is_empty());
}

#[test]
fn every_orderly_end_removes_it() {
    let redis = Redis::start();
    let place = Place(&redis);
    let output = run(command(&redis, place.path(), &[("MEMORY_LIMIT_MB", "1")]));
    assert_eq!(output.status.code(), Some(75));
    assert!(place.files().is_empty());
    // before it was ready: there is no Redis
    let redis = Redis::absent();
    let place = Place(&redis);
    let log = redis.dir().join("log");
    let mut worker = Process::logging(command(&redis, place.path(), &[]), &log);
    let waits = || fs::read_to_string(&log).unwrap().contains("Redis").then_some(());
    wait_for("it waits for Redis", waits);
    assert_eq!(place.files().len(), 1);
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
    assert!(place.files().is_empty());
}

/// Answers as a server that is too old to serve us.
fn old_server(redis: &Redis) {
    let listener = UnixListener::bind(redis.dir().join("redis.sock")).unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map(Result::unwrap) {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = socket.read(&mut bytes) {
                let sent = String::from_utf8_lossy(&bytes[..length]).into_owned();
                for command in sent.split('*').skip(1) {
                    let info = "redis_version:6.2.14\r\n";
                    let reply = match command.lines().nth(2).unwrap_or_default() {
                        "HELLO" => "%1\r\n+proto\r\n:3\r\n".to_owned(),
                        "INFO" => format!("${}\r\n{info}\r\n", info.len()),
                        "TIME" => "*2\r\n+1\r\n+0\r\n".to_owned(),
                        _ => "+OK\r\n".to_owned(),
                    };
                    let _ = socket.write_all(reply.as_bytes());
                }
            }
        }
    });
}

#[test]
fn a_start_that_fails_leaves_none_behind() {
    let redis = Redis::absent();
    old_server(&redis);
    let place = Place(&redis);
    fs::write(place.path(), "1\n").unwrap(); // a stale one stays what it is
    let output = run(command(&redis, place.path(), &[]));
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("too old"), "{log}");
    assert_eq!(place.files(), [NAME]);
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "1\n");
}

#[test]
fn a_killed_worker_leaves_it_behind_which_is_no_obstacle() {
    let redis = Redis::start();
    let place = Place(&redis);
    let mut first = place.start(&[]);
    place.shows(&first);
    first.signal("KILL");
    assert_eq!(first.end().signal(), Some(9));
    assert_eq!(fs::read_to_string(place.path()).unwrap(), format!("{}\n", first.id()));
    // a number that somebody alive has: in containers they come again and again
    fs::write(place.path(), format!("{}\n", std::process::id())).unwrap();
    let mut second = place.start(&[]);
    place.shows(&second);
    second.signal("TERM");
    assert_eq!(second.end().code(), Some(0));
    assert!(place.files().is_empty());
}

#[test]
fn a_second_copy_refuses_and_takes_no_job() {
    let redis = Redis::start();
    let place = Place(&redis);
    let mut first = place.start(&[("QUEUES", "other")]);
    place.shows(&first);
    let job = r#"{"class":"Any","args":[],"jid":"1"}"#;
    let () = redis.ask(&["LPUSH", "queue:default", job]);
    let line = refused(command(&redis, place.path(), &[]));
    assert!(line.contains(NAME) && line.contains(&first.id().to_string()), "{line}");
    assert_eq!(redis.ask::<usize>(&["LLEN", "queue:default"]), 1);
    assert_eq!(redis.ask::<usize>(&["SCARD", "processes"]), 1);
    place.shows(&first);
    assert_eq!(place.files(), [NAME]);
    first.signal("TERM");
    assert_eq!(first.end().code(), Some(0));
}

#[test]
fn of_many_that_start_at_once_one_stays() {
    let mut redis = Redis::absent();
    let stale = redis.dir().join(NAME);
    fs::write(&stale, "1\n").unwrap();
    let mut workers: Vec<Process> = (0..8).map(|_| Place(&redis).start(&[])).collect();
    wait_for("seven to refuse", || {
        let refused = workers.iter_mut().filter_map(Process::exited);
        let codes: Vec<_> = refused.map(|status| status.code()).collect();
        (codes == [Some(1); 7]).then_some(())
    });
    redis.run();
    workers.retain_mut(|worker| worker.exited().is_none());
    Place(&redis).shows(&workers[0]);
    assert_eq!(Place(&redis).files(), [NAME]);
}

#[test]
fn what_cannot_be_written_is_told_at_once() {
    let redis = Redis::absent(); // for which it would wait
    let nowhere = redis.dir().join("no/such/directory");
    let line = refused(command(&redis, &nowhere, &[]));
    assert!(line.contains(nowhere.to_str().unwrap()), "{line}");
    let line = refused(command(&redis, redis.dir(), &[]));
    assert!(line.contains("--pidfile") && line.contains("directory"), "{line}");
    assert_eq!(fs::read_dir(redis.dir()).unwrap().count(), 0);
}

/// As root this would be anybody's file, or all of the machine's.
#[test]
fn links_and_devices_are_refused_and_left_alone() {
    let redis = Redis::absent();
    let place = Place(&redis);
    let [other, fresh] = ["other", "the one.starting"].map(|name| redis.dir().join(name));
    for target in [&other, &redis.dir().join("nowhere")] {
        fs::write(&other, "precious").unwrap();
        for link in [&fresh, &place.path()] {
            symlink(target, link).unwrap();
            let line = refused(command(&redis, place.path(), &[]));
            assert!(line.contains("is a link or a device, not a file"), "{line}");
            assert_eq!(fs::read_link(link).unwrap(), *target);
            fs::remove_file(link).unwrap();
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    }
    assert!(!redis.dir().join("nowhere").exists());
    let pipe = Command::new("mkfifo").arg(place.path()).status().unwrap();
    assert!(pipe.success());
    refused(command(&redis, place.path(), &[]));
    assert_eq!(place.files(), [NAME]);
}

#[test]
fn what_no_worker_has_left_is_neither_replaced_nor_removed() {
    let redis = Redis::absent();
    let at = |name: &str| redis.dir().join(name);
    for name in ["settings", "next.starting"] {
        fs::write(at(name), "PORT=5006\n").unwrap();
    }
    for name in ["settings", "next"] {
        let line = refused(command(&redis, at(name), &[]));
        assert!(line.contains(name) && line.contains("something else in it"), "{line}");
    }
    for name in ["settings", "next.starting"] {
        assert_eq!(fs::read_to_string(at(name)).unwrap(), "PORT=5006\n");
    }
    assert_eq!(fs::read_dir(redis.dir()).unwrap().count(), 2);
}

#[test]
fn what_appears_before_it_is_ready_stays_too() {
    let mut redis = Redis::absent();
    let place = Place(&redis);
    let mut worker = place.start(&[]);
    wait_for("the worker to wait for Redis", || (place.files().len() == 1).then_some(()));
    let path = place.path();
    let _socket = UnixListener::bind(&path).unwrap();
    redis.run();
    wait_for("it is ready", || (redis.ask::<usize>(&["SCARD", "processes"]) == 1).then_some(()));
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
}

#[test]
fn one_that_is_not_ours_any_more_is_left_alone() {
    let redis = Redis::start();
    let place = Place(&redis);
    // relative to the working directory, where Redis is
    let mut worker = Process::spawn(command(&redis, NAME, &[]));
    place.shows(&worker);
    fs::remove_file(place.path()).unwrap();
    fs::write(place.path(), "42\n").unwrap();
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "42\n");
}
