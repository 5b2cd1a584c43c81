//! The cron lines as people look at them and steer them: ours, and those that Ruby's processes keep
//! with the sidekiq-cron gem.

use chrono::DateTime;
use redis::{RedisResult, Value, pipe};
use serde_json::value::RawValue;

use super::super::client::Client;
use super::super::cron_line::{ENQUEUED_AT, IN_HISTORY, shown};
use super::super::enqueue_error::EnqueueError;
use super::super::enqueued::Enqueued;
use super::super::keys;
use super::super::payload::Payload;
use super::super::readable::cut;
use super::super::redis::Redis;
use super::super::scripts;
use super::super::slots::Slots;
use super::fleet::{lenient, read};
use super::queue_list::names;

/// A cron line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CronEntry {
    /// What it is told by, to enable it for instance. No two lines have the same.
    pub key: String,
    /// Its name; lines of Ruby's may have the same.
    pub name: String,
    /// What it enqueues.
    pub class: String,
    /// When: five fields, or other words that only Ruby understands.
    pub schedule: String,
    /// The time zone of that; without one it is UTC.
    pub zone: Option<String>,
    /// What it is for, if somebody says so.
    pub description: Option<String>,
    /// Whether its job is enqueued at all.
    pub enabled: bool,
    /// When it is due next, in epoch seconds; `None` if nobody can tell, or never.
    pub next: Option<f64>,
    /// When its job was enqueued the last time, in epoch seconds.
    pub last: Option<f64>,
    /// Whether our workers keep it; else Ruby's do.
    pub ours: bool,
}

const FIELDS: [&str; 6] = ["name", "klass", "cron", "status", "last_enqueue_time", "description"];
/// Lines asked about in one write.
const AT_ONCE: usize = 200;

/// All cron lines, by name.
pub async fn cron_lines(redis: &Redis) -> RedisResult<Vec<CronEntry>> {
    let mut lines = Vec::new();
    for set in keys::CRON_SETS {
        let listed = names(redis, set, &mut 0).await?.into_iter();
        let listed: Vec<String> = listed.filter(|key| key.starts_with(keys::CRON_PREFIX)).collect();
        for some in listed.chunks(AT_ONCE) {
            let mut reads = pipe();
            for key in some {
                reads.cmd("HMGET").arg(key).arg(&FIELDS);
            }
            let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
            let ours = set == keys::CRON_LINES;
            let read = some.iter().zip(&replies);
            lines.extend(read.filter_map(|(key, reply)| entry(key, &read_texts(reply), ours)));
        }
    }
    lines.iter_mut().for_each(|line| line.see_ahead(redis.now()));
    lines.sort_by(|one, other| (&one.name, &one.key).cmp(&(&other.name, &other.key)));
    Ok(lines)
}

fn read_texts(reply: &RedisResult<Value>) -> Vec<Option<String>> {
    let fields: Vec<Option<Vec<u8>>> = read(reply);
    let text = |field: Vec<u8>| String::from_utf8_lossy(&field).into_owned();
    fields.into_iter().map(|field| field.map(text)).collect()
}

fn entry(key: &str, fields: &[Option<String>], ours: bool) -> Option<CronEntry> {
    let [name, class, schedule, status, last, description] = fields else { return None };
    let text = |text: &Option<String>| text.as_deref().map(|text| cut(text).to_owned());
    let schedule = text(schedule)?; // without, it is gone
    let mut words: Vec<&str> = schedule.split_whitespace().collect();
    let zone = if words.len() == 6 { words.pop() } else { None };
    let zone = zone.filter(|zone| zone.parse::<chrono_tz::Tz>().is_ok());
    let times = zone.and_then(|zone| schedule.trim_end().strip_suffix(zone));
    Some(CronEntry {
        key: key.to_owned(),
        name: text(name).unwrap_or_else(|| "?".to_owned()),
        class: text(class).unwrap_or_else(|| "?".to_owned()),
        zone: zone.map(str::to_owned),
        enabled: status.as_deref() != Some("disabled"),
        last: last.as_deref().and_then(time),
        description: text(description).filter(|words| !words.is_empty()),
        next: None,
        ours,
        schedule: times.unwrap_or(&schedule).trim().to_owned(),
    })
}

