//! The buttons of the dashboard, clicked in a browser, on jobs and processes that are real.

use std::time::Duration;

use roustabout::engine::Payload;
use serde_json::json;

use crate::board::Board;
use crate::child::{Child, Frozen, Note, Rows, Setup, noted, notes};
use crate::lost_replies::held;
use crate::support::eventually;

/// Ticks the row of a class and presses a button.
async fn tick_and_press(board: &Board, page: &str, class: &str, button: &str) -> String {
    board.page(page).await;
    let row = format!("//tr[td[@data-label='class'][normalize-space()='{class}']]");
    board.browser.click(&format!("{row}//input[@type='checkbox']")).await;
    board.click(&format!("//button[normalize-space()='{button}']")).await
}

/// Nothing is tried again while a test looks at what failed.
async fn put_off_the_retries(board: &Board) {
    let later = "for _, job in ipairs(redis.call('ZRANGE', 'retry', 0, -1)) do \
                 redis.call('ZINCRBY', 'retry', 3000, job) end";
    board.tell(&["EVAL", later, "0"]).await;
}

async fn left(board: &Board) -> [usize; 3] {
    [
        board.count("ZCARD schedule").await,
        board.count("ZCARD retry").await,
        board.count("ZCARD dead").await,
    ]
}

#[tokio::test]
async fn the_buttons_move_jobs() {
    let Some(board) = Board::open().await else { return };
    let child = Child::of(&board.server);
    let () = board.server.query("SET test:gate open").await;
    board.client.enqueue(Frozen { name: "failure".into() }).await.unwrap(); // the first time
    board.push("Nobody", json!([]), true).await;
    board.push("Absent", json!([]), true).await;
    let hour = Duration::from_secs(3_600);
    board.client.enqueue_in(hour, Note { name: "in time".into() }).await.unwrap();
    let far = board.client.enqueue_in(hour * 2, Note { name: "by itself".into() }).await.unwrap();
    eventually("they have failed", async || board.count("ZCARD retry").await == 3).await;
    put_off_the_retries(&board).await;

    tick_and_press(&board, "/retries", "Frozen", "Retry").await;
    notes(&board.server, "end failure").await;
    assert_eq!(left(&board).await, [2, 2, 0]);
    tick_and_press(&board, "/retries", "Nobody", "Kill").await;
    assert_eq!(left(&board).await, [2, 1, 1]);
    tick_and_press(&board, "/retries", "Absent", "Delete").await;
    assert_eq!(left(&board).await, [2, 0, 1]);
    // by the page of its own
    board.page(&format!("/jobs/{}", &*far)).await;
    assert_eq!(board.click("//button[.='Run now']").await, "The job went to its queue.");
    notes(&board.server, "by itself").await;
    board.page("/scheduled").await;
    board.browser.click("//input[@data-all]").await;
    assert_eq!(board.click("//button[.='Run now']").await, "1 job: The job went to its queue.");
    notes(&board.server, "in time").await;
    tick_and_press(&board, "/dead", "Nobody", "Retry").await;
    eventually("it has failed again", async || left(&board).await == [0, 1, 0]).await;
    eventually("nothing is in flight", async || held(&board.server).await == 0).await;
    for line in ["in time", "by itself", "end failure"] {
        assert_eq!(noted(&board.server, line).await, 1, "{line}");
    }
    child.stop().await;
}

#[tokio::test]
async fn all_that_match_are_dealt_with_and_no_others() {
    let Some(board) = Board::open().await else { return };
    let child = Child::of(&board.server);
    let now = board.server.query::<(f64, f64)>("TIME").await.0;
    for n in 0..120 {
        let kind = if n % 2 == 0 { "even" } else { "odd" };
        let job = json!({"class": "Note", "args": [format!("{kind} {n}")], "queue": "default",
            "jid": format!("j{n}"), "error_class": "E", "error_message": "no"});
        board.put("dead", now - 500.0 + f64::from(n), &job).await;
    }
    board.page("/dead").await;
    board.browser.script("document.querySelector('input[type=search]').value = 'EVEN'").await;
    board.follow("//button[.='Search']").await;
    board.browser.click("//summary[contains(., '60 jobs that match')]").await;
    let told = board.click("//button[normalize-space()='Retry 60 jobs that match']").await;
    assert_eq!(told, "60 jobs went to their queues.");
    assert_eq!(left(&board).await[2], 60);
    let done = async |words: &str| {
        let all = crate::child::diary(&board.server).await;
        all.iter().filter(|line| line.starts_with(words)).count()
    };
    eventually("they have run", async || done("even").await == 60).await;
    assert_eq!(done("odd").await, 0);
    // ticked: the ones of this page
    board.page("/dead?from=50").await;
    board.browser.click("//input[@data-all]").await;
    assert_eq!(board.click("//button[.='Delete']").await, "10 jobs are deleted.");
    assert_eq!(left(&board).await[2], 50);
    assert!(board.page("/dead").await.contains("odd 119"), "the last ones are first");
    child.stop().await;
}

