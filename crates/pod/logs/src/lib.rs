//! The log files of containers, as CRI runtimes write them: reading, following and rotating.
//!
//! Decides: what a line of a log file means ([`Head`], [`Decoder`]), and which rotated files are kept, compressed or
//! removed ([`plan`]). All that is pure.
//!
//! Acts: [`LogReader`] hands out a log in pieces, in constant memory, and follows it across rotations; it wakes on
//! inotify events of the log's directory and on the container's end. [`Rotator`] is the one task: it looks at the logs of
//! running containers on a timer and has the runtime reopen what it put aside.
//!
//! Does not: find the log of a container (its path is in the runtime's status), choose the previous instance, answer
//! HTTP requests (`server`), or read compressed files: like the kubelet's, a log begins with the file that is written.

mod decode;
mod file;
mod options;
mod read;
mod record;
mod rotation;
mod rotator;
mod tail;

pub use decode::Decoder;
pub use options::LogOptions;
pub use read::{LogReader, ReadError};
pub use record::{Head, Stream};
pub use rotation::{Plan, RotationError, RotationPolicy, plan, remove_all};
pub use rotator::{ContainerLog, Containers, Rotator};
pub use tail::{MESSAGE_BYTES, MESSAGE_LINES, tail_offset, termination_message};
