//! The engine: takes jobs from Redis, runs them, and loses none. Read it, do not edit it: an
//! upgrade replaces this folder as a whole.
//!
//! ```text
//!   Client ── LPUSH ──► queue:NAME ◄────────── poller ◄── retry, schedule (sorted by time)
//!   (web, jobs, Ruby)       │                    ▲                 ▲
//!                           │ fetch (one script, │ due             │ failed, snoozed
//!                           ▼ many jobs)         │                 │
//!   reaper ──► in-flight hash of the process ────┴──► processor ───┴──► finisher ──► done
//!   (brings back what      (a copy of each job,       (one task          (removal and  │
//!    the dead held)         until its end is known)    per job)           outcome: one ▼
//!                                                                         step)      dead
//! ```
//!
//! From the ground up, each file using only those before it (a test sees to that):
//!
//! | what | files |
//! |---|---|
//! | names, time, wire form, plain decisions | `keys` `clock` `readable` `json` `jid` `payload` `head` `ties` `placed` `active_job` `invalid` `signals` `lifecycle` `lookout` `patterns` `queues` `limits` `options` `tls` `server` `slots` `schedule` `scripts` (`lua/`) `metrics` `counters` `sign` `waits` `backtrace` `retry` `failed` `status` `field` `delivery` `inflight` `tracker` `meter` `address` `gauge` `wakes` `serving` `taken` `errors` `enqueue_error` `enqueued` `refusals` `process` `fate` `endings` `rescues` |
//! | the connection, and the right to take jobs on it | `connection` `connect` `redis` `records` `session` |
//! | what authors of jobs see | `iteration` `run` `context` `middleware` `job` `batch` `pushing` `recorded` `pushes` `client` `backlog` `buffered` `notice` `cron_line` |
//! | looking at jobs from outside of them, and steering: `inspect/` | `entry` `fleet` `sets` `found` `needle` `picks` `pages` `waiting` `oldest` `queue_list` `wanted` `search` `holds` `whereabouts` `busy` `figures` `moves` `edits` `steer` `cron_list` `history` `inspect` |
//! | what tests of theirs use | `trial` `private_redis` `testing` |
//! | one verb each | `suspects` `finish` `fetch` `track` `giveback` `watchdog` `heartbeat` `reaper` `poller` `crontab` `cron` |
//! | one job; all of them; the process | `registry` `outcome` `judge` `processor` `intake` `parts` `idle` `worker` |

mod active_job;
mod address;
#[cfg(test)]
mod arbitrary;
mod backlog;
mod backtrace;
mod batch;
mod buffered;
mod client;
mod clock;
mod connect;
mod connection;
mod context;
mod counters;
mod cron;
mod cron_line;
mod crontab;
mod delivery;
mod endings;
mod enqueue_error;
mod enqueued;
mod errors;
mod failed;
mod fate;
mod fetch;
mod field;
mod finish;
mod gauge;
mod giveback;
mod head;
mod heartbeat;
mod idle;
mod inflight;
pub mod inspect;
mod intake;
mod invalid;
#[cfg(any(test, fuzzing))]
pub mod invariants;
mod iteration;
mod jid;
mod job;
mod json;
mod judge;
mod keys;
mod lifecycle;
mod limits;
mod lookout;
mod meter;
mod metrics;
mod middleware;
mod notice;
mod options;
mod outcome;
mod parts;
mod patterns;
mod payload;
mod placed;
mod poller;
mod private_redis;
mod process;
mod processor;
mod pushes;
mod pushing;
mod queues;
mod readable;
mod reaper;
mod recorded;
mod records;
mod redis;
mod refusals;
mod registry;
mod rescues;
mod retry;
mod run;
mod schedule;
mod scripts;
mod server;
mod serving;
mod session;
mod sign;
mod signals;
mod slots;
mod status;
mod suspects;
mod taken;
pub mod testing;
mod ties;
pub mod tls;
mod track;
mod tracker;
mod trial;
mod waits;
mod wakes;
mod watchdog;
mod worker;

pub use backlog::{BufferLimits, Pushed};
pub use buffered::Buffered;
pub use client::{Client, PushNext};
pub use connection::RedisOptions;
pub use context::JobContext;
pub use enqueue_error::EnqueueError;
pub use enqueued::Enqueued;
pub use errors::{code, is_full, is_unavailable};
pub use failed::Failed;
pub use inspect::is_dead;
pub use invalid::Invalid;
pub use job::Job;
pub use lifecycle::{Exit, Lifecycle, Phase, Pulse};
pub use limits::QueueLimits;
pub use meter::{Class, Meter, Readings};
pub use metrics::Spread;
pub use middleware::{Call, Next};
pub use notice::{Notice, Stopped, StuckJob};
pub use options::WorkerOptions;
pub use payload::Payload;
pub use process::resident_kib;
pub use queues::QueueList;
pub use redis::Redis;
pub use registry::Registry;
pub use retry::{Retry, Stop};
pub use schedule::{Missed, Schedule};
pub use server::ServerInfo;
pub use status::{State, Status};
pub use tls::TlsVerify;
pub use worker::Worker;
