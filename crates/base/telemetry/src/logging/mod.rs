//! Log lines in klog's text and JSON formats (Kubernetes: "System Logs"), written whole, one at a time.
//!
//! The macros of `tracing` are klog's levels: `error!` and `warn!` are always written, `info!` at any verbosity,
//! `debug!` from `-v=4` on, `trace!` from `-v=6` on. Lines of libraries come later; see [`Filter`].
//! Spans carry nothing: what a line is about is in its fields.

mod filter;
mod json;
mod line;
mod subscriber;
mod text;

use std::sync::{Arc, PoisonError, RwLock};

use jiff::tz::TimeZone;

pub use filter::{Filter, VModule};
use subscriber::{KlogSubscriber, Standard};

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// klog's text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `logging` of the configuration, as far as it concerns what is written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoggingOptions {
    /// Text or JSON.
    pub format: Format,
    /// Which lines are written.
    pub filter: Filter,
    /// Errors and warnings go to stderr, all else to stdout; otherwise everything goes to stderr.
    pub split_stream: bool,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("log output is set up already in this process; set it up once, first thing in main")]
pub struct InitError;

/// Changes at run time what is written.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: Arc<RwLock<Filter>>,
}

impl LogHandle {
    /// What is written at present.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.filter.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the verbosity (`-v`) and leaves that of single modules as it is.
    pub fn set_verbosity(&self, verbosity: u32) {
        self.change(|filter| filter.verbosity = verbosity);
    }

    /// Sets the verbosity of single modules (`--vmodule`).
    pub fn set_vmodule(&self, vmodule: Vec<VModule>) {
        self.change(|filter| filter.vmodule = vmodule);
    }

    fn change(&self, change: impl FnOnce(&mut Filter)) {
        change(&mut self.filter.write().unwrap_or_else(PoisonError::into_inner));
        // Each place that logs has remembered whether it is to; ask again.
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Sends what the process logs to stderr from now on. To be called once, first thing in main.
///
/// # Errors
/// If the process has set up log output already.
pub fn init(options: LoggingOptions) -> Result<LogHandle, InitError> {
    let filter = Arc::new(RwLock::new(options.filter));
    let subscriber = KlogSubscriber {
        filter: filter.clone(),
        format: options.format,
        zone: TimeZone::system(),
        output: Standard { split: options.split_stream },
    };
    tracing::subscriber::set_global_default(subscriber).map_err(|_| InitError)?;
    Ok(LogHandle { filter })
}
