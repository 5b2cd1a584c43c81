//! `--pidfile`: the one worker of its name, for supervisors that go by such a file.
//!
//! Who is alive is told by a lock on the file, which ends with its process however that ends; a
//! number would not do, since containers give the same ones again and again. The file is written
//! and locked under a name of its own at the start and renamed when the worker is ready: so the
//! lock is held from the first moment, and nobody ever reads half a number.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::Lifecycle;

/// The claim to a file, from the start of a worker to its end.
pub struct Pidfile {
    path: PathBuf,
    fresh: PathBuf,
    file: File,
}

impl Pidfile {
    /// Makes sure that no other process holds this file, and that none can from now on; it is not
    /// there yet. A stale one is no obstacle. `Err` is a line for people.
    pub fn claim(path: &Path) -> Result<Pidfile, String> {
        let about = |error: io::Error| format!("--pidfile {}: {error}", path.display());
        // absolute: a job may change the directory
        let absolute = std::path::absolute(path).map_err(about)?;
        let mut fresh = absolute.clone().into_os_string();
        fresh.push(".starting");
        let fresh = PathBuf::from(fresh);
        replaceable(&absolute).map_err(about)?;
        let file = match lock(&fresh).map_err(about)? {
            Ok(file) => file,
            Err(held) => return Err(taken(path, held)),
        };
        let this = Pidfile { path: absolute, fresh, file };
        let refusal = match this.introduce().and_then(|()| holder(&this.path)) {
            Ok(None) => return Ok(this), // nor will there be one: only who has the lock renames
            Ok(Some(held)) => taken(path, held),
            Err(error) => about(error),
        };
        this.remove();
        Err(refusal)
    }

    fn introduce(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        writeln!(&self.file, "{}", std::process::id())
    }

    /// Lets the file appear when the worker is ready, and go when it leaves in a hurry. Needs a
    /// tokio runtime.
    pub fn follow(self: &Arc<Self>, lifecycle: &Lifecycle) {
        let this = self.clone();
        lifecycle.before_leaving(move |_| this.remove());
        let (this, lifecycle) = (self.clone(), lifecycle.clone());
        tokio::spawn(async move {
            lifecycle.ready().await;
            let renamed =
                replaceable(&this.path).and_then(|()| fs::rename(&this.fresh, &this.path));
            if let Err(error) = renamed {
                tracing::error!("--pidfile {}: {error}", this.path.display());
            }
        });
    }

    /// Removes the file, whichever of its names it has, if it is still ours.
    pub fn remove(&self) {
        // in this order: it may be renamed at this very moment
        for path in [&self.fresh, &self.path] {
            if is_at(&self.file, path).unwrap_or(false) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// What is there goes when the worker ends: so nothing, or what an earlier worker may have left. Not a
/// link, which may lead to somebody else's file, not a pipe, which makes us wait, not `/dev/null`,
/// which would be gone for the whole machine, not a file that says more than a number (or nothing,
/// as one may after a power cut).
fn replaceable(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !kind.is_file() {
        let name = path.file_name().unwrap_or_default().display();
        let what = if kind.is_dir() { "directory" } else { "link or a device" };
        return Err(io::Error::other(format!("{name} is a {what}, not a file")));
    }
    let mut start = Vec::new();
    File::open(path)?.take(32).read_to_end(&mut start)?;
    let known = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_whitespace() || *byte == 0;
    match start.iter().all(known) {
        true => Ok(()),
        false => Err(io::Error::other("has something else in it than a process id")),
    }
}

/// Creates the file if need be and locks it; `Ok(Err)` is one that somebody else has locked.
fn lock(path: &Path) -> io::Result<Result<File, File>> {
    loop {
        replaceable(path)?; // at each turn: a link would never be ours
        let mut open = OpenOptions::new();
        let file = open.read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, path)? => return Ok(Ok(file)),
            Ok(()) => {} // it was renamed or removed meanwhile: another one is to be locked
            Err(TryLockError::WouldBlock) => return Ok(Err(file)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The file, if it is there and a living process holds it.
fn holder(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn taken(path: &Path, mut held: File) -> String {
    let mut pid = String::new();
    let _ = held.read_to_string(&mut pid);
    let who = match pid.trim() {
        "" => "another process".to_owned(), // which has not come to writing it yet
        pid => format!("process {pid}"),
    };
    format!("--pidfile {}: {who} has it and is alive", path.display())
}
