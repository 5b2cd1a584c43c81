//! Jobs with whom so many processes have died that one more would bury them: found before they
//! start, accused when they start. See `rescues.rs`.

use std::sync::Arc;

use redis::{RedisResult, cmd};

use super::delivery::Delivery;
use super::head::Head;
use super::jid::known_as;
use super::keys;
use super::rescues::Rescues;
use super::scripts;
use super::session::Session;

/// Looks up which of these are suspects.
pub(crate) async fn find(session: &Session, deliveries: &[Arc<Delivery>]) {
    if deliveries.is_empty() {
        return;
    }
    let ids: Vec<String> = deliveries.iter().map(|delivery| id(delivery)).collect();
    let mut read = cmd("HMGET");
    read.arg(keys::RESCUES).arg(&ids);
    let records: RedisResult<Vec<Option<String>>> = session
        .persist(|lease| {
            let read = read.clone();
            async move { lease.connection.query(&read).await }
        })
        .await;
    let records = records.unwrap_or_else(|error| {
        tracing::warn!(%error, key = keys::RESCUES, "nobody is a suspect: what is known of them cannot be read");
        Vec::new()
    });
    let now = session.redis.clock().now();
    for (delivery, record) in deliveries.iter().zip(records) {
        let Some(record) = record else { continue };
        delivery.was_rescued();
        let accusation = Rescues::accusing(&record, now, session.identity(), delivery.field);
        if let Some(accusation) = accusation {
            delivery.suspect(accusation.to_string());
        }
    }
}

/// Writes the accusation down; the job may start only when that is done.
pub(crate) async fn accuse(session: &Session, delivery: &Delivery) {
    let Some(accusation) = delivery.accusation() else {
        return;
    };
    let accused = session
        .persist(|lease| async move {
            let mut script = scripts::ACCUSE.prepare_invoke();
            script.arg(keys::RESCUES).arg(keys::RESCUE_WINDOW.as_secs());
            script.arg(id(delivery)).arg(accusation);
            lease.connection.run::<()>(&script).await
        })
        .await;
    if let Err(error) = accused {
        tracing::warn!(%error, key = keys::RESCUES, "a suspect runs without an accusation");
    }
}

fn id(delivery: &Delivery) -> String {
    let jid = Head::parse(&delivery.raw).ok().and_then(|head| head.jid);
    known_as(&delivery.raw, jid.as_deref())
}
