//! One line before it is written.

use std::fmt;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::filter::{is_own, level_of};

/// What a line says, whatever the format.
pub(super) struct Line<'a> {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    /// klog's level; 0 for errors and warnings too.
    pub(super) verbosity: u32,
    /// The crate it comes from.
    pub(super) krate: &'a str,
    /// The file's name, without its folder.
    pub(super) file: &'a str,
    pub(super) line: u32,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// What a field holds.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
}

impl<'a> Line<'a> {
    pub(super) fn new(event: &Event<'a>, at: Timestamp) -> Self {
        let metadata = event.metadata();
        let mut line = Self {
            at,
            level: *metadata.level(),
            verbosity: level_of(*metadata.level(), is_own(metadata)),
            krate: metadata.target().split("::").next().unwrap_or_default(),
            file: metadata.file().and_then(|path| path.rsplit('/').next()).unwrap_or("unknown"),
            line: metadata.line().unwrap_or_default(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        line
    }

    pub(super) fn is_error(&self) -> bool {
        self.level == Level::ERROR
    }

    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text,
            // klog's name for it.
            ("error", value) => self.fields.push(("err", value)),
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Bool(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Int(value.into()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Int(value.into()));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::Float(value));
    }
}
