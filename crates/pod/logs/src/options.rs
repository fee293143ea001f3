//! Which part of a log is wanted, and in what form.

use jiff::Timestamp;

use crate::Stream;

/// What to read of a log (`PodLogOptions` of the API). The default is everything that is there now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogOptions {
    /// Only that many records from the end of the file; what is added while following comes after them.
    pub tail: Option<u64>,
    /// Only what was written at that time or later.
    pub since: Option<Timestamp>,
    /// No more than that many bytes, counted as they are handed out.
    pub limit_bytes: Option<u64>,
    /// Whether each line begins with the time at which it was written.
    pub timestamps: bool,
    /// Only one of the two streams.
    pub stream: Option<Stream>,
}
