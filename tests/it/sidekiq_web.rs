//! The pages of the real Sidekiq Web, in a browser, with none but our workers to show: they tell
//! what is there, and their buttons do what they say.

use std::collections::BTreeSet;
use std::time::Duration;

use roustabout::engine::Payload;
use serde_json::{Value, json};

use crate::child::{Child, Frozen, Gate, Note, Setup, noted, notes};
use crate::desk::Desk;
use crate::lost_replies::held;
use crate::support::eventually;

/// What strangers may put into a job.
const MARKUP: &str = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>";
const RIGHT_TO_LEFT: &str = "\u{202e}مرحبا שלום";
/// The numbers on the Busy page, as 6 and 7 or 8 set them.
const STATS: &str = ".stat h3, article h3";

/// Some of everything, much of it with arguments that were made to do harm; and its worker.
async fn scene(desk: &Desk, megabyte: &str) -> Child {
    let child = Setup { concurrency: 3, ..Setup::new(&desk.server) }.start();
    desk.push("Nobody", json!([MARKUP, RIGHT_TO_LEFT]), true).await;
    desk.push("Absent", json!([megabyte]), 5).await;
    desk.push("Gone", json!([MARKUP]), 0).await;
    eventually("they have failed", async || {
        desk.count("ZCARD retry").await == 2 && desk.count("ZCARD dead").await == 1
    })
    .await;
    desk.put_off_the_retries().await;
    for name in [MARKUP, RIGHT_TO_LEFT, megabyte] {
        desk.client.enqueue(Gate { name: name.into() }).await.unwrap();
    }
    let identity = child.identity(&desk.server).await;
    let busy = format!("HGET {identity} busy");
    eventually("all places are taken", async || desk.count(&busy).await == 3).await;
    for name in [MARKUP, RIGHT_TO_LEFT, megabyte, "plain"] {
        desk.client.enqueue(Note { name: name.into() }).await.unwrap();
    }
    let mail = Payload::of(&Note { name: "mail".into() }).unwrap().queue("mail");
    desk.client.push(mail).await.unwrap();
    let hour = Duration::from_secs(3_600);
    desk.client.enqueue_in(hour, Note { name: MARKUP.into() }).await.unwrap();
    eventually("all is counted", async || desk.count("GET stat:processed").await == 3).await;
    child
}

#[tokio::test]
async fn the_pages_show_what_is_there() {
    let Some(desk) = Desk::open().await else { return };
    let megabyte = "x".repeat(1 << 20);
    let child = scene(&desk, &megabyte).await;
    let identity = child.identity(&desk.server).await;
    let (host_and_pid, _) = identity.rsplit_once(':').unwrap();

    desk.page("").await;
    assert_eq!(desk.numbers().await, ["3", "3", "3", "5", "2", "1", "1"]);

    desk.page("busy").await;
    let stats = desk.browser.texts(STATS).await;
    assert_eq!(stats[..4], ["1", "3", "3", "100%"]);
    let processes = desk.rows(0).await;
    assert!(processes.len() == 1 && processes[0].contains(host_and_pid), "{processes:?}");
    assert!(processes[0].contains(env!("CARGO_PKG_NAME")) && processes[0].contains("default"));
    let running = desk.rows(1).await;
    assert_eq!(running.len(), 3);
    assert!(running.iter().all(|row| row.contains("Gate") && row.contains(&identity)));
    for text in [MARKUP, "مرحبا שלום", "bytes)"] {
        assert_eq!(running.iter().filter(|row| row.contains(text)).count(), 1, "{text}");
    }

    desk.page("queues").await;
    let queues = desk.rows(0).await;
    let columns: Vec<Vec<&str>> =
        queues.iter().map(|row| row.split('\t').map(str::trim).collect()).collect();
    assert_eq!([columns[0][0], columns[0][1]], ["default", "4"]);
    assert_eq!([columns[1][0], columns[1][1]], ["mail", "1"]);
    for latency in columns.iter().map(|row| row[2]) {
        assert!((0.0..600.0).contains(&latency.parse::<f64>().unwrap()), "{latency} s");
    }
    let page = desk.page("queues/default").await;
    let queued = desk.rows(0).await;
    assert!(queued.len() == 4 && queued.iter().all(|row| row.contains("Note")), "{queued:?}");
    assert!(page.contains("plain") && page.contains("<script>window.hacked"), "{page}");

    sorted_sets(&desk, &megabyte).await;
    let () = desk.server.query("SET test:gate open").await;
    eventually("all is done", async || {
        desk.count("LLEN queue:default").await + held(&desk.server).await == 0
    })
    .await;
    child.stop().await;
    metrics(&desk).await;
}

