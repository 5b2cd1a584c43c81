//! The platform's times, and how fast they pass in a test.

use std::time::Duration;

/// From TERM to KILL (else R12).
pub const GRACE: u32 = 30;
/// Until a web dyno must listen (else R10).
pub const BOOT: u32 = 60;
/// How long the router holds a request while no dyno is up (else H20).
pub const HOLD: u32 = 75;
/// Until the first byte of an answer (else H12).
pub const ANSWER: u32 = 30;
/// Until a dyno takes a connection (else H19).
pub const CONNECT: u32 = 5;

/// How long a second of the platform takes.
///
/// What a stop costs beyond `SHUTDOWN_TIMEOUT`, less than a second, does not scale: so of the 30 s
/// a worker has less than 25 here.
#[derive(Clone, Copy)]
pub struct Pace(pub Duration);

impl Pace {
    pub fn seconds(self, seconds: u32) -> Duration {
        self.0 * seconds
    }
}

/// How long a dyno that has crashed so many times in a row is left alone. The platform tells only
/// the shape: at once, then exponentially more, and anew after a release.
pub fn cool_off(crashes: u32) -> u32 {
    match crashes {
        0 | 1 => 0,
        more => 1 << (more - 1).min(9),
    }
}

#[test]
fn each_crash_costs_twice_as_much() {
    let pauses: Vec<u32> = (1..=12).map(cool_off).collect();
    assert_eq!(pauses, [0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512]);
}
