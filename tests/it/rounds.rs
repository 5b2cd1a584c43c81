//! The rounds of a soak: which fault, how often, under which load. All with the engine's own
//! times, and four processes.

use std::ops::Range;
use std::time::Duration;

use tokio::time::sleep;

use crate::brimful::brimful;
use crate::campaign::{Field, Plan, campaign};
use crate::proxy::{Fault, Kind, Proxy};
use crate::soak::Span;
use crate::storm::{blow, durable};
use crate::support::Server;
use crate::table::Row;

/// Jobs a second.
const PACE: f64 = 200.0;
/// Between two disturbances, in ms.
const SELDOM: Range<u64> = 1_500..3_000;
const OFTEN: Range<u64> = 50..500;

fn plan(span: Span, server: Server) -> Plan {
    Plan {
        unhurried: true,
        concurrency: 10,
        talks: Some(span.name),
        ..Plan::brisk(server, (PACE * span.length.as_secs_f64()) as usize, PACE)
    }
}

/// A load under one disturbance of Redis, again and again after pauses like this (in ms).
async fn under(
    span: Span,
    server: Server,
    pause: Range<u64>,
    mut disturb: impl AsyncFnMut(&mut Field, usize),
) -> Row {
    let disturbed = async |field: &mut Field, number: usize| {
        sleep(some(pause.start, pause.end)).await;
        field.disturbed(async |field| disturb(field, number).await).await;
    };
    Row::of(campaign(plan(span, server), 1, disturbed).await)
}

fn some(from: u64, to: u64) -> Duration {
    Duration::from_millis(fastrand::u64(from..to))
}

/// A kill every second or so, and now and then something else. Nobody is spared.
pub async fn processes(span: Span) -> Row {
    const GAP: usize = 8;
    let plan = plan(span, durable().await);
    let blows = async |field: &mut Field, number| blow(field, number, GAP, 0).await;
    Row::of(campaign(plan, 6 * GAP, blows).await)
}

/// A server without a free byte, while workers come and go.
pub async fn brim(span: Span) -> Row {
    let seen = brimful(span.length).await;
    Row { injected: seen.refused, jobs: seen.jobs, ..Row::default() }
}

pub async fn power_cut(span: Span) -> Row {
    let disturb = async |field: &mut Field, _| {
        sleep(some(1_500, 3_000)).await;
        let all = async |field: &mut Field| {
            field.server.kill();
            field.fleet.kill_all().await;
            back(&mut field.server).await;
        };
        field.disturbed(all).await;
        sleep(Duration::from_secs(30)).await; // time to recover: not one outage but many
    };
    Row::of(campaign(plan(span, durable().await), 1, disturb).await)
}

pub async fn restarts(span: Span) -> Row {
    under(span, durable().await, SELDOM, async |field, _| restart(field).await).await
}

async fn restart(field: &mut Field) {
    field.server.kill();
    back(&mut field.server).await;
}

/// It is away for some time.
async fn back(server: &mut Server) {
    sleep(some(0, 3_000)).await;
    server.launch();
    server.answers().await;
}

/// For longer than any deadline, or even than any record lives.
pub async fn silence(span: Span) -> Row {
    under(span, Server::start().await, SELDOM, async |field, number| {
        let ms = if number % 3 == 1 { 22_000 } else { 7_000 };
        let () = field.server.query(&format!("CLIENT PAUSE {ms} ALL")).await;
        field.server.answers().await;
    })
    .await
}

pub async fn closed(span: Span) -> Row {
    under(span, Server::start().await, OFTEN, async |field, _| close(field).await).await
}

async fn close(field: &mut Field) {
    let _: u32 = field.server.query("CLIENT KILL TYPE normal").await;
}

pub async fn forgotten(span: Span) -> Row {
    under(span, Server::start().await, OFTEN, async |field, _| forget(field).await).await
}

async fn forget(field: &mut Field) {
    let () = field.server.query("SCRIPT FLUSH").await;
}

pub async fn full(span: Span) -> Row {
    under(span, Server::start().await, SELDOM, async |field, _| fill(field).await).await
}

async fn fill(field: &mut Field) {
    let () = field.server.query("CONFIG SET maxmemory 1").await;
    sleep(some(3_000, 6_000)).await;
    let () = field.server.query("CONFIG SET maxmemory 0").await;
}

/// Here the faults are counted that really happened.
pub async fn proxied(span: Span) -> Row {
    let server = Server::start().await;
    let proxy = Proxy::start(&server).await;
    let plan = Plan { url: Some(proxy.url()), ..plan(span, server) };
    let disturb = async |field: &mut Field, _: usize| {
        field
            .disturbed(async |_| {
                proxy.chaos(15);
                sleep(some(1_000, 3_000)).await;
                proxy.chaos(0);
                for kind in [Kind::Fetch, Kind::Finish, Kind::Ending, Kind::Checkpoint, Kind::Beat]
                {
                    proxy
                        .arm(kind, [Fault::Close, Fault::Mute, Fault::Delay][fastrand::usize(..3)]);
                }
                sleep(some(6_000, 8_000)).await; // a deadline has passed
                proxy.release();
                proxy.disarm();
            })
            .await;
    };
    let (verdict, _) = campaign(plan, 1, disturb).await;
    Row::of((verdict, proxy.struck()))
}

/// Kills, while Redis has its bad days.
pub async fn mixture(span: Span) -> Row {
    let disturb = async |field: &mut Field, number: usize| {
        field.fleet.kill(1).await;
        match number % 10 {
            1 => field.disturbed(restart).await,
            3 => field.disturbed(close).await,
            5 => field.disturbed(forget).await,
            7 => field.disturbed(fill).await,
            9 => field.fleet.stop(field.fleet.hands.len() - 1, &["TERM", "TERM"]).await,
            _ => {}
        }
        if number % 10 == 9 {
            field.fleet.launch();
        }
        sleep(some(500, 1_500)).await;
    };
    Row::of(campaign(plan(span, durable().await), 10, disturb).await)
}
