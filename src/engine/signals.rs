//! Signals of the operating system, in the words of more than one system: Sidekiq's, Resque's,
//! and those of platforms and terminals. What becomes of them is decided in `lifecycle`.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

// tokio names neither. The numbers differ by system.
const TSTP: i32 = if cfg!(target_os = "linux") { 20 } else { 18 };
const TTIN: i32 = 21;

/// What a signal of the operating system says.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Heard {
    Stop,
    Quiet,
    Dump,
    Unclear,
}

/// The signals that we handle, as one stream.
pub(crate) struct Signals([(Heard, Signal); 8]);

impl Signals {
    pub(crate) fn install() -> io::Result<Signals> {
        let install = |kind: SignalKind, heard| signal(kind).map(|it| (heard, it));
        Ok(Signals([
            install(SignalKind::terminate(), Heard::Stop)?,
            install(SignalKind::interrupt(), Heard::Stop)?,
            install(SignalKind::hangup(), Heard::Stop)?,
            install(SignalKind::quit(), Heard::Stop)?,
            install(SignalKind::from_raw(TSTP), Heard::Quiet)?,
            install(SignalKind::user_defined2(), Heard::Quiet)?,
            install(SignalKind::from_raw(TTIN), Heard::Dump)?,
            install(SignalKind::user_defined1(), Heard::Unclear)?,
        ]))
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Heard {
        poll_fn(|context| {
            for (heard, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*heard);
                }
            }
            Poll::Pending
        })
        .await
    }
}
