//! The long run: one round after the other, each a load of jobs under one kind of fault with the
//! engine's own times, until the time is up; then the table. `bin/soak` starts it.
//!
//! A new round is a function that returns a `Row`, and a line in `ROUNDS`.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};

use crate::rounds;
use crate::table::{Row, Table};

/// How long a round takes, about.
#[derive(Clone, Copy)]
pub struct Span {
    /// The name of the round.
    pub name: &'static str,
    /// While faults are injected; the last jobs come after it.
    pub length: Duration,
}

type Round = fn(Span) -> Pin<Box<dyn Future<Output = Row>>>;

/// Each with its shares of the time.
const ROUNDS: &[(&str, u32, Round)] = &[
    ("processes: SIGKILL, SIGSTOP, TERM, deploys", 5, |span| Box::pin(rounds::processes(span))),
    ("workers and Redis die at once", 1, |span| Box::pin(rounds::power_cut(span))),
    ("Redis restarts (append-only file)", 1, |span| Box::pin(rounds::restarts(span))),
    ("Redis falls silent (CLIENT PAUSE)", 1, |span| Box::pin(rounds::silence(span))),
    ("connections closed (CLIENT KILL)", 1, |span| Box::pin(rounds::closed(span))),
    ("scripts forgotten (SCRIPT FLUSH)", 1, |span| Box::pin(rounds::forgotten(span))),
    ("Redis full, then not", 1, |span| Box::pin(rounds::full(span))),
    ("25 MB, full to the last byte (writes refused)", 3, |span| Box::pin(rounds::brim(span))),
    ("replies lost, requests late (proxy)", 1, |span| Box::pin(rounds::proxied(span))),
    ("all of it", 3, |span| Box::pin(rounds::mixture(span))),
];

/// No share is longer or shorter; what is left of the time brings the rounds again.
const SHARE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as it is told to: bin/soak"]
async fn soak() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.expect("SOAK_SECONDS (bin/soak sets it)"));
    let mut table = Table::default();
    let mut term = signal(SignalKind::terminate()).expect("a handler");
    let mut int = signal(SignalKind::interrupt()).expect("a handler");
    tokio::select! {
        biased;
        _ = term.recv() => eprintln!("stopped early"),
        _ = int.recv() => eprintln!("stopped early"),
        () = all(time, &mut table) => {}
    }
    println!("\n{table}");
    assert!(table.clean(), "lost or unexplained, see above");
}

/// Every round at least once.
async fn all(time: Duration, table: &mut Table) {
    let (began, shares) = (Instant::now(), ROUNDS.iter().map(|(_, shares, _)| shares).sum::<u32>());
    let share = (time / (shares + ROUNDS.len() as u32)).clamp(SHARE[0], SHARE[1]);
    let mut passes = 0;
    loop {
        for (name, shares, round) in ROUNDS {
            if passes > 0 && began.elapsed() >= time {
                return;
            }
            let span = Span { name, length: share * *shares };
            match AssertUnwindSafe(round(span)).catch_unwind().await {
                Ok(row) => table.add(name, row),
                Err(_) => table.broken(name),
            }
            eprintln!("{:4} s: {name}: {}", began.elapsed().as_secs(), table.last(name));
        }
        passes += 1;
    }
}