/// As the gem writes it, or any other usual way.
fn time(text: &str) -> Option<f64> {
    let gems = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S %z");
    let time = gems.or_else(|_| DateTime::parse_from_rfc3339(text)).ok()?;
    Some(time.timestamp() as f64)
}

impl CronEntry {
    fn see_ahead(&mut self, now: f64) {
        let zone = self.zone.as_deref().unwrap_or_default();
        let slots = Slots::parse(&format!("{} {zone}", self.schedule)).ok();
        let next = slots.filter(|_| self.enabled).and_then(|slots| slots.next(now));
        self.next = next.map(|next| next as f64);
    }
}

/// Enables a line, told by its key, or disables it: its slots are passed over then, and not made up
/// for. False if there is no such line.
pub async fn cron_enable(redis: &Redis, key: &str, on: bool) -> RedisResult<bool> {
    let Some(set) = listed(redis, key).await? else { return Ok(false) };
    let mut script = scripts::CRON_NOTE.prepare_invoke();
    script.arg(set).arg(key).arg("status").arg(if on { "enabled" } else { "disabled" });
    redis.connection().await?.run(&script).await
}

/// Enqueues the job of a line, told by its key, once and now, enabled or not; its slots stay as they
/// are. `None` if there is no such line, or no job in it that could be read. Middleware of clients is
/// not asked, as at a slot.
pub async fn cron_run_now(redis: &Redis, key: &str) -> Result<Option<Enqueued>, EnqueueError> {
    let Some(set) = listed(redis, key).await? else { return Ok(None) };
    let mut reads = pipe();
    reads.cmd("HMGET").arg(key).arg(&JOB);
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut reads).await?;
    let fields = read_texts(replies.first().unwrap_or(&Ok(Value::Nil)));
    let Some(job) = job(&fields, redis.now()) else { return Ok(None) };
    let enqueued = Client::new(redis.clone()).push(job).await?;
    if !enqueued.existed()
        && let Err(error) = note(redis, set, key, enqueued.jid()).await
    {
        tracing::debug!(%error, "the job is enqueued, the line does not say so");
    }
    Ok(Some(enqueued))
}

/// For the gem and its pages.
async fn note(redis: &Redis, set: &str, key: &str, jid: &str) -> RedisResult<()> {
    let now = redis.now() as i64;
    let record = format!("{{\"jid\":\"{jid}\",\"enqueued\":\"{}\"}}", shown(now, IN_HISTORY));
    let mut script = scripts::CRON_NOTE.prepare_invoke();
    script.arg(set).arg(key).arg("last_enqueue_time").arg(shown(now, ENQUEUED_AT));
    script.arg(keys::cron_history(key)).arg(record).arg(keys::CRON_HISTORY - 1);
    redis.connection().await?.run(&script).await
}

/// In which set a line is.
async fn listed(redis: &Redis, key: &str) -> RedisResult<Option<&'static str>> {
    if !key.starts_with(keys::CRON_PREFIX) {
        return Ok(None);
    }
    let mut looks = pipe();
    for set in keys::CRON_SETS {
        looks.cmd("SISMEMBER").arg(set).arg(key);
    }
    let replies: Vec<RedisResult<Value>> = lenient(redis, &mut looks).await?;
    let found = keys::CRON_SETS.into_iter().zip(&replies).find(|(_, reply)| read(reply));
    Ok(found.map(|(set, _)| set))
}

const JOB: [&str; 7] = [
    "message",
    "klass",
    "args",
    "active_job",
    "date_as_argument",
    "queue_name_prefix",
    "queue_name_delimiter",
];

