//! The `logging` part of the configuration (`LoggingConfiguration` v1).

use serde::{Deserialize, Serialize};

use crate::choice::LogFormat;
use crate::duration::{Duration, text_or_nanos};

/// How logs are written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Logging {
    /// Text or JSON.
    pub format: LogFormat,
    /// How long lines may be held back.
    #[serde(deserialize_with = "text_or_nanos")]
    pub flush_frequency: Duration,
    /// klog's verbosity: 0 for what an operator wants, up to 10.
    pub verbosity: u32,
    /// Verbosity of single files; text format only.
    pub vmodule: Vec<VModule>,
    /// Options of each format, which need the gate LoggingAlphaOptions.
    pub options: FormatOptions,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            flush_frequency: Duration::seconds(5),
            verbosity: 0,
            vmodule: Vec::new(),
            options: FormatOptions::default(),
        }
    }
}

/// The verbosity of the files that a pattern matches.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VModule {
    /// File name without its extension, with `*` and `?`.
    pub file_pattern: String,
    /// The verbosity.
    pub verbosity: u32,
}

/// Options of each format.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FormatOptions {
    /// Of the text format.
    pub text: OutputOptions,
    /// Of the JSON format.
    pub json: OutputOptions,
}

/// Where a format's lines go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OutputOptions {
    /// Errors to stderr, everything else to stdout.
    pub split_stream: bool,
    /// Quantity of bytes that stdout is buffered with.
    pub info_buffer_size: String,
}

impl Default for OutputOptions {
    fn default() -> Self {
        Self { split_stream: false, info_buffer_size: "0".into() }
    }
}
