//! For the tests of those who write jobs. Nothing here is of use to a program.
//!
//! - [`perform`] runs a job here and now, [`Trial`] does so under circumstances: another attempt,
//!   a saved cursor, a process that stops or a job that is cancelled at a certain checkpoint.
//!   No Redis is needed; [`Redis::absent`](super::Redis::absent) fills its place in an `App`.
//! - [`Client::recording`](super::Client::recording) is a client that pushes nowhere and tells what
//!   it was asked to.
//! - [`PrivateRedis`] is a server for one test, and [`Worker::drain`](super::Worker::drain) runs
//!   what is enqueued there to the end.
//!
//! `docs/testing-jobs.md` has an example of each.

pub use super::private_redis::PrivateRedis;
pub use super::recorded::Recorded;
pub use super::trial::{Trial, Tried, perform};
