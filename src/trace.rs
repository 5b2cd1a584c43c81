//! Which request a log line belongs to: W3C Trace Context, from the `traceparent` header of a
//! request over the payload of a job to every line about it, and on to the jobs that it enqueues.
//!
//! The worked example of `docs/middleware.md`. Not wanted? Take out this file, and the lines that
//! name it in `app.rs`, `routes.rs` and `work.rs`.

use std::fmt;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next as NextHandler;
use axum::response::Response;
use tracing::{Instrument, error_span};

use crate::engine::{Call, EnqueueError, Next, Payload, PushNext};

/// The header, and the field of a payload.
const NAME: &str = "traceparent";

/// Where we are: a trace, and a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trace {
    id: u128,
    span: u64,
    sampled: bool,
}

tokio::task_local! {
    static CURRENT: Trace;
}

impl Trace {
    fn new() -> Trace {
        // both are never zero, which would be invalid
        Trace { id: fastrand::u128(1..), span: fastrand::u64(1..), sampled: false }
    }

    /// `00-TRACE-SPAN-FLAGS` in lower-case hex. Anything else is none, as a stranger may have
    /// written it.
    fn parse(text: &str) -> Option<Trace> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let lower = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            lower.then(|| u128::from_str_radix(part, 16).ok())?
        };
        let (version, id, span, flags) = (hex(2)?, hex(32)?, hex(16)? as u64, hex(2)?);
        let valid = version == 0 && id != 0 && span != 0 && parts.next().is_none();
        valid.then_some(Trace { id, span, sampled: flags & 1 == 1 })
    }

    /// The request's, if it has just one and that is valid; else a new one.
    fn of(headers: &HeaderMap) -> Trace {
        let mut given = headers.get_all(NAME).iter();
        let first = given.next().filter(|_| given.next().is_none());
        first.and_then(|value| Trace::parse(value.to_str().ok()?)).unwrap_or_else(Trace::new)
    }

    /// Another place in the same trace.
    fn onward(self) -> Trace {
        Trace { span: fastrand::u64(1..), ..self }
    }

    /// As it stands in the log.
    fn id(self) -> String {
        format!("{:032x}", self.id)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Trace { id, span, sampled } = self;
        write!(f, "00-{id:032x}-{span:016x}-{:02x}", u8::from(*sampled))
    }
}

/// Around every request: what it enqueues belongs to its trace. Nothing is echoed.
pub async fn request(request: Request, next: NextHandler) -> Response {
    let trace = Trace::of(request.headers());
    let span = error_span!("request", trace_id = %trace.id());
    CURRENT.scope(trace, next.run(request)).instrument(span).await
}

/// Around every push: the payload takes the trace along, a new one if this is the beginning. One
/// that it has already stays.
pub async fn enqueue(payload: Payload, next: PushNext) -> Result<Payload, EnqueueError> {
    if valid(payload.get(NAME)).is_some() {
        return next.run(payload).await;
    }
    let trace = CURRENT.try_with(|current| current.onward()).unwrap_or_else(|_| Trace::new());
    next.run(payload.with(NAME, trace.to_string())).await
}

/// Around every run: all lines about it have the trace id, and what it enqueues belongs to the
/// same trace.
pub async fn run(call: Call, next: Next) -> anyhow::Result<()> {
    let trace = valid(call.get(NAME)).unwrap_or_else(Trace::new);
    // of the highest level: RUST_LOG=warn would hide a lesser one, and the warnings need it
    let span = error_span!("job", trace_id = %trace.id());
    call.log_within(&span);
    CURRENT.scope(trace, next.run(call)).instrument(span).await
}

fn valid(field: Option<String>) -> Option<Trace> {
    Trace::parse(&field?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_one_goes_on_in_the_same_trace() {
        let trace = Trace::parse(GOOD).unwrap();
        assert_eq!(trace.to_string(), GOOD);
        let onward = trace.onward();
        assert_eq!((onward.id, onward.sampled), (trace.id, true));
        assert_ne!(onward.span, trace.span);
        let odd_flags = GOOD.replace("-01", "-fe");
        assert_eq!(Trace::parse(&odd_flags).unwrap().to_string(), GOOD.replace("-01", "-00"));
        let new = Trace::new();
        assert_eq!(Trace::parse(&new.to_string()), Some(new));
    }

    #[test]
    fn an_invalid_one_is_none() {
        for bad in [
            "",
            "-",
            "---",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1\n",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47ü-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_request_with_several_begins_anew() {
        let mut headers = HeaderMap::new();
        headers.append(NAME, GOOD.parse().unwrap());
        assert_eq!(Trace::of(&headers).to_string(), GOOD);
        headers.append(NAME, GOOD.parse().unwrap());
        assert_ne!(Trace::of(&headers).id, Trace::parse(GOOD).unwrap().id);
    }
}
