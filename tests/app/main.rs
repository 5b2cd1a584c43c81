//! The programs from outside: the real ones, a private Redis, plain HTTP.
//!
//! | module | what it shows |
//! |---|---|
//! | `boot` | command line, bad settings, a taken port |
//! | `guard` | what is not there |
//! | `health` | what a worker tells orchestrators |
//! | `metrics`, `exposition` | what Prometheus reads, and whether it could |
//! | `dashboard` | who sees it, what its forms take, where they lead |
//! | `dashboard_limits` | … of a Redis that is full, read-only, away, strange |
//! | `dashboard_lists` | … searched, sorted, in pages |
//! | `hirefire` | what an autoscaler is told |
//! | `stop` | signals |
//! | `slow` | clients that do not finish what they begin to ask, or are too many |
//! | `embedded` | `web` with a worker in it |
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
//! | `procfile` | the `Procfile` as each of its readers takes it |
//! | `app_json`, `json_schema` | `app.json` and Dokku's: Heroku's schema, the programs' settings |
//! | `image` | `Dockerfile`, `heroku.yml`, `project.toml`, `.slugignore` |
//! | `sample` | all that tries them by way of the sample | // sample
//! | `rename` | `bin/rename`: a name of your own |
//! | `scripts` | `bin/jobs` and `bin/dev` before they build |
//! | `project` | what GitHub reads, and what CONTRIBUTING.md says of tests |
//! | `deploy` | what `docs/deploy.md` names is there |
//! | `readme` | the README's first job, done as it says |
//! | `http`, `support` | a small HTTP client, private servers |

mod app_json;
mod boot;
mod cancel;
mod dashboard;
mod dashboard_limits;
mod dashboard_lists;
mod deploy;
mod edits;
mod embedded;
mod enqueue;
mod exposition;
mod guard;
mod health;
mod hirefire;
mod http;
mod image;
mod jobs;
mod json_schema;
mod look;
mod metrics;
#[path = "../it/notify.rs"]
mod notify;
mod ops;
mod pidfile;
mod procfile;
mod project;
mod readme;
mod rename;
mod sample; // sample
mod scripts;
mod slow;
mod stop;
mod supervision;
mod support;
mod usage;
mod webhook;
mod why;
