//! roustabout: a web process and a worker in one crate, with background jobs on Sidekiq's Redis
//! format.
//!
//! Yours to edit: [`config`], [`app`], [`routes`], [`jobs`] and what they use. Not yours:
//! [`engine`], which is replaced as a whole when you upgrade.

#![cfg_attr(not(test), warn(clippy::unwrap_used))] // what must not be is said where it may be seen

pub mod app;
pub mod boot;
pub mod config;
pub mod csv_file; // sample
pub mod dashboard;
pub mod engine;
pub mod explain;
pub mod health;
pub mod jobs;
pub mod logging;
pub mod metrics;
pub mod notices;
pub mod pidfile;
pub mod routes;
pub mod supervision;
pub mod terminal;
pub mod text;
pub mod trace;
pub mod webhooks;
pub mod work;
