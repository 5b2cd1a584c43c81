//! What the pages of the dashboard show, in a browser: what is there, and what strangers made to
//! do harm.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::board::{Board, Site};
use crate::child::{Gate, Note, Setup};
use crate::strangers::{ID, MARKUP, RIGHT_TO_LEFT, plant};
use crate::support::eventually;

fn coded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

#[tokio::test]
async fn the_pages_show_what_is_there() {
    let Some(board) = Board::open().await else { return };
    let cron = Some("0 4 * * 1".to_owned());
    let child = Setup { concurrency: 2, cron, ..Setup::new(&board.server) }.start();
    let identity = child.identity(&board.server).await;
    board.client.enqueue(Note { name: "first".into() }).await.unwrap();
    board.push("Nobody", json!(["an argument"]), 5).await;
    board.push("Gone", json!([]), 0).await;
    eventually("they have run", async || {
        board.count("ZCARD retry").await + board.count("ZCARD dead").await == 2
    })
    .await;
    let mut jids = Vec::new();
    for name in ["one", "two", "three"] {
        jids.push(board.client.enqueue(Gate { name: name.into() }).await.unwrap().to_string());
    }
    let status = format!("roustabout:status:{}", jids[0]);
    board.tell(&["HSET", &status, "state", "running", "at", "1", "progress", "30/120"]).await;
    board.tell(&["HSET", &status, "message", "row by row"]).await;
    eventually("it is all counted", async || {
        board.count(&format!("HGET {identity} busy")).await == 2
            && board.count("GET stat:processed").await == 3
    })
    .await;
    // nobody takes jobs of every queue here but this one
    board.tell(&["RPUSH", "queue:lonely", r#"{"class":"Alone","args":[],"jid":"l1"}"#]).await;
    board.tell(&["SADD", "queues", "lonely"]).await;

    let page = board.page("").await;
    for words in
        ["processed\n3", "failed\n2", "busy\n2\nof 2 places", "MiB", "noeviction", "of 10,000"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let page = board.page("/busy").await;
    for words in ["Gate", "30 of 120", "row by row", identity.rsplit_once(':').unwrap().0] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(board.browser.script("return document.querySelector('progress').value").await, 30);
    let page = board.page("/processes").await;
    for words in [&*identity, "2 of 2", concat!("version ", env!("CARGO_PKG_VERSION")), "default"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let page = board.page("/queues").await;
    for words in ["default\t1", "lonely", "1 process"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(board.page("/retries").await.contains("uninitialized constant Nobody"));
    assert!(board.page("/dead").await.contains("Gone"));
    let page = board.page("/cron").await;
    assert!(page.contains("0 4 * * 1") && page.contains("in "), "{page}");
    let page = board.page("/classes").await;
    assert!(page.contains("Note"), "{page}");
    let page = board.page(&format!("/jobs/{}", jids[0])).await;
    assert!(page.contains("running in") && page.contains("\"one\""), "{page}");
    let () = board.server.query("SET test:gate open").await;
    child.stop().await;
}

#[tokio::test]
async fn a_queue_that_no_process_serves_is_flagged() {
    let site = Site::open().await;
    site.tell(&["SADD", "processes", "p:1:a"]).await;
    site.tell(&["HSET", "p:1:a", "info", r#"{"queues":["default"]}"#, "busy", "0"]).await;
    for queue in ["default", "lonely"] {
        site.tell(&["RPUSH", &format!("queue:{queue}"), "{}"]).await;
        site.tell(&["SADD", "queues", queue]).await;
    }
    let page = site.get("").await;
    let (_, banner) = page.split_once("no process serves").expect("a banner");
    let banner = banner.split_once("</p>").unwrap().0;
    assert!(banner.contains("lonely") && !banner.contains("default"), "{banner}");
    let queues = site.get("/queues").await;
    let flagged = |queue: &str| {
        let (_, row) = queues.split_once(&format!("queues/{queue}\"")).expect("a row");
        row.split_once("</tr>").unwrap().0.contains("state bad\">nobody")
    };
    assert!(flagged("lonely") && !flagged("default"), "{queues}");
    site.tell(&["DEL", "processes"]).await;
    assert!(site.get("").await.contains("No worker process is alive"));
}

#[tokio::test]
async fn nothing_that_strangers_wrote_acts() {
    let Some(board) = Board::open().await else { return };
    plant(&board).await;
    let mut pages: Vec<String> = [
        "",
        "?range=day",
        "?range=month",
        "/queues",
        "/busy",
        "/processes",
        "/scheduled",
        "/retries",
        "/dead",
        "/cron",
        "/classes",
        "/dead?sort=class",
        "/dead?search=%3Cscript%3E",
        "/dead?from=7",
    ]
    .map(str::to_owned)
    .to_vec();
    for name in [ID, MARKUP, RIGHT_TO_LEFT] {
        pages.push(format!("/jobs/{}", coded(name)));
        pages.push(format!("/queues/{}", coded(name)));
    }
    for path in pages {
        let text = board.page(&path).await;
        let marks = ['\u{202e}', '\u{2067}', '\u{200b}'];
        assert!(!text.contains(marks), "{path}: {text}");
        assert!(!text.contains("Infinity") && !text.contains("NaN"), "{path}: {text}");
        let opened = "for (const one of document.querySelectorAll('details')) one.open = true;
            return document.querySelectorAll('main script, main img, main iframe, main [onload]').length";
        assert_eq!(board.browser.script(opened).await, 0, "{path}");
        let turned = "return Array.from(document.querySelectorAll('main tr')).filter(row => {
            const left = Array.from(row.cells, cell => cell.getBoundingClientRect().left);
            return left.some((x, n) => n > 0 && x < left[n - 1]) }).length";
        assert_eq!(board.browser.script(turned).await, 0, "{path}: rows that are turned around");
        board.in_order(&path).await;
    }
    // the links and boxes mean what they show
    board.page("/dead").await;
    let link = "const links = [...document.querySelectorAll('tbody td a')].map(a => a.getAttribute('href'));
        return links.filter(a => !a.startsWith('/dashboard/jobs/')).length";
    assert_eq!(board.browser.script(link).await, 0);
    let before = board.count("ZCARD dead").await;
    board.browser.click("(//tbody//input[@type='checkbox'])[2]").await;
    assert_eq!(board.click("//button[.='Delete']").await, "1 job: The job is deleted.");
    assert_eq!(board.count("ZCARD dead").await, before - 1);
    board.page(&format!("/jobs/{}", coded(ID))).await;
    board.click("//section[contains(., 'dead since')]//button[.='Retry']").await;
}

#[tokio::test]
async fn large_arguments_do_not_make_large_pages() {
    let site = Site::open().await;
    let now = site.server.query::<(f64, f64)>("TIME").await.0;
    let job = |n: usize, text: &str| {
        let error = text.get(..100_000).unwrap_or(text);
        json!({"class": "Large", "jid": format!("j{n}"), "queue": "large", "args": [text],
            "error_class": error, "error_message": error, "error_backtrace": vec![error; 10]})
    };
    let plain = "x".repeat(1 << 20);
    for n in 0..50 {
        let text = if n < 3 { &plain } else { &plain[..5_000] };
        site.put("dead", now + n as f64, &job(n, text)).await;
        site.put("retry", now + n as f64, &job(n, text)).await;
        site.tell(&["RPUSH", "queue:large", &job(n, text).to_string()]).await;
    }
    site.tell(&["SADD", "queues", "large"]).await;
    for path in ["", "/dead", "/dead?sort=class", "/retries", "/queues/large", "/jobs/j0"] {
        let page = site.get(path).await;
        assert!(page.len() < 300_000, "{path}: {} bytes", page.len());
    }
    assert!(site.get("/dead").await.contains("in all"), "it says that it is cut");
    // whatever takes many letters each in HTML
    for harm in ["\"", "\u{e0001}"] {
        let () = site.server.query("DEL dead").await;
        for n in 0..50 {
            site.put("dead", now + n as f64, &job(n, &harm.repeat(3_000))).await;
        }
        for path in ["/dead", "/jobs/j1"] {
            let page = site.get(path).await;
            assert!(page.len() < 1_000_000, "{path} {harm:?}: {} bytes", page.len());
        }
    }
}

#[tokio::test]
async fn the_history_is_drawn_from_what_workers_noted() {
    let Some(board) = Board::open().await else { return };
    let now = board.server.query::<(i64, i64)>("TIME").await.0 / 60 * 60;
    let at = |minutes: i64| chrono::DateTime::from_timestamp(now - minutes * 60, 0).unwrap();
    for (minutes, figures) in
        [(3, "100 1 500 0 0 0"), (2, "150 2 2000 0 0 0"), (1, "1150 2 0 0 0 0")]
    {
        let (day, time) = (at(minutes).format("%Y-%m-%d"), at(minutes).format("%H:%M").to_string());
        board.tell(&["HSET", &format!("roustabout:history:{day}"), &time, figures]).await;
    }
    let day = at(0).format("%Y-%m-%d").to_string();
    board.tell(&["SET", &format!("stat:processed:{day}"), "12345"]).await;
    board.page("").await;
    let rows = "document.querySelector('#history details').open = true;
        return [...document.querySelectorAll('#history tbody tr')].map(row => row.innerText)";
    let rows: Vec<String> = serde_json::from_value(board.browser.script(rows).await).unwrap();
    let has = |words: &str| rows.iter().any(|row| row.contains(words));
    assert!(has("\t50\t1\t2.0 s") && has("\t1,000\t0\t0 ms"), "{rows:?}");
    let bars = "return document.querySelectorAll('#history rect.processed').length";
    assert_eq!(board.browser.script(bars).await, 2);
    let page = board.page("?range=month").await;
    assert!(page.contains("up to 12,345 a day") && page.contains(&day), "{page}");
    assert!(board.page("?range=day").await.contains("in a quarter of an hour"));
}