/// The job of a line as the gem pushes it.
fn job(fields: &[Option<String>], now: f64) -> Option<Payload> {
    let [message, class, args, active_job, dated, prefix, delimiter] = fields else { return None };
    let message = message.as_deref().and_then(|message| Payload::parse(message.as_bytes()).ok());
    let class = class.clone().or_else(|| message.as_ref().map(Payload::class))?;
    let own = message.as_ref().and_then(|message| message.raw("args"));
    let args = own.or(args.as_deref()).unwrap_or("[]").trim();
    let on = |flag: &Option<String>| flag.as_deref() == Some("1");
    let args = match (on(dated), args.strip_suffix(']').map(str::trim_end)) {
        (true, Some("[")) => format!("[{now:?}]"),
        (true, Some(items)) => format!("{items},{now:?}]"),
        _ => args.to_owned(),
    };
    let args: Box<RawValue> = RawValue::from_string(args).ok()?;
    if !on(active_job) {
        let job = message.unwrap_or_else(|| Payload::new(&class, serde_json::json!([])));
        return Some(job.with("args", args));
    }
    let queue = message.and_then(|message| message.get::<String>("queue"));
    let mut queue = queue.unwrap_or_else(|| "default".to_owned());
    if let Some(prefix) = prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        let between = delimiter.as_deref().filter(|words| !words.is_empty()).unwrap_or("_");
        queue = format!("{prefix}{between}{queue}");
    }
    Some(Payload::wrapped(&class, &queue, &args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_whomever_are_read() {
        let read = |fields: [&str; 6]| {
            let fields = fields.map(|text| (!text.is_empty()).then(|| text.to_owned()));
            let mut entry = entry("k", &fields, true)?;
            entry.see_ahead(1_700_000_000.0); // 22:13:20 UTC
            Some(entry)
        };
        let time = "2023-11-14 22:00:00 +0100";
        let line = read(["a", "A", "30 7 * * * Europe/Berlin", "enabled", time, ""]).unwrap();
        assert_eq!((&*line.schedule, line.zone.as_deref()), ("30 7 * * *", Some("Europe/Berlin")));
        assert_eq!((line.next, line.last), (Some(1_700_029_800.0), Some(1_699_995_600.0)));
        let off = read(["a", "A", "* * * * *", "disabled", "", "tidies up"]).unwrap();
        assert_eq!((off.enabled, off.next, off.last, off.zone), (false, None, None, None));
        assert_eq!(off.description.as_deref(), Some("tidies up"));
        for (odd, next) in [("every 5 minutes", None), ("*/5 * * * * *", None), ("7", None)] {
            let line = read(["", "", odd, "", "yesterday", ""]).unwrap();
            assert_eq!((&*line.schedule, line.next, &*line.name), (odd, next, "?"));
        }
        assert_eq!(read(["a", "A", "", "enabled", "", ""]), None);
    }

    #[test]
    fn jobs_are_pushed_as_the_gem_does() {
        let push = |fields: [&str; 7]| {
            let fields = fields.map(|text| (!text.is_empty()).then(|| text.to_owned()));
            let job = job(&fields, 1_000.5)?;
            Some(String::from_utf8(job.remove_ids().to_bytes()).unwrap())
        };
        let message = r#"{"class":"A","args":[1.50],"queue":"low","x":1}"#;
        assert_eq!(push([message, "A", "", "0", "0", "", ""]).as_deref(), Some(message));
        let dated = message.replace("[1.50]", "[1.50,1000.5]");
        assert_eq!(push([message, "A", "", "0", "1", "", ""]), Some(dated));
        let bare = push(["", "A", "[]", "0", "1", "", ""]).unwrap();
        assert_eq!(bare, r#"{"retry":true,"queue":"default","class":"A","args":[1000.5]}"#);
        let rails = push([message, "A", "", "1", "0", "app", ""]).unwrap();
        assert!(rails.contains(r#""queue":"app_low""#), "{rails}");
        assert!(rails.contains(r#""wrapped":"A""#) && rails.contains(r#""arguments":[1.50]"#));
        for broken in [["{", "", "[]", "0", "", "", ""], ["", "A", "[", "0", "1", "", ""]] {
            assert_eq!(push(broken), None);
        }
    }

    impl Payload {
        fn remove_ids(mut self) -> Payload {
            self.remove("jid");
            self
        }
    }
}
