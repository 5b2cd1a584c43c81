//! `jobs enqueue`: a job by hand.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Answer, connect};
use crate::app::App;
use crate::config::Config;
use crate::engine::{EnqueueError, Payload};
use crate::jobs;
use crate::text::{duration, lasting, plain};

/// Enqueues a job; its id is the answer.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Enqueue {
    /// Its class
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    class: String,
    /// Its arguments: an object with its fields, or an array in their order
    #[arg(value_name = "ARGS_JSON", value_parser = arguments)]
    args: String,
    /// Its queue; that of the class if left out
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    queue: Option<String>,
    /// When it may run: after so many seconds, or 30m, 1h30m
    #[arg(long = "in", value_name = "SECONDS", value_parser = duration)]
    later: Option<Duration>,
}

const EXAMPLES: &str = "\
A class that this program knows (src/jobs/mod.rs) has to fit its arguments, and comes with its queue,
retries and the rest. One that it does not know may be another language's: it is pushed as it is, to
`default` unless --queue says otherwise.

Examples:
  jobs enqueue Greet '{\"name\":\"Ada\"}'
  jobs enqueue DeliverWebhook '{\"url\":\"https://example.com/hook\",\"event\":{\"type\":\"test\"}}' --in 5m
  jobs enqueue RubyReport '[42, \"pdf\"]' --queue low

Exit codes: 0 enqueued, or one of which there is one at a time was there; 1 it could not be, or Redis cannot
be reached; 2 bad usage.";

impl Enqueue {
    pub(super) async fn run(self, config: &Config) -> Result<Answer, String> {
        let redis = connect(config).await?;
        let app = App::over(redis.clone(), config).map_err(|error| format!("{error:#}"))?;
        let mut remarks = Vec::new();
        let known = jobs::registry(app.clone()).payload(&self.class, &self.args);
        let payload = match known {
            Some(Ok(payload)) => payload,
            Some(Err(EnqueueError::Invalid(why))) => {
                let remark = format!("these are no arguments of {}: {why}", plain(&self.class));
                return Ok(Answer { text: String::new(), remarks: vec![remark], code: 2 });
            }
            Some(Err(error)) => return Err(error.to_string()),
            None => {
                let class = plain(&self.class);
                let what = "is no job of this program: if no other worker knows it, it will fail";
                remarks.push(format!("{class} {what}"));
                self.foreign()?
            }
        };
        let payload = self.placed(payload, redis.now());
        let enqueued = app.jobs.push(payload).await.map_err(|error| error.to_string())?;
        if enqueued.existed() {
            remarks.push("not enqueued: one at a time is enough, and this one is there".to_owned());
        } else if let Some(later) = self.later {
            remarks.push(format!("to run in {}", lasting(later.as_secs())));
        }
        Ok(Answer { text: plain(enqueued.jid()), remarks, code: 0 })
    }

    fn foreign(&self) -> Result<Payload, String> {
        let args: &RawValue =
            serde_json::from_str(&self.args).map_err(|error| error.to_string())?;
        Ok(Payload::new(&self.class, json!([])).with("args", args))
    }

    fn placed(&self, payload: Payload, now: f64) -> Payload {
        let payload = match &self.queue {
            Some(queue) => payload.queue(queue),
            None => payload,
        };
        match self.later {
            Some(later) => payload.with("at", now + later.as_secs_f64()),
            None => payload,
        }
    }
}

/// Arguments as they travel: an array, without blanks, every number as it was written.
fn arguments(text: &str) -> Result<String, String> {
    let valid =
        serde_json::from_str::<&RawValue>(text).map_err(|error| format!("no JSON: {error}"))?;
    let compact = compact(valid.get());
    match compact.as_bytes() {
        [b'[', ..] => Ok(compact),
        [b'{', ..] => Ok(format!("[{compact}]")),
        _ => Err("accepts JSON: an object with the fields, or an array in their order".to_owned()),
    }
}

/// Valid JSON without the blanks between its parts: Ruby's API finds a job by writing it again.
fn compact(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |c: &char| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        quoted || !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_array_and_keep_their_digits() {
        for (text, expected) in [
            ("[]", "[]"),
            (" [ 1 , \"a b\\\" c\" ] ", "[1,\"a b\\\" c\"]"),
            (
                "{\"n\": 1180591620717411303424, \"f\": 1.50}",
                "[{\"n\":1180591620717411303424,\"f\":1.50}]",
            ),
        ] {
            assert_eq!(arguments(text).unwrap(), expected);
        }
        for bad in ["", "7", "\"x\"", "null", "[1", "[1] 2", "{a:1}"] {
            assert!(arguments(bad).is_err(), "{bad}");
        }
    }
}