/// From Sidekiq 7 on there is a page for each class.
async fn metrics(desk: &Desk) {
    if desk.browser.texts("a[href$='/metrics']").await.is_empty() {
        return;
    }
    desk.page("metrics").await;
    let rows = desk.rows(0).await;
    let successes = |class: &str| {
        let row = rows.iter().map(|row| row.split_whitespace().collect::<Vec<_>>());
        row.into_iter().find(|row| row[0] == class).map(|row| row[1..3].join(" "))
    };
    let found = (rows.len(), successes("Gate"), successes("Note"));
    assert_eq!(found, (2, Some("3 0".to_owned()), Some("5 0".to_owned())), "{rows:?}");
    for (class, runs) in [("Gate", 3), ("Note", 5)] {
        desk.page(&format!("metrics/{class}")).await;
        let chart = "return JSON.parse(document.querySelector('#hist-totals-chart').textContent) \
                     .series.reduce((sum, n) => sum + n)";
        assert_eq!(desk.browser.script(chart).await, Value::from(runs), "{class}");
    }
}

async fn sorted_sets(desk: &Desk, megabyte: &str) {
    let page = desk.page("retries").await;
    assert!(page.contains("NameError: uninitialized constant Nobody") && page.contains(MARKUP));
    assert!(page.contains("NameError: uninitialized constant Absent"));
    let links = "return Array.from(document.querySelectorAll('td a'), a => a.href)";
    let links: Vec<String> = serde_json::from_value(desk.browser.script(links).await).unwrap();
    let keys = links.iter().filter_map(|link| Some(link.split_once("/retries/")?.1));
    let mut whole = 0;
    for key in keys.collect::<BTreeSet<&str>>() {
        let page = desk.page(&format!("retries/{key}")).await;
        let error = desk.rows(1).await.join(" ");
        assert!(error.contains("NameError") && error.contains("uninitialized constant"), "{error}");
        whole += usize::from(page.contains(megabyte)) + usize::from(page.contains(MARKUP));
    }
    assert_eq!(whole, 2, "each with all of its arguments");

    let page = desk.page("scheduled").await;
    assert!(page.contains("Note") && page.contains(MARKUP), "{page}");
    let times = desk.times().await;
    assert!(times.len() == 1 && times[0] > 3_000, "{times:?}");
    let page = desk.page("morgue").await;
    assert!(page.contains("uninitialized constant Gone") && page.contains(MARKUP), "{page}");
}

/// Where a process has its buttons.
fn row_of(identity: &str) -> String {
    let (host_and_pid, _) = identity.rsplit_once(':').expect("an identity");
    format!("//tr[contains(., '{host_and_pid}') and .//input[@name='identity']]")
}

async fn is_quiet(desk: &Desk, identity: &str) -> bool {
    desk.server.query::<String>(&format!("HGET {identity} quiet")).await == "true"
}

