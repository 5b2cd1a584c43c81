//! Why a job is not enqueued, or not known to be.

use std::fmt;

use redis::RedisError;

use super::errors;
use super::invalid::Invalid;

/// Why a job is not enqueued, or not known to be.
#[derive(Clone, Debug, PartialEq)]
pub enum EnqueueError {
    /// Redis cannot be reached or does not take writes; nothing was enqueued.
    Unavailable(String),
    /// Redis is full; nothing was enqueued.
    Full,
    /// The request was sent and its reply lost: the job may be enqueued or not. Repeating it may
    /// enqueue it twice; that decision is the caller's.
    Unknown(String),
    /// The job cannot be a payload.
    Invalid(Invalid),
    /// Middleware or the server refused it.
    Refused(String),
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            EnqueueError::Unavailable(reason) => write!(f, "nothing enqueued: {reason}"),
            EnqueueError::Full => f.write_str("nothing enqueued: Redis is full"),
            EnqueueError::Unknown(reason) => {
                write!(f, "perhaps enqueued, no answer came: {reason}")
            }
            EnqueueError::Invalid(reason) => write!(f, "no valid job: {reason}"),
            EnqueueError::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

impl std::error::Error for EnqueueError {}

impl From<Invalid> for EnqueueError {
    fn from(reason: Invalid) -> Self {
        EnqueueError::Invalid(reason)
    }
}

impl From<RedisError> for EnqueueError {
    fn from(error: RedisError) -> Self {
        if errors::is_full(&error) {
            EnqueueError::Full
        } else if errors::is_unavailable(&error) {
            EnqueueError::Unavailable(errors::reason(&error))
        } else if errors::in_doubt(&error) {
            EnqueueError::Unknown(errors::reason(&error))
        } else {
            EnqueueError::Unavailable(errors::reason(&error))
        }
    }
}
