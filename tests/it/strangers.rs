//! What a stranger may have put wherever he may write, made to do harm on a page that shows it.

use serde_json::{Value, json};

use crate::board::Site;

/// Short enough to be an id of its own.
pub const ID: &str = "<script>window.hacked=1</script>";
pub const MARKUP: &str = "</title></code>'\"><script>window.hacked=2</script>\
     <img src=x onerror=window.hacked=3><svg onload=window.hacked=4>";
/// Turns what follows around, unless somebody takes care.
pub const RIGHT_TO_LEFT: &str = "\u{202e}gnp.exe \u{2067}שלום مرحبا\r\nSet-Cookie: a=b";

/// A job with all of that in it.
pub fn job(jid: &str) -> Value {
    json!({
        "class": MARKUP, "wrapped": MARKUP, "jid": jid, "queue": MARKUP,
        "args": [MARKUP, RIGHT_TO_LEFT, {"__proto__": {"hacked": 5}}],
        "error_class": MARKUP, "error_message": format!("Z{}{RIGHT_TO_LEFT}{MARKUP}", "\u{30d}".repeat(40)),
        "error_backtrace": [MARKUP, RIGHT_TO_LEFT], "tags": [MARKUP, RIGHT_TO_LEFT],
        "retry": 25, "retry_count": 3, "created_at": 1e300, "enqueued_at": -1e300,
        "failed_at": "2024-01-01T00:00:00Z", "roustabout_unique": MARKUP,
    })
}

/// Puts it everywhere.
pub async fn plant(site: &Site) {
    let now = site.server.query::<(f64, f64)>("TIME").await.0;
    for (n, jid) in [ID, MARKUP, RIGHT_TO_LEFT, ""].into_iter().enumerate() {
        let job = job(jid);
        site.put("retry", now + 3_600.0 + n as f64, &job).await;
        site.put("schedule", now + 7_200.0 + n as f64, &job).await;
        site.put("dead", now - 60.0 - n as f64, &job).await;
        site.tell(&["LPUSH", &format!("queue:{MARKUP}"), &job.to_string()]).await;
    }
    for at in ["inf", "-inf", "1e300"] {
        site.tell(&["ZADD", "dead", at, &format!("no job {at} {MARKUP}")]).await;
    }
    for name in [MARKUP, RIGHT_TO_LEFT, "../../records", "a/b?c#d"] {
        site.tell(&["SADD", "queues", name]).await;
        site.tell(&["SADD", "paused", name]).await;
    }
    for name in [ID, MARKUP, RIGHT_TO_LEFT] {
        process(site, &format!("{name}:1:a"), now).await;
        let told = ["state", "running", "at", "1", "progress", "3/9", "message", name];
        site.tell(
            &[&["HSET", &format!("roustabout:status:{name}"), "error", name], &told[..]].concat(),
        )
        .await;
        let cursor = ["ex", "1", "c", name, "progress", name];
        site.tell(&[&["HSET", &format!("it-{name}")], &cursor[..]].concat()).await;
        for field in ["f", "0", "3"] {
            site.tell(&["HSET", "roustabout:runs", &format!("{name}|{field}"), "7"]).await;
        }
        site.tell(&["HSET", "roustabout:counters", name, "7"]).await;
        let key = format!("cron_job:{name}");
        let line = ["name", name, "klass", name, "cron", "* * * * *", "description", name];
        site.tell(&["SADD", "cron_jobs", &key]).await;
        site.tell(&[&["HSET", &key], &line[..]].concat()).await;
    }
}

/// A process, and what it runs.
async fn process(site: &Site, identity: &str, now: f64) {
    let info = json!({
        "hostname": MARKUP, "started_at": 1e300, "queues": [MARKUP, RIGHT_TO_LEFT],
        "tag": MARKUP, "version": MARKUP, "identity": identity, "concurrency": 3,
    });
    let record = ["busy", "1", "beat", "1e300", "quiet", "true", "rss", "99999999999"];
    site.tell(&["SADD", "processes", identity]).await;
    site.tell(&[&["HSET", identity, "info", &info.to_string()], &record[..]].concat()).await;
    let work = json!({"queue": MARKUP, "payload": job(ID).to_string(), "run_at": now - 10.0});
    site.tell(&["HSET", &format!("{identity}:work"), MARKUP, &work.to_string()]).await;
}
