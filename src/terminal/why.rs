//! `jobs why`: where a job is, and why it does not run.

use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::screen::{Screen, Tone};
use super::sets::{error, of_entry};
use super::{Answer, connect, known, refused, strange};
use crate::config::Config;
use crate::engine::State;
use crate::engine::inspect::{self, Found, Hold, Place, Set, Whereabout, Whereabouts};
use crate::explain::{self, place};
use crate::text::{about, at, plain};

/// Tells where a job is, what keeps it from running, and what is known of its past.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Why {
    /// The job's id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    jid: String,
    /// The answer as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Looks through the schedule, the retry set, all queues, what workers have in hand and the dead set: of a
large queue it reads every job, in steps that hold up nobody. A job that is done leaves nothing behind,
unless its type keeps a status. Limits are those of QUEUE_LIMITS here, which should be what the workers
have: on Heroku it is. Arguments are not shown.

Examples:
  jobs why 0123456789abcdef01234567
  heroku run target/release/jobs why 0123456789abcdef01234567
  jobs why 0123456789abcdef01234567 --json | jq -r '.places[].because[].reason'

Exit codes: 0 something is known of it; 1 nothing is, or Redis cannot be reached; 2 bad usage.";

impl Why {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let known = known(&redis, config)?;
        let known = inspect::whereabouts(&redis, &self.jid, &known).await.map_err(refused)?;
        let mut remarks = strange(known.strange);
        let nowhere = known.places.is_empty();
        if known.places.len() > 1 {
            remarks.push(format!("{} jobs have this jid", known.places.len()));
        }
        if nowhere {
            let name = plain(&self.jid);
            remarks.push(format!("no job {name} waits, runs or is dead: it is done, or never was"));
        }
        let unknown = nowhere && known.status.is_none() && known.cursor.is_none();
        let text = if self.json { as_json(&self.jid, &known) } else { words(&known) };
        Ok(Answer { text, remarks, code: u8::from(unknown) })
    }
}

/// Lines of a name and what there is to say.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, name: &str, text: String) {
        self.0.push(format!("  {name:<9} {text}"));
    }
}

fn words(known: &Whereabouts) -> String {
    let (screen, mut lines) = (Screen::here(), Lines::default());
    for one in &known.places {
        let entry = &one.found.entry;
        let title = format!("{} {}", plain(&entry.class), plain(&entry.jid));
        lines.0.push(screen.paint(&title, Tone::Head));
        lines.add("where", place(&one.found));
        for hold in &one.holds {
            let text = reason(hold, one);
            lines.add("because", screen.paint(&text, tone(hold)));
        }
        for remark in notes(one, known) {
            lines.add("but", screen.paint(&remark, Tone::Warn));
        }
        past(&mut lines, one, known.now);
    }
    beside(&mut lines, known);
    lines.0.join("\n")
}

