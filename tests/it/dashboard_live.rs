//! The dashboard as one works with it: it follows what happens without taking anything out of
//! one's hands, and everything can be done by the keyboard.

use serde_json::{Value, json};

use crate::board::Board;
use crate::child::{Child, Note, notes};
use crate::support::eventually;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

async fn bury(board: &Board, n: u32) {
    let now = board.server.query::<(f64, f64)>("TIME").await.0;
    let job = json!({"class": "Lost", "args": ["x".repeat(300)], "queue": "default",
        "jid": format!("j{n}"), "error_class": "E", "error_message": "no"});
    board.put("dead", now - 100.0 + f64::from(n), &job).await;
}

async fn holds(board: &Board, code: &str) -> bool {
    board.browser.script(&format!("return {code}")).await == Value::Bool(true)
}

#[tokio::test]
async fn a_page_follows_and_leaves_alone_what_somebody_holds() {
    let Some(mut board) = Board::open().await else { return };
    for n in 0..3 {
        bury(&board, n).await;
    }
    board.page("/dead").await;
    board.browser.script("window.same = true").await;
    // the second row is opened and ticked, the head's box stays as it is; then on to the search
    board.browser.click("(//tbody//summary)[2]").await;
    board.browser.click("(//tbody//input[@type='checkbox'])[2]").await;
    board.browser.click("//details[contains(@class, 'sure')]/summary").await;
    board.browser.click("//input[@type='search']").await;
    board.browser.press("typed").await;
    bury(&board, 3).await;
    let rows = "document.querySelectorAll('#jobs tbody tr').length == 4";
    eventually("the new one is there", async || holds(&board, rows).await).await;
    for code in [
        "window.same",
        "document.querySelector('input[type=search]').value == 'typed'",
        "document.activeElement.type == 'search'",
        "document.querySelectorAll('tbody input:checked').length == 1",
        "document.querySelector('tbody input:checked').value.endsWith('j1')",
        "document.querySelectorAll('tbody details[open]').length == 1",
        "document.querySelector('tbody details[open]').closest('tr').innerText.includes('Lost')",
        "document.querySelector('details.sure').open",
        "!document.querySelector('[data-all]').checked",
    ] {
        assert!(holds(&board, code).await, "{code}");
    }
    // all, and after the next one all that were ticked
    board.browser.click("//input[@data-all]").await;
    board.browser.click("//input[@type='search']").await;
    bury(&board, 4).await;
    eventually("the next one", async || holds(&board, &rows.replace('4', "5")).await).await;
    assert!(holds(&board, "document.querySelectorAll('tbody input:checked').length == 4").await);

    // nothing moves under the mouse of somebody who is about to click
    board.browser.hover("//button[.='Delete']").await;
    bury(&board, 5).await;
    let badge = "document.querySelector('nav a[aria-current] .badge').textContent == '6'";
    eventually("the number above", async || holds(&board, badge).await).await;
    let rows = |n: u32| format!("document.querySelectorAll('#jobs tbody tr').length == {n}");
    assert!(holds(&board, &rows(5)).await);
    board.browser.hover("//h1").await;
    eventually("the row below", async || holds(&board, &rows(6)).await).await;

    // numbers of the first page, and a Redis that goes and comes
    board.page("").await;
    board.browser.script("window.same = true").await;
    let child = Child::of(&board.server);
    board.client.enqueue(Note { name: "one".into() }).await.unwrap();
    notes(&board.server, "one").await;
    let total = "document.querySelector('#totals').innerText.match(/processed\\s+1\\s/i) != null";
    eventually("it is counted", async || holds(&board, total).await).await;
    let drawn = "document.querySelector('#line-runs').getAttribute('points').includes(' ')";
    eventually("it is drawn", async || holds(&board, drawn).await).await;
    assert!(holds(&board, "window.same").await);
    board.in_order("a followed page").await;
    child.stop().await;
    board.server.kill();
    let said =
        "(document.querySelector('#away')?.textContent ?? '').includes('Redis cannot be used now')";
    eventually("it says so", async || holds(&board, said).await).await;
    // and a page that is opened meanwhile
    assert_eq!(board.browser.open(&board.url("/dead")).await, 503);
    assert!(board.browser.text("main").await.contains("Redis cannot be used now"));
    board.server.launch();
    board.server.answers().await;
    let back = "document.querySelector('main').innerText.includes('No job is given up')";
    eventually("it is back by itself", async || holds(&board, back).await).await;
}

