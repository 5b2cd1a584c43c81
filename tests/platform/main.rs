//! A platform in a test.

#[path = "../app/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../app/support.rs"]
#[allow(dead_code)]
mod support;

mod campaign;
mod dyno;
mod formation;
mod load;
mod log;
mod pace;
mod platform;
mod procfile;
mod receiver;
mod router;
mod rules;
mod space;
mod wire;
