//! How the dashboard looks: in light and dark, at a desk and on a phone. Nothing is cut off, all
//! can be read, and pictures are kept for people (`target/screenshots`, or `SCREENSHOTS`).

use serde_json::{Value, json};

use crate::board::Board;
use crate::child::{Child, Gate, Note, Setup};
use crate::strangers;
use crate::support::eventually;

const PAGES: [(&str, &str); 10] = [
    ("overview", ""),
    ("queues", "/queues"),
    ("queue", "/queues/default"),
    ("busy", "/busy"),
    ("processes", "/processes"),
    ("scheduled", "/scheduled"),
    ("retries", "/retries"),
    ("dead", "/dead"),
    ("cron", "/cron"),
    ("classes", "/classes"),
];
/// The width of a phone.
pub const PHONE: u32 = 390;

/// Elements whose text stands out too little: less than 4.5 to 1, large ones 3 to 1.
const FAINT: &str = r"
const rgb = (text) => { const n = text.match(/[\d.]+/g).map(Number); return { c: n.slice(0, 3), a: n[3] ?? 1 }; };
const light = ([r, g, b]) => { const l = [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
const over = (top, below) => top.c.map((v, n) => v * top.a + below[n] * (1 - top.a));
const ground = (one) => { const layers = [];
    for (let at = one; at; at = at.parentElement) { const it = rgb(getComputedStyle(at).backgroundColor);
        layers.push(it); if (it.a == 1) break; }
    return layers.reduceRight((below, it) => over(it, below), [255, 255, 255]); };
const found = [];
for (const one of document.querySelectorAll('body *')) {
    const own = one.placeholder || [...one.childNodes].some(n => n.nodeType == 3 && n.textContent.trim());
    if (!own || !one.checkVisibility() || one.closest('svg, .skip, option, [disabled]')) continue;
    const style = getComputedStyle(one, one.placeholder ? '::placeholder' : null), size = parseFloat(style.fontSize);
    let opacity = 1; for (let at = one; at; at = at.parentElement) opacity *= getComputedStyle(at).opacity;
    const back = ground(one), text = rgb(style.color); text.a *= opacity;
    const [x, y] = [light(over(text, back)), light(back)].sort((a, b) => b - a);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = (x + 0.05) / (y + 0.05);
    if (contrast < (large ? 3 : 4.5)) found.push(one.tagName + '.' + one.className + ' ' + contrast.toFixed(2)
        + ' ' + (one.placeholder || one.textContent.trim()).slice(0, 40));
}
return found";

/// Controls that say nothing to whoever cannot see them.
const NAMELESS: &str = "
return [...document.querySelectorAll('input:not([type=hidden]), button, select, a, summary, meter, progress, svg')]
    .filter(one => one.checkVisibility())
    .filter(one => !(one.getAttribute('aria-label') || one.labels?.length || one.innerText?.trim()))
    .map(one => one.outerHTML.slice(0, 120))";

/// What reaches beyond the window, or out of its box.
const WIDE: &str = "
const wide = document.documentElement.scrollWidth - innerWidth;
if (wide <= 0) return [];
return ['by ' + wide, ...[...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('nav, .scroll, pre'))
    .map(one => one.outerHTML.slice(0, 120)).slice(0, 5)]";

/// Some of everything: names of all lengths, errors, progress, a history.
async fn scene(board: &Board) -> Child {
    let cron = Some("*/15 6-22 * * 1-5 Europe/Berlin".to_owned());
    let limits = Some("mail:2,hooks:50/s".to_owned());
    let child = Setup { concurrency: 3, cron, limits, ..Setup::new(&board.server) }.start();
    let now = board.server.query::<(f64, f64)>("TIME").await.0;
    for n in 0..12 {
        board.client.enqueue(Note { name: format!("n{n}") }).await.unwrap();
    }
    for n in 0..3 {
        let name = ["short".to_owned(), "a longer argument, ".repeat(30), strangers::MARKUP.into()];
        let jid = board.client.enqueue(Gate { name: name[n].clone() }).await.unwrap();
        let key = format!("roustabout:status:{}", &*jid);
        let told = ["state", "running", "at", "1", "progress", "37/120", "message", "row by row"];
        board.tell(&[&["HSET", &key], &told[..n * 2 + 4]].concat()).await;
    }
    for n in 0..7_u32 {
        let class =
            ["ImportCsv", "DeliverWebhook", "Reports::Weekly::SendToEverybodyAboutEverythingJob"];
        let message =
            ["no such host: example.com", "the answer was 503", "undefined method `name' for nil"];
        let queue = ["default", "mail", "reports_of_the_week"][n as usize % 3];
        let job = json!({
            "class": class[n as usize % 3], "queue": queue,
            "args": [n, {"file": "customers.csv", "note": "x".repeat(n as usize * 60)}], "jid": format!("{n:024}"),
            "retry": 25, "retry_count": n, "error_class": "Reports::DeliveryError", "tags": ["a", "b"],
            "error_message": message[n as usize % 3], "created_at": now - 4_000.0, "failed_at": now - 90.0,
            "error_backtrace": ["app/jobs/report.rb:17:in `perform'", "lib/worker.rb:3:in `run'"],
        });
        board.put("dead", now - 5_000.0 * f64::from(n), &job).await;
        board.put("retry", now + 300.0 * f64::from(n + 1), &job).await;
        board.put("schedule", now + 86_400.0 * f64::from(n + 1), &job).await;
        board.tell(&["RPUSH", &format!("queue:{queue}"), &job.to_string()]).await;
        board.tell(&["SADD", "queues", queue]).await;
    }
    board.tell(&["SADD", "paused", "mail"]).await;
    board.tell(&["HSET", "roustabout:running:mail", "x", "1"]).await;
    history(board, now as i64, 1).await;
    let identity = child.identity(&board.server).await;
    let busy = format!("HGET {identity} busy");
    eventually("all places are taken", async || board.count(&busy).await == 3).await;
    eventually("runs are counted", async || board.count("EXISTS roustabout:runs").await == 1).await;
    child
}

/// Figures of a day and of thirty, so many times some; returns what has run and failed by now.
pub async fn history(board: &Board, now: i64, times: i64) -> (String, String) {
    let (mut processed, mut failed) = (1_000, 10);
    for minute in (0..1_500).rev() {
        let at = chrono::DateTime::from_timestamp(now / 60 * 60 - minute * 60, 0).unwrap();
        processed += times * (40 + (minute * 37) % 61 + if minute % 17 == 0 { 180 } else { 0 });
        failed += times.min(40) * ((minute * 13) % 7);
        let (day, time) = (at.format("%Y-%m-%d"), at.format("%H:%M").to_string());
        let figures = format!("{processed} {failed} {} 3 2 1", (minute * 97) % 900);
        if times > 1 || minute < 20 || minute % 2 == 0 {
            board.tell(&["HSET", &format!("roustabout:history:{day}"), &time, &figures]).await;
        }
    }
    for day in 0..30 {
        let date =
            chrono::DateTime::from_timestamp(now - day * 86_400, 0).unwrap().format("%Y-%m-%d");
        board
            .tell(&["SET", &format!("stat:processed:{date}"), &(40_000 + day * 977).to_string()])
            .await;
        board.tell(&["SET", &format!("stat:failed:{date}"), &(day * 111).to_string()]).await;
    }
    (processed.to_string(), failed.to_string())
}

async fn nothing(board: &Board, code: &str, what: &str) {
    let found = board.browser.script(code).await;
    assert_eq!(found, Value::Array(Vec::new()), "{what}");
}

/// Looks at a page, and keeps a picture.
async fn look(board: &Board, name: &str, path: &str) {
    board.page(path).await;
    nothing(board, WIDE, &format!("{name} is too wide")).await;
    nothing(board, FAINT, &format!("{name} is hard to read")).await;
    nothing(board, NAMELESS, &format!("{name} has controls without names")).await;
    board.picture(name).await;
}

#[tokio::test]
async fn all_can_be_read_in_light_and_dark_at_a_desk_and_on_a_phone() {
    let Some(board) = Board::open().await else { return };
    for theme in ["light", "dark"] {
        board.theme(theme).await;
        for (page, path) in PAGES {
            look(&board, &format!("empty-{page}-{theme}"), path).await;
        }
    }
    let child = scene(&board).await;
    let retry = format!("/jobs/{:024}", 2);
    for theme in ["light", "dark"] {
        board.theme(theme).await;
        for (place, width) in [("desk", 1_280), ("phone", PHONE)] {
            board.width(width).await;
            for (page, path) in PAGES.into_iter().chain([("job", &*retry)]) {
                look(&board, &format!("{page}-{theme}-{place}"), path).await;
            }
        }
    }
    assert!(board.page(&retry).await.contains("report.rb:17"), "the backtrace");
    // on a phone, too, all can be ticked and sorted
    board.page("/dead").await;
    board.browser.click("//input[@data-all]").await;
    let ticked = "return document.querySelectorAll('tbody input:checked').length";
    assert_eq!(board.browser.script(ticked).await, 7);
    board.browser.click("//thead//a[.='class']").await;
    for path in ["?range=day", "?range=month", "/dead?search=nothing", "/jobs/nobody"] {
        board.browser.open(&board.url(path)).await;
        for code in [WIDE, FAINT, NAMELESS] {
            nothing(&board, code, path).await;
        }
    }
    let () = board.server.query("SET test:gate open").await;
    child.stop().await;
}

#[tokio::test]
async fn strangers_make_no_page_wide() {
    let Some(board) = Board::open().await else { return };
    strangers::plant(&board).await;
    let long = "W".repeat(5_000);
    let job = json!({"class": long, "jid": "long", "queue": long, "args": [long], "tags": [long],
        "error_class": long, "error_message": long, "error_backtrace": [long]});
    let now = board.server.query::<(f64, f64)>("TIME").await.0;
    for set in ["dead", "retry", "schedule"] {
        board.put(set, now + 60.0, &job).await;
    }
    board.tell(&["RPUSH", &format!("queue:{long}"), &job.to_string()]).await;
    board.tell(&["SADD", "queues", &long]).await;
    board.tell(&["HSET", "roustabout:runs", &format!("{long}|3"), "5"]).await;
    board.tell(&["HSET", "roustabout:counters", &long, "5"]).await;
    board.tell(&["SADD", "processes", &long]).await;
    let info = json!({"queues": [long, long], "version": long});
    board.tell(&["HSET", &long, "info", &info.to_string(), "busy", "1"]).await;
    for (place, width) in [("phone", PHONE), ("desk", 1_280)] {
        board.width(width).await;
        let more = [("job", "/jobs/long"), ("unserved", "/queues/W")];
        for (page, path) in PAGES.into_iter().chain(more) {
            board.page(path).await;
            nothing(&board, WIDE, &format!("{page} at a {place}")).await;
            board.picture(&format!("strangers-{page}-{place}")).await;
        }
    }
}