/// Presses Tab until the focus is on what a selector finds, and it can be seen there.
async fn tab_to(board: &Board, css: &str) {
    let there = format!("document.activeElement.matches({})", json!(css));
    for _ in 0..60 {
        board.browser.press(TAB).await;
        if holds(board, &there).await {
            let outline = "return getComputedStyle(document.activeElement).outlineStyle + ' '
                + getComputedStyle(document.activeElement).outlineWidth";
            let outline = board.browser.script(outline).await;
            let seen =
                outline.as_str().is_some_and(|it| it.starts_with("solid") && !it.ends_with(" 0px"));
            assert!(seen, "{css}: {outline}");
            return;
        }
    }
    panic!("no way to {css}");
}

#[tokio::test]
async fn everything_can_be_done_by_the_keyboard() {
    let Some(board) = Board::open().await else { return };
    for n in 0..4 {
        bury(&board, n).await;
    }
    board.page("/dead").await;
    tab_to(&board, "a.skip").await;
    assert!(holds(&board, "document.activeElement.getBoundingClientRect().left >= 0").await);
    board.browser.press(ENTER).await;
    assert!(holds(&board, "document.activeElement.id == 'content'").await);
    tab_to(&board, "input[name=job]").await;
    board.browser.press(" ").await;
    assert!(holds(&board, "document.activeElement.checked").await);
    // which would press a form's first button
    board.browser.script("window.same = true").await;
    board.browser.press(ENTER).await;
    assert!(holds(&board, "window.same && document.activeElement.checked").await);
    tab_to(&board, "tbody summary").await;
    board.browser.press(ENTER).await;
    assert!(holds(&board, "document.activeElement.parentElement.open").await);
    board.browser.script("document.querySelector('main').focus()").await;
    tab_to(&board, "button[value=delete]").await;
    board.browser.press(ENTER).await;
    eventually("it is told", async || {
        holds(
            &board,
            "document.querySelector('.told')?.textContent == '1 job: The job is deleted.'",
        )
        .await
    })
    .await;
    assert_eq!(board.count("ZCARD dead").await, 3);
    // all of them, behind something that opens
    tab_to(&board, "details.sure > summary").await;
    board.browser.press(" ").await;
    tab_to(&board, "button[value=delete-all]").await;
    board.browser.press(" ").await;
    eventually("they are gone", async || board.count("ZCARD dead").await == 0).await;
    // a page by its link, a switch, a search
    board.page("").await;
    tab_to(&board, "nav a[href='/dashboard/queues']").await;
    board.browser.press(ENTER).await;
    eventually("it is open", async || {
        holds(&board, "location.pathname == '/dashboard/queues'").await
    })
    .await;
    tab_to(&board, "#follow").await;
    board.browser.press(" ").await;
    assert!(holds(&board, "!document.activeElement.checked").await);
    board.page("/retries").await;
    assert!(holds(&board, "!document.querySelector('#follow').checked").await, "it stays off");
}

#[tokio::test]
async fn what_never_answers_in_time_is_asked_for_seldom() {
    let Some(board) = Board::open().await else { return };
    board.page("").await;
    // a clock on which each fetch takes 20 s and fails
    let slow = "window.clock = 0; window.pauses = []; performance.now = () => window.clock; \
        window.fetch = () => { window.clock += 20000; return Promise.reject(new Error('late')); }; \
        const wait = window.setTimeout; \
        window.setTimeout = (done, pause) => { window.pauses.push(pause); return wait(done, pause); }";
    board.browser.script(slow).await;
    eventually("it has asked", async || holds(&board, "window.pauses.length > 0").await).await;
    assert_eq!(board.browser.script("return window.pauses[0]").await, 60_000);
}

#[tokio::test]
async fn a_double_click_is_one() {
    let Some(board) = Board::open().await else { return };
    board.tell(&["SADD", "queues", "default"]).await;
    board.page("/queues").await;
    // nothing is sent: what would be is counted
    let count = "window.sent = 0; window.addEventListener('submit', (event) => { \
        if (!event.defaultPrevented) window.sent += 1; event.preventDefault(); }); \
        const button = document.querySelector('button[value=pause]'); \
        button.click(); button.click(); return window.sent";
    assert_eq!(board.browser.script(count).await, 1);
}
