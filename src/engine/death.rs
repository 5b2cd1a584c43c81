//! What is known of a job that has failed for good.

/// Why a job has failed for good.
#[derive(Clone, Debug, PartialEq)]
pub struct Death {
    /// The job's id.
    pub jid: String,
    /// The queue it came from the last time.
    pub queue: String,
    /// How often it has failed, this time included.
    pub failures: u32,
    /// `Error`, `Panic`, `Timeout`, `Poison` (its process died again and again) or
    /// `BadArguments`.
    pub error_class: &'static str,
    /// The last error in words.
    pub error: String,
}
