//! Signals.

use crate::support::{Redis, Web, program, run};

#[test]
fn term_int_hup_and_quit_end_an_idle_web_with_0() {
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        let redis = Redis::absent();
        let mut web = Web::start(&redis, &[]);
        web.process.signal(signal);
        assert_eq!(web.process.end().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_worker_too_large_ends_with_75() {
    let redis = Redis::start();
    let output = run(program("worker", &redis, &[("MEMORY_LIMIT_MB", "1")]));
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{log}");
    assert!(log.contains("MEMORY_LIMIT_MB"), "{log}");
}

#[test]
fn the_signals_of_a_worker_change_nothing() {
    let redis = Redis::absent();
    let web = Web::start(&redis, &[]);
    for signal in ["TSTP", "TTIN", "USR1", "USR2"] {
        web.process.signal(signal);
        assert_eq!(web.get("/health").status, 200, "{signal}");
    }
}
