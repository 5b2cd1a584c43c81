//! A platform in a test: Heroku's contract with its dynos, kept in small, and the programs of the
//! repository's own Procfile on it, with a real Redis.
//!
//! The contract:
//!
//! - A **formation** (`web=1 worker=3`) gives each dyno a name, `DYNO`, which it has from the one
//!   before and leaves to the one after: at a deploy both live at once. Only web has a `PORT`.
//! - A **release** (a deploy, or a change of the config vars) sends TERM to all dynos and starts the
//!   new ones at once. **Cycling**, once a day, does so to one dyno. **Scaling** is no release:
//!   the highest numbers stop first, the others stay. One-off dynos are `run.N`, their caller's.
//! - Whatever lives 30 s after its TERM is killed: **R12**. A web dyno that does not listen 60 s
//!   after its start: **R10**. What ends unasked has crashed: it is started again at once, then
//!   after pauses that double, until a release forgives it. With **preboot** old web dynos are
//!   stopped only when the new ones are up.
//! - The **router** sends requests to the newest web dyno that is up, on connections that it keeps,
//!   and never twice. It holds them while one boots (**H20** after 75 s, **H11** beyond a hundred);
//!   else it answers for the dynos: **H10** crashed, **H12** no answer in 30 s, **H13** closed
//!   without one, **H14** no web dynos, **H18** half an answer, **H19** no connection in 5 s,
//!   **H21** refused. A request that is under way when its dyno is told to stop stays with it, and
//!   the router may hear of that later than the dyno.
//!
//! Times are scaled (`pace`). Left out: memory (R14, R15), idle streams (H15), Eco's sleep.
//!
//! | module | what it has |
//! |---|---|
//! | `campaign` | two hundred deploys under load; deploys while connections to Redis are cut |
//! | `rules` | the contract, rule by rule |
//! | `platform`, `space` | what a person can ask for; the dynos and what becomes of them |
//! | `procfile`, `formation`, `pace`, `dyno`, `router`, `wire`, `log` | its parts |
//! | `load`, `receiver` | users, a client in Ruby, and somebody who takes webhooks |

mod campaign;
mod dyno;
mod formation;
#[path = "../app/http.rs"]
#[allow(dead_code)]
mod http;
mod load;
mod log;
mod pace;
mod platform;
mod procfile;
mod receiver;
mod router;
mod rules;
mod space;
#[path = "../app/support.rs"]
#[allow(dead_code)]
mod support;
mod wire;
