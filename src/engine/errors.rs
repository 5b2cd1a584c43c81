//! What an error of a request means: who answered, what was done, what helps.

use redis::RedisError;

/// Errors after which a connection is of no use. Either no answer of the server's (so whoever waits
/// for a newer connection after such an error does not wait in vain), or one that says that it
/// will not serve us until something changes; a fresh connection may reach another server.
pub(crate) fn breaks_connection(error: &RedisError) -> bool {
    const CODES: [&str; 8] = [
        "READONLY",
        "LOADING",
        "MASTERDOWN",
        "UNBLOCKED",
        "MISCONF",
        "NOREPLICAS",
        "NOAUTH",
        "WRONGPASS",
    ];
    code(error).is_none_or(|code| CODES.contains(&&*code))
}

/// The code of the server's answer, if there was one; of a pipeline the first. (The crate's own
/// `code` is silent on a pipeline's errors, but for the few codes that it knows by name.)
pub(crate) fn code(error: &RedisError) -> Option<String> {
    let first = || error.clone().into_server_errors()?.first().map(|(_, e)| e.code().to_owned());
    error.code().map(str::to_owned).or_else(first)
}

/// Which commands of a pipeline the server refused; empty if that is not known.
pub(crate) fn refused(error: &RedisError) -> Vec<usize> {
    let errors = error.clone().into_server_errors();
    errors.map_or(Vec::new(), |errors| errors.iter().map(|(index, _)| *index).collect())
}

/// Whether the server may have executed a request that ended with this error.
pub(crate) fn in_doubt(error: &RedisError) -> bool {
    code(error).is_none() && !is_unavailable(error)
}

/// Whether Redis refused a write because it is full.
pub fn is_full(error: &RedisError) -> bool {
    code(error).as_deref() == Some("OOM")
}

const UNAVAILABLE: &str = "Redis is not reachable";

pub(crate) fn is_unavailable(error: &RedisError) -> bool {
    error.to_string().contains(UNAVAILABLE)
}

pub(crate) fn unavailable(reason: String) -> RedisError {
    error(&format!("{UNAVAILABLE}: {reason}"))
}

pub(crate) fn error(text: &str) -> RedisError {
    RedisError::from(std::io::Error::other(text.to_owned()))
}

/// An error in words that help and give nothing away.
pub(crate) fn reason(error: &RedisError) -> String {
    match code(error).as_deref() {
        Some("NOAUTH") => "the server wants a password (NOAUTH): put it into the URL".to_owned(),
        Some("WRONGPASS") => "the server refused user or password (WRONGPASS)".to_owned(),
        _ => match error.clone().into_server_errors().as_deref() {
            // of a pipeline the first; the others say the same
            Some([(_, first), ..]) => {
                format!("{}: {}", first.code(), first.details().unwrap_or("no more is known"))
            }
            _ => error.to_string(),
        },
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