#[tokio::test]
async fn queues_are_paused_and_cron_lines_run_now() {
    let Some(board) = Board::open().await else { return };
    let cron = Some("0 4 1 1 *".to_owned());
    let child = Setup { cron, ..Setup::new(&board.server) }.start();
    child.identity(&board.server).await;
    board.client.enqueue(Note { name: "before".into() }).await.unwrap();
    notes(&board.server, "before").await;
    board.page("/queues").await;
    let told = board.click("//tr[contains(., 'default')]//button[.='Pause']").await;
    assert!(told.contains("paused"), "{told}");
    board.client.enqueue(Note { name: "held".into() }).await.unwrap();
    let other = Payload::of(&Note { name: "elsewhere".into() }).unwrap().queue("other");
    board.client.push(other).await.unwrap();
    notes(&board.server, "elsewhere").await;
    assert_eq!(
        (noted(&board.server, "held").await, board.count("LLEN queue:default").await),
        (0, 1)
    );
    assert!(board.page("").await.contains("queues that are paused"));
    board.page("/queues/default").await;
    board.click("//button[.='Resume']").await;
    notes(&board.server, "held").await;

    eventually("the line is there", async || board.count("SCARD cron_jobs:roustabout").await == 1)
        .await;
    board.page("/cron").await;
    let told = board.click("//tr[contains(., 'cron')]//button[.='Run now']").await;
    assert!(told.starts_with("Enqueued"), "{told}");
    notes(&board.server, "cron").await;
    board.click("//button[.='Switch off']").await;
    assert!(board.page("/cron").await.contains("switched off"));
    board.click("//button[.='Switch on']").await;
    assert!(!board.page("/cron").await.contains("switched off"));
    child.stop().await;
}

#[tokio::test]
async fn processes_are_quieted_and_stopped_and_a_job_is_cancelled() {
    let Some(board) = Board::open().await else { return };
    let mut first = Child::of(&board.server);
    let one = first.identity(&board.server).await;
    let job = board.client.enqueue(Rows { name: "rows".into() }).await.unwrap();
    eventually("it runs", async || board.count("LLEN test:rows").await > 3).await;
    eventually("it is told", async || board.count(&format!("HGET {one} busy")).await == 1).await;
    board.page("/busy").await;
    let told = board.click("//tr[contains(., 'Rows')]//button[.='Cancel']").await;
    assert!(told.starts_with(&*job) && told.contains("checkpoint"), "{told}");
    eventually("it has ended", async || held(&board.server).await == 0).await;
    assert_eq!(noted(&board.server, "end rows").await, 0);

    let mut second = Child::of(&board.server);
    let two = second.identity(&board.server).await;
    let button =
        |identity: &str, name: &str| format!("//tr[contains(., '{identity}')]//button[.='{name}']");
    board.page("/processes").await;
    board.click(&button(&one, "Quiet")).await;
    let is_quiet = async |identity: &str| {
        board.server.query::<String>(&format!("HGET {identity} quiet")).await == "true"
    };
    eventually("it is quiet", async || is_quiet(&one).await).await;
    assert!(!is_quiet(&two).await);
    board.page("/processes").await;
    board.click(&button(&two, "Stop")).await;
    assert_eq!(second.ended().await, Some(0), "{}", second.log());
    assert!(first.runs());
    board.page("/processes").await;
    board.browser.click("//summary[.='Stop all…']").await;
    board.click("//button[.='Yes, stop all processes']").await;
    assert_eq!(first.ended().await, Some(0), "{}", first.log());
    assert!(board.page("/processes").await.contains("No worker process is alive"));
}

#[tokio::test]
async fn over_plain_http_the_buttons_are_known_for_our_own() {
    // there, a browser says no more of where a form is from than the page lets it
    let Some(board) = Board::afar("s3cret").await else { return };
    board.tell(&["SADD", "queues", "default"]).await;
    board.page("/queues").await;
    assert_eq!(board.browser.script("return window.isSecureContext").await, false);
    let told = board.click("//button[.='Pause']").await;
    assert!(told.contains("paused"), "{told}");
    assert_eq!(board.count("SCARD paused").await, 1);
}
