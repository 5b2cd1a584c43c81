//! What an error of a request means: who answered, what was done, what helps.

use redis::{ErrorKind, ParsingError, RedisError, ServerError};

/// Errors after which a connection is of no use. Either no answer of the server's (so whoever waits
/// for a newer connection after such an error does not wait in vain), or one that says that it
/// will not serve us until something changes; a fresh connection may reach another server.
pub(crate) fn breaks_connection(error: &RedisError) -> bool {
    const CODES: [&str; 9] = [
        "READONLY",
        "LOADING",
        "MASTERDOWN",
        "UNBLOCKED",
        "MISCONF",
        "NOREPLICAS",
        "BUSY",
        "NOAUTH",
        "WRONGPASS",
    ];
    match code(error) {
        Some(code) => CODES.contains(&&*code),
        None => error.kind() != ErrorKind::UnexpectedReturnType,
    }
}

/// The code of the server's answer (`READONLY`, `OOM`), if there was one; of a pipeline the first.
/// (The crate's own `code` is silent on a pipeline's errors, but for the few codes that it knows by
/// name.)
pub fn code(error: &RedisError) -> Option<String> {
    let first = || error.clone().into_server_errors()?.first().map(|(_, e)| e.code().to_owned());
    error.code().map(str::to_owned).or_else(first)
}

/// Which commands of a pipeline the server refused, and how; empty if it did not answer.
pub(crate) fn refused(error: &RedisError) -> Vec<(usize, ServerError)> {
    error.clone().into_server_errors().map_or(Vec::new(), |errors| errors.to_vec())
}

/// What the server said to one step of a script that went on without it.
pub(crate) fn said_inside(text: &str) -> RedisError {
    let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
    redis::make_extension_error(code.to_owned(), Some(detail.to_owned()))
}

/// Whether the server may have executed a request that ended with this error.
pub(crate) fn in_doubt(error: &RedisError) -> bool {
    code(error).is_none() && !is_unavailable(error)
}

/// Whether Redis refused a write because it is full.
pub fn is_full(error: &RedisError) -> bool {
    code(error).as_deref() == Some("OOM")
}

/// Whether a key holds something else than what we keep there.
pub(crate) fn is_wrong_type(error: &RedisError) -> bool {
    code(error).as_deref() == Some("WRONGTYPE")
}

const UNAVAILABLE: &str = "Redis is not reachable";

const UNSENT: &str = "the connection was closed before anything was sent";

/// A request that was certainly not executed, since nothing of it left.
pub(crate) fn unsent() -> RedisError {
    unavailable(UNSENT.to_owned())
}

pub(crate) fn is_unsent(error: &RedisError) -> bool {
    error.to_string().contains(UNSENT)
}

/// Whether a request never left, because there was no connection.
pub fn is_unavailable(error: &RedisError) -> bool {
    error.to_string().contains(UNAVAILABLE)
}

pub(crate) fn unavailable(reason: String) -> RedisError {
    error(&format!("{UNAVAILABLE}: {reason}"))
}

/// An answer that the asker cannot use. (The crate has one kind of error for these and for bytes
/// that are no answer at all.)
pub(crate) fn unfit(error: &ParsingError) -> RedisError {
    (ErrorKind::UnexpectedReturnType, "not the type that was asked for", error.to_string()).into()
}

pub(crate) fn error(text: &str) -> RedisError {
    RedisError::from(std::io::Error::other(text.to_owned()))
}

/// An error in words that help and give nothing away.
pub(crate) fn reason(error: &RedisError) -> String {
    match code(error).as_deref() {
        Some("NOAUTH") => "the server wants a password (NOAUTH): put it into the URL".to_owned(),
        Some("WRONGPASS") => "the server refused user or password (WRONGPASS)".to_owned(),
        Some(code) => said(code, error),
        None => error.to_string(),
    }
}

/// What an outage for this reason is, in a line for the log. Some end by themselves, some wait
/// for a person.
pub(crate) fn headline(reason: &str) -> &'static str {
    if reason.contains("certificate") {
        "we do not trust the server that Redis's address leads to; trying until we do"
    } else if ["NOAUTH", "WRONGPASS", "NOPERM"].iter().any(|code| reason.contains(code)) {
        "Redis refuses us; trying until it does not"
    } else {
        "Redis is not reachable; trying until it is"
    }
}

/// The server's own words, of a pipeline the first.
fn said(code: &str, error: &RedisError) -> String {
    let errors = error.clone().into_server_errors().unwrap_or_default();
    let first = errors.first().and_then(|(_, error)| error.details().map(str::to_owned));
    let detail = error.detail().map(str::to_owned).or(first).unwrap_or_default();
    match detail.contains("max number of clients") {
        true => format!("the server's connections are used up ({detail}): {BUDGET}"),
        false => format!("{code} {detail}"),
    }
}

const BUDGET: &str = "every worker process needs two, every web process one, so run fewer \
                      processes or take a larger plan";

/// An error of the handshake. A server without a free place may hang up without a word, and over
/// TLS always does.
pub(crate) fn greeting(error: &RedisError) -> String {
    let reason = reason(error);
    match code(error).is_none() && !error.is_connection_refusal() && error.is_connection_dropped() {
        true => format!(
            "{reason}; the server hangs up at once: if it is not just starting, its connections \
             are used up (maxclients): {BUDGET}"
        ),
        false => reason,
    }
}
