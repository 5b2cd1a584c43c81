//! The sample app from outside: the real programs, a private Redis, plain HTTP.
//!
//! | module | what it shows |
//! |---|---|
//! | `boot` | command line, bad settings, a taken port |
//! | `guard` | who may use the endpoints |
//! | `health` | what a worker tells orchestrators |
//! | `metrics`, `exposition` | what Prometheus reads, and whether it could |
//! | `dashboard` | who sees it, what its forms take, where they lead |
//! | `dashboard_limits` | … of a Redis that is full, read-only, away, strange |
//! | `hirefire` | what an autoscaler is told |
//! | `upload` | what is taken, and what is refused before anything is stored |
//! | `import` | what becomes of a file, interrupted or not |
//! | `outage` | no Redis, a full Redis |
//! | `stop` | signals, open event streams |
//! | `embedded` | `web` with a worker in it |
//! | `trace` | a trace id, from a request to the lines about its jobs |
//! | `ops` | the files in `ops/`, tried with systemd's checker and with monit |
//! | `pidfile` | `worker --pidfile` |
//! | `supervision` | what systemd hears of them |
//! | `webhook` | deliveries, and targets that are refused |
//! | `jobs` | the program `jobs`: what it sees, stops and marks |
//! | `usage` | its help, bad usage, no Redis |
//! | `cancel` | `jobs cancel` |
//! | `look` | `jobs stats`, `queues`, `busy`, `processes`, `retries`, `scheduled`, `dead` |
//! | `why` | `jobs why` |
//! | `edits` | `jobs retry`, `kill`, `delete` |
//! | `enqueue` | `jobs enqueue`, `quiet`, `stop` |
//! | `readme` | the README's first job, done as it says |
//! | `http`, `support` | a small HTTP client, private servers |

mod boot;
mod cancel;
mod dashboard;
mod dashboard_limits;
mod edits;
mod embedded;
mod enqueue;
mod exposition;
mod guard;
mod health;
mod hirefire;
mod http;
mod import;
mod jobs;
mod look;
mod metrics;
#[path = "../it/notify.rs"]
mod notify;
mod ops;
mod outage;
mod pidfile;
mod readme;
mod stop;
mod supervision;
mod support;
mod trace;
mod upload;
mod usage;
mod webhook;
mod why;
