//! The storm: workers are killed, frozen, replaced and stopped in every way while jobs pour in.
//! Nothing is lost, and each run too many has its reason.

use std::time::Duration;

use crate::campaign::{Field, Plan, campaign};
use crate::support::Server;
use crate::verdict::Verdict;

/// One blow: kills, and each time after so many of them one of the others, in turn. Those that
/// are spared by the kills live for long enough to look after the dead.
pub async fn blow(field: &mut Field, number: usize, gap: usize, spared: usize) {
    let Field { server, fleet, .. } = field;
    fleet.thaw(server).await;
    match (number % gap == gap - 1).then_some(number / gap % 6) {
        None => fleet.kill(spared).await,
        Some(0) => fleet.freeze(server, spared).await,
        Some(1) => fleet.deploy(false).await,
        Some(2) => fleet.stop_at_boot().await,
        Some(3) => fleet.quiet(server).await,
        Some(4) => fleet.deploy(true).await,
        Some(_) => stop_without_redis(field).await,
    }
    let fleet = &mut field.fleet;
    fleet.gone().await;
    tokio::time::sleep(Duration::from_millis(fastrand::u64(600..1_200))).await;
}

/// TERM in the moment when Redis dies.
async fn stop_without_redis(field: &mut Field) {
    field
        .disturbed(async |field| {
            field.fleet.launch();
            let youngest = field.fleet.hands.len() - 2; // but for the new one
            field.fleet.stop(youngest, &["TERM"]).await;
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
    let plan = Plan::brisk(durable().await, 1_500, 110.0);
    let (verdict, blows) = campaign(plan, 12, async |field, n| blow(field, n, 2, 0).await).await;
    assert_clean(&verdict);
    assert!(verdict.duplicated > 0, "{blows} blows, and none of them hit a running job");
}