#[tokio::test]
async fn the_buttons_reach_the_processes() {
    let Some(desk) = Desk::open().await else { return };
    let setup = Setup { concurrency: 1, ..Setup::new(&desk.server) };
    let (mut first, mut second, mut third) = (setup.start(), setup.start(), setup.start());
    let one = first.identity(&desk.server).await;
    let (two, three) = (second.identity(&desk.server).await, third.identity(&desk.server).await);

    desk.page("busy").await;
    desk.click(&format!("{}//*[@name='quiet']", row_of(&one))).await;
    eventually("it is quiet", async || is_quiet(&desk, &one).await).await;
    assert!(!is_quiet(&desk, &two).await && !is_quiet(&desk, &three).await);
    desk.page("busy").await;
    let quiet = desk.browser.texts("tr:has(.label-danger)").await;
    assert!(quiet.len() == 1 && quiet[0].contains("quiet"), "{quiet:?}");

    desk.click(&format!("{}//*[@name='stop']", row_of(&two))).await;
    assert_eq!(second.ended().await, Some(0), "{}", second.log());
    assert!(first.runs() && third.runs());

    desk.page("busy").await;
    desk.click("//form[not(.//input[@name='identity'])]//*[@name='quiet']").await;
    eventually("all are", async || is_quiet(&desk, &three).await).await;
    assert!(first.runs() && third.runs());
    desk.page("busy").await;
    desk.click("//form[not(.//input[@name='identity'])]//*[@name='stop']").await;
    assert_eq!(first.ended().await, Some(0), "{}", first.log());
    assert_eq!(third.ended().await, Some(0), "{}", third.log());
    desk.page("busy").await;
    assert_eq!(desk.browser.text(STATS).await, "0");
}

/// Ticks the entry of a class and presses a button below the list.
async fn tick_and_press(desk: &Desk, page: &str, class: &str, button: &str) {
    desk.page(page).await;
    let entry = format!("//tr[td[normalize-space()='{class}']]//input[@type='checkbox']");
    desk.browser.click(&entry).await;
    desk.click(&format!("//form[.//table]//input[@name='{button}']")).await;
}

/// Retries and dead jobs. (A click returns before the server has done what it asks for.)
async fn left(desk: &Desk) -> (usize, usize) {
    (desk.count("ZCARD retry").await, desk.count("ZCARD dead").await)
}

#[tokio::test]
async fn the_buttons_move_our_jobs() {
    let Some(desk) = Desk::open().await else { return };
    let child = Child::of(&desk.server);
    let () = desk.server.query("SET test:gate open").await;
    desk.client.enqueue(Frozen { name: "failure".into() }).await.unwrap(); // the first time
    desk.push("Nobody", json!([]), true).await;
    desk.push("Absent", json!([]), true).await;
    let hour = Duration::from_secs(3_600);
    desk.client.enqueue_in(hour, Note { name: "in time".into() }).await.unwrap();
    eventually("they have failed", async || desk.count("ZCARD retry").await == 3).await;
    desk.put_off_the_retries().await;

    tick_and_press(&desk, "retries", "Frozen", "retry").await;
    notes(&desk.server, "end failure").await;
    eventually("two are left", async || desk.count("ZCARD retry").await == 2).await;
    tick_and_press(&desk, "retries", "Nobody", "kill").await;
    eventually("it is dead", async || left(&desk).await == (1, 1)).await;
    tick_and_press(&desk, "retries", "Absent", "delete").await;
    eventually("it is gone", async || left(&desk).await == (0, 1)).await;
    tick_and_press(&desk, "scheduled", "Note", "add_to_queue").await;
    notes(&desk.server, "in time").await;
    assert_eq!(desk.count("ZCARD schedule").await, 0);
    tick_and_press(&desk, "morgue", "Nobody", "retry").await;
    eventually("it has failed again", async || desk.count("ZCARD retry").await == 1).await;
    assert_eq!(desk.count("ZCARD dead").await, 0);

    eventually("nothing is in flight", async || held(&desk.server).await == 0).await;
    assert_eq!(noted(&desk.server, "in time").await, 1);
    assert_eq!(noted(&desk.server, "end failure").await, 1);
    child.stop().await;
}
