//! Payloads and in-flight records of strangers: what must hold is in `src/engine/invariants.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roustabout::engine::invariants;

fuzz_target!(|bytes: &[u8]| {
    invariants::payload(bytes);
    invariants::record(bytes);
});
