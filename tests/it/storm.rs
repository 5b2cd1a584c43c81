//! The storm: workers are killed, frozen, replaced and stopped in every way while jobs pour in.
//! Nothing is lost, and each run too many has its reason.

use std::time::Duration;

use crate::campaign::{Field, Plan, campaign};
use crate::support::Server;
use crate::verdict::Verdict;

/// One blow: kills, and between them everything else in turn. Those that are spared live on for
/// long enough to look after the dead.
pub async fn blow(field: &mut Field, number: usize, spared: usize) {
    let Field { server, fleet, .. } = field;
    fleet.thaw(server).await;
    match number % BLOWS {
        1 => fleet.freeze(server, spared).await,
        3 => fleet.deploy(false).await,
        5 => fleet.stop_at_boot().await,
        7 => fleet.deploy(true).await,
        9 => fleet.quiet(server).await,
        11 => stop_without_redis(field).await,
        _ => fleet.kill(spared).await,
    }
    let fleet = &mut field.fleet;
    fleet.gone().await;
    tokio::time::sleep(Duration::from_millis(fastrand::u64(600..1_200))).await;
}

/// So many are all kinds of them.
pub const BLOWS: usize = 12;

/// TERM in the moment when Redis dies.
async fn stop_without_redis(field: &mut Field) {
    field
        .disturbed(async |field| {
            field.fleet.launch();
            field.fleet.stop(0, &["TERM"]).await;
            field.server.kill();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..300))).await;
            field.server.launch();
            field.server.answers().await;
        })
        .await;
}

pub async fn durable() -> Server {
    Server::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await
}

/// Nothing is lost, and everything is explained.
pub fn assert_clean(verdict: &Verdict) {
    assert!(verdict.lost.is_empty(), "lost: {:?}", verdict.lost);
    assert!(verdict.unexplained.is_empty(), "unexplained: {:?}", verdict.unexplained);
    assert!(verdict.wrong.is_empty(), "{:?}", verdict.wrong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_in_a_storm() {
    let plan = Plan::brisk(durable().await, 1_500, 90.0);
    let (verdict, blows) = campaign(plan, BLOWS, async |field, n| blow(field, n, 0).await).await;
    assert_clean(&verdict);
    assert!(verdict.duplicated > 0, "{blows} blows, and none of them hit a running job");
}
