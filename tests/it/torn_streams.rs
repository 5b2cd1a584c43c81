//! The network between workers, clients and Redis at its worst: bytes come one by one and late,
//! connections break in the middle of a frame, in one direction or both, replies of executed
//! commands included. No job is lost, none runs that was refused, and none starts twice but for
//! what the engine itself counted as taken back or lost.

use std::time::Duration;

use crate::load::{Load, sturdy};
use crate::relay::{Break, Door, Relay};
use crate::support::{Server, eventually};

/// A seed to repeat a failure with, as far as the machine's timing lets it: `SEED=… bin/test torn`.
fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_network_does_each_job_is_done() {
    let server = Server::start().await;
    let relay = Relay::seeded(&server, seed()).await;
    relay.rough(true);
    let mut load = Load::on(relay.redis());
    let workers = [(); 2].map(|()| load.worker(relay.redis(), sturdy()));
    let all = async || relay.struck().iter().all(|(_, times)| *times > 1);
    while !all().await {
        load.more(25).await;
        eventually("they run", async || load.started() * 4 > load.enqueued()).await;
    }
    relay.rough(false);
    relay.cut();
    load.gets_through().await;
    load.settles(&server).await;
    for worker in workers {
        worker.stop().await;
    }
    let surplus = load.surplus(&server).await;
    let counted = async |name: &str| {
        let field = format!("HGET roustabout:counters {name}");
        server.query::<Option<usize>>(&field).await.unwrap_or(0)
    };
    let explained = counted("rescued").await + counted("lost_leases").await;
    assert!(surplus <= explained, "{surplus} of {} unexplained", load.started());
    eprintln!("{} jobs, {:?}", load.enqueued(), relay.struck());
}

/// A connection that breaks in one certain way while the worker is at it.
async fn one_break(kind: Break, upwards: bool) {
    let server = Server::start().await;
    let relay = Relay::to(&server).await;
    let mut load = Load::on(server.redis());
    let worker = load.worker(relay.redis(), sturdy());
    let struck = || relay.struck().iter().map(|(_, times)| times).sum::<usize>();
    for times in 1..=3 {
        relay.breaks_next(kind, upwards);
        relay.cut();
        while struck() < times {
            load.more(5).await;
        }
    }
    load.settles(&server).await;
    worker.stop().await;
    load.check(&server).await;
}

macro_rules! breaks {
    ($($name:ident: $kind:ident $upwards:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            one_break(Break::$kind, $upwards).await;
        }
    )*};
}

breaks! {
    requests_are_cut_off: Close true;
    replies_are_cut_off: Close false;
    requests_end_in_a_reset: Reset true;
    replies_end_in_a_reset: Reset false;
    the_way_up_is_shut: Half true;
    the_way_down_is_shut: Half false;
    the_way_up_stalls: Stall true;
    the_way_down_stalls: Stall false;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_is_slammed_or_silent_is_tried_until_it_opens() {
    let server = Server::start().await;
    let relay = Relay::to(&server).await;
    let mut load = Load::on(relay.redis());
    let worker = load.worker(relay.redis(), sturdy());
    load.more(10).await;
    for door in [Door::Slammed, Door::Silent] {
        relay.door(door);
        relay.cut();
        let redis = relay.redis();
        eventually("it is away", async || redis.status().is_err()).await;
        assert!(load.one_more().await.is_some());
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        relay.door(Door::Open);
        relay.cut();
        load.gets_through().await;
    }
    load.settles(&server).await;
    worker.stop().await;
    load.check(&server).await;
}