fn tone(hold: &Hold) -> Tone {
    match hold {
        Hold::Before(_) | Hold::NotYet(_) => Tone::Plain,
        Hold::Dead | Hold::NoProcess | Hold::NotServed => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// A reason in words that say what helps.
fn reason(hold: &Hold, one: &Whereabout) -> String {
    let remedy = explain::remedy(hold, &one.found.entry);
    explain::reason(hold) + &remedy.map_or(String::new(), |remedy| format!(": {remedy}"))
}

fn code(hold: &Hold) -> &'static str {
    match hold {
        Hold::NoProcess => "no_process",
        Hold::NotServed => "not_served",
        Hold::AllQuiet => "all_quiet",
        Hold::AllBusy => "all_busy",
        Hold::Paused => "paused",
        Hold::AtLimit(_) => "at_limit",
        Hold::StartsUsedUp(..) => "starts_used_up",
        Hold::Before(_) => "jobs_before",
        Hold::NotYet(_) => "not_yet",
        Hold::Due(_) => "due",
        Hold::Dead => "dead",
        Hold::Orphan => "orphan",
    }
}

/// What else will meet it.
fn notes(one: &Whereabout, known: &Whereabouts) -> Vec<String> {
    let (entry, mut notes) = (&one.found.entry, Vec::new());
    let waits = !matches!(one.found.place, Place::Process { alive: true, .. });
    if entry.expires_at.is_some_and(|at| at < known.now) && waits {
        notes.push("it has expired: it will be dropped instead of run".to_owned());
    }
    if known.cursor.as_ref().is_some_and(|cursor| cursor.cancelled) {
        notes
            .push("it is cancelled: it ends at its next checkpoint, or when its turn comes".into());
    }
    if let Some(queue) = &one.queue
        && queue.held > 0
        && queue.at_once.is_none()
        && matches!(one.found.place, Place::Queue { .. })
    {
        let held = queue.held;
        notes.push(format!(
            "the workers have a limit for its queue ({held} in progress) that QUEUE_LIMITS here lacks"
        ));
    }
    notes
}

fn past(lines: &mut Lines, one: &Whereabout, now: f64) {
    let entry = &one.found.entry;
    let ago = |time: f64| format!("{} ago ({})", about(now - time), at(time));
    if let Place::Process { since: Some(since), queue, .. } = &one.found.place {
        lines.add("runs", format!("since {}, from the queue {}", ago(*since), plain(queue)));
    }
    if let Some(time) = entry.enqueued_at {
        lines.add("enqueued", ago(time));
    }
    if entry.failures > 0 {
        let when = entry.failed_at.map_or(String::new(), |time| format!(", last {}", ago(time)));
        lines.add("failed", times(entry.failures) + &when);
    }
    if entry.error.is_some() {
        lines.add("error", error(entry));
    }
    match &one.lock {
        Some((name, Some(holder))) if one.found.is(holder) => {
            lines.add("lock", format!("has {}", plain(name)));
        }
        Some((name, Some(holder))) => {
            lines.add("lock", format!("{} is held by {}", plain(name), plain(holder)));
        }
        Some((name, None)) => lines.add("lock", format!("{} is free", plain(name))),
        None => {}
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn beside(lines: &mut Lines, known: &Whereabouts) {
    if let Some(status) = &known.status {
        let progress = status.progress.map(|(current, total)| format!(", {current} of {total}"));
        let message = status.message.as_deref().map(|message| format!(", {}", plain(message)));
        let when = format!(", {} ago", about(known.now - status.updated_at));
        let more = progress.unwrap_or_default() + &message.unwrap_or_default() + &when;
        lines.add("status", format!("{}{more}", status.state));
        if let (State::Dead | State::Retrying, Some(error)) = (status.state, &status.error) {
            lines.add("error", plain(error));
        }
    }
    if let Some(cursor) = &known.cursor {
        let progress = cursor.progress.as_deref().map(|it| format!(", {}", plain(it)));
        let place = cursor.at.as_deref().map_or_else(|| "none yet".to_owned(), plain);
        let starts = format!(", started {}", times(cursor.executions));
        lines.add("cursor", place + &starts + &progress.unwrap_or_default());
    }
    if known.rescues > 0 {
        let (count, most) = (times(known.rescues), known.rescues_at_most);
        lines.add("rescued", format!("{count} from a process that died; {most} such bury it"));
    }
}

fn as_json(jid: &str, known: &Whereabouts) -> String {
    let places: Vec<Value> = known.places.iter().map(of_place).collect();
    let status = known.status.as_ref().map(|status| {
        let (current, total) = status.progress.unzip();
        json!({
            "state": status.state.as_str(),
            "current": current,
            "total": total,
            "message": status.message,
            "error": status.error,
            "updated_at": status.updated_at,
        })
    });
    let cursor = known.cursor.as_ref().map(|cursor| {
        json!({
            "at": cursor.at,
            "executions": cursor.executions,
            "progress": cursor.progress,
            "cancelled": cursor.cancelled,
        })
    });
    let answer = json!({
        "jid": jid,
        "now": known.now,
        "places": places,
        "status": status,
        "cursor": cursor,
        "rescues": known.rescues,
    });
    answer.to_string()
}

fn of_place(one: &Whereabout) -> Value {
    let mut place = of_entry(&one.found.entry);
    let facts = where_it_is(&one.found);
    if let (Some(place), Value::Object(facts)) = (place.as_object_mut(), facts) {
        place.extend(facts);
    }
    let because =
        one.holds.iter().map(|hold| json!({ "reason": code(hold), "text": reason(hold, one) }));
    place["because"] = because.collect();
    let (name, holder) = one.lock.clone().unzip();
    place["lock"] = json!(name);
    place["lock_holder"] = json!(holder.flatten());
    place
}

fn where_it_is(found: &Found) -> Value {
    match &found.place {
        Place::Queue { name, ahead } => json!({ "place": "queue", "queue": name, "ahead": ahead }),
        Place::Set { set, at } => {
            let set = match set {
                Set::Retries => "retries",
                Set::Scheduled => "scheduled",
                Set::Dead => "dead",
            };
            json!({ "place": set, "at": at })
        }
        Place::Process { identity, alive, queue, since } => json!({
            "place": "process",
            "process": identity,
            "alive": alive,
            "queue": queue,
            "since": since,
        }),
    }
}
