//! The pictures in the README, taken of the real pages while real jobs run:
//! `SCREENSHOTS=docs/images cargo test --test it -- --ignored pictures`

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::board::Board;
use crate::child::{Gate, Note, Setup};
use crate::dashboard_look::{PHONE, history};

/// Five minutes is what the live chart shows; a part of it will do.
const SECONDS: u32 = 90;

#[tokio::test]
#[ignore = "takes two minutes, for people"]
async fn of_the_readme() {
    let Some(board) = Board::open().await else { return };
    let now = board.server.query::<(f64, f64)>("TIME").await.0;
    let (processed, failed) = history(&board, now as i64, 150).await;
    board.tell(&["MSET", "stat:processed", &processed, "stat:failed", &failed]).await;
    let child = Setup { concurrency: 10, ..Setup::new(&board.server) }.start();
    for (name, done) in [("customers.csv", 37), ("orders.csv", 104), ("prices.csv", 12)] {
        let jid = board.client.enqueue(Gate { name: name.into() }).await.unwrap();
        let key = format!("roustabout:status:{}", &*jid);
        let progress = format!("{done}000/120000");
        board.tell(&["HSET", &key, "state", "running", "at", "1", "progress", &progress]).await;
    }
    for n in 0..7_u32 {
        let class = ["ImportCsv", "DeliverWebhook", "WeeklyReport"][n as usize % 3];
        let message = ["no such host: example.com", "the answer was 503", "the file is gone"];
        let job = json!({
            "class": class, "queue": "default", "args": [{"id": n, "file": "customers.csv"}],
            "jid": format!("{n:024}"), "retry": 25, "retry_count": 24, "error_class": "Error",
            "error_message": message[n as usize % 3], "created_at": now - 4_000.0, "failed_at": now,
        });
        board.put("dead", now - 5_000.0 * f64::from(n), &job).await;
    }
    board.width(1_280).await;
    board.page("").await;
    for second in 0..SECONDS {
        let many = 120 + (second * 13) % 90 + if second % 30 > 22 { 200 } else { 0 };
        let notes = (0..many).map(|n| Note { name: format!("{second} {n}") });
        board.client.enqueue_all(notes).await.unwrap();
        if second % 5 == 0 {
            board.push("Newsletter", json!([second]), 25).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
    board.picture("overview").await;
    board.page("/dead").await;
    board.picture("dead").await;
    board.width(PHONE).await;
    board.theme("dark").await;
    board.page("/busy").await;
    board.picture("busy-phone").await;
    let () = board.server.query("SET test:gate open").await;
    child.stop().await;
}
