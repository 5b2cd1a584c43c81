//! Beside the real Sidekiq: its clients, its API, its workers, on the same Redis as ours. Where
//! Ruby or Sidekiq is not installed (`apt-get install ruby-sidekiq ruby-activejob`), these tests
//! say so and pass.

pub mod ruby; // runs scripts and workers of Ruby

mod api; // what the API says about us
mod api_edits; // … and does to entries of ours
mod both; // Ruby and Rust workers on the same queues
mod bytes; // JSON that Ruby writes again byte by byte
mod cron; // what the sidekiq-cron gem does with lines of ours
mod judge; // what becomes of odd payloads, there and here
mod to_ruby; // jobs of ours that a Ruby worker runs

mod to_rust; // jobs of Ruby that we run
mod verdicts; // … and the payloads
