//! What berth says about itself: metrics, log lines and error chains.
//!
//! Decides: how a metric is written in the Prometheus text format, how a log line is written in klog's text and JSON
//! formats, and which lines are written at which verbosity.
//!
//! Tasks: none. Metrics are atomics that any task writes and a scrape reads; a log line is formatted and written by
//! the task that logs it.
//!
//! Does not: name metrics (each crate declares its own), serve them (`server`), or rotate log files.

pub mod logging;
pub mod metrics;

mod chain;

pub use chain::chain;
