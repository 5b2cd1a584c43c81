//! What a job is: a type that holds its own arguments.

use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::context::JobContext;
use super::failed::Failed;
use super::json::raw;
use super::payload::Payload;
use super::retry::Retry;

/// A job: the type *is* its arguments, `perform` is its work.
///
/// Jobs run at least once: a process can die between the end of `perform` and the moment when
/// Redis knows of it, and then the job runs again. Write `perform` so that this does no harm.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// State shared by all jobs of the process (clients, settings), cloned into each context.
    type App: Clone + Send + Sync + 'static;

    /// The name on the wire. Explicit, so that renaming the Rust type orphans no queued job.
    const CLASS: &'static str;

    /// The queue that `enqueue` pushes to.
    const QUEUE: &'static str = "default";

    /// What happens after a failure.
    const RETRY: Retry = Retry::Default;

    /// How long a run may take (for a job with checkpoints: the time since the last one) before
    /// it counts as failed. `None`: the worker's `JOB_TIMEOUT`; zero: no limit.
    const TIMEOUT: Option<Duration> = None;

    /// The queue for later attempts, for instance a slow one. `None`: the same as before.
    const RETRY_QUEUE: Option<&'static str> = None;

    /// After this long, counted from when it may run, the job is dropped instead of run, and
    /// counted as expired: for work that is worthless when late.
    const EXPIRES_IN: Option<Duration> = None;

    /// Enqueue at most one at a time of those for which [`unique_by`](Job::unique_by) is the same:
    /// from the enqueue until it is done or dead, retries included, but no longer than this,
    /// counted from when it may run. A second one is told the jid of the first.
    const UNIQUE_FOR: Option<Duration> = None;

    /// Keep for so long after its last change how far the job is, for
    /// [`Client::status`](super::Client::status).
    const STATUS_FOR: Option<Duration> = None;

    /// Labels that Sidekiq's pages show beside the class.
    const TAGS: &'static [&'static str] = &[];

    /// What makes two jobs the same, if [`UNIQUE_FOR`](Job::UNIQUE_FOR) is set; all arguments
    /// unless chosen otherwise.
    fn unique_by(&self) -> impl Serialize {
        self
    }

    /// The pause before the next attempt, after so many failures (1 and up). `None`: the usual
    /// one, which grows and varies. A pause of your own is kept exactly.
    fn retry_in(failures: u32) -> Option<Duration> {
        let _ = failures;
        None
    }

    /// What is left to do when the job has failed for good: a job that is pushed in the same step
    /// in which this one is buried, so neither a crash nor a lost reply comes between. Also when
    /// this one is dropped after its last failure.
    fn on_death(self, death: &Failed) -> Option<Payload> {
        let _ = death;
        None
    }

    /// Does the work. An error means another attempt later, except for the few in [`Stop`].
    ///
    /// [`Stop`]: super::Stop
    fn perform(self, cx: JobContext<Self::App>) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Arguments as they travel: named fields as one object, a tuple struct by position, a unit
/// struct as nothing.
pub(crate) fn encode<J: Job>(job: &J) -> Result<String, serde_json::Error> {
    let value = raw(job)?;
    Ok(match value.as_str() {
        array if array.starts_with('[') => value,
        "null" => "[]".to_owned(),
        other => format!("[{other}]"),
    })
}

/// The reverse, and what other languages send: one object with named fields, or an array of
/// positional arguments in the order of the fields.
pub(crate) fn decode<J: DeserializeOwned>(args: &str) -> Result<J, serde_json::Error> {
    if args.starts_with("[{")
        && let Ok((job,)) = serde_json::from_str(args)
    {
        return Ok(job); // what `encode` makes of nearly all
    }
    let items: Vec<&RawValue> = serde_json::from_str(args)?;
    match items.as_slice() {
        [] => serde_json::from_str("null")
            .or_else(|_| serde_json::from_str("[]"))
            .or_else(|_| serde_json::from_str("{}")),
        [only] if only.get().starts_with('{') => serde_json::from_str(only.get())
            .or_else(|named| serde_json::from_str(args).map_err(|_| named)),
        [only] => serde_json::from_str(args)
            .or_else(|positional| serde_json::from_str(only.get()).map_err(|_| positional)),
        _ => serde_json::from_str(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn same<J: Job + PartialEq + std::fmt::Debug>(wire: &str, job: J) {
        assert_eq!(encode(&job).unwrap(), wire);
        assert_eq!(decode::<J>(wire).unwrap(), job);
    }

    macro_rules! job {
        ($name:ident) => {
            impl Job for $name {
                type App = ();
                const CLASS: &'static str = stringify!($name);
                async fn perform(self, _: JobContext<()>) -> anyhow::Result<()> {
                    Ok(())
                }
            }
        };
    }

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Named {
        id: u64,
        note: Option<String>,
    }
    job!(Named);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Pair(u64, String);
    job!(Pair);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct One(u64);
    job!(One);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Nothing;
    job!(Nothing);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Event {
        data: serde_json::Value,
    }
    job!(Event);

    #[test]
    fn jobs_travel_both_ways() {
        same(r#"[{"id":7,"note":null}]"#, Named { id: 7, note: None });
        same(r#"[7,"x"]"#, Pair(7, "x".into()));
        same("[7]", One(7));
        same("[]", Nothing);
    }

    #[test]
    fn positional_arguments_of_other_languages_decode() {
        assert_eq!(decode::<Named>("[7,null]").unwrap(), Named { id: 7, note: None });
        assert_eq!(decode::<Named>(r#"[{"id":7}]"#).unwrap(), Named { id: 7, note: None });
        let event = Event { data: serde_json::json!({"a": 1}) };
        assert_eq!(decode::<Event>(r#"[{"a":1}]"#).unwrap(), event);
        assert_eq!(decode::<Event>(r#"[{"data":{"a":1}}]"#).unwrap(), event);
    }

    #[test]
    fn wrong_shapes_are_errors() {
        for bad in ["[]", "[\"x\"]", "[1,2]", "[{}]", "{}", "7", "[1,null,3]"] {
            assert!(decode::<Named>(bad).is_err(), "{bad}");
        }
    }
}
