//! The engine's tests: real servers, real processes, real signals. Jobs are defined inside the
//! tests; nothing here names a sample job.

#[macro_use]
mod support;

mod layers; // who may import whom

mod flow; // enqueue, run, retry, schedule: the calm case
mod tls; // rediss:// against a self-signed chain
