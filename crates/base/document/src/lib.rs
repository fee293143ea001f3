//! YAML and JSON documents whose every value knows the line and column it came from.
//!
//! Decides how bytes become a [`serde_json::Value`] the way Kubernetes reads them (YAML 1.1 words and numbers:
//! `yes` is a boolean, `0644` is octal, `1e3` is the integer 1000), and how that value becomes a typed object: a
//! number where a string is wanted is an error, an unknown field is not, but is reported with its position and the
//! nearest known name.
//!
//! Pure functions over bytes that anybody may have written: no input panics, and memory is bounded by [`BUDGET`]
//! whatever aliases expand to.
//!
//! Does not: read files, know any object (that is for `source` and `config`), or write YAML.

mod decode;
mod error;
mod json;
mod nearest;
mod path;
mod scalar;
mod tree;
mod yaml;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use decode::{Decoded, UnknownField};
pub use error::{DocumentError, ErrorKind};
pub use nearest::nearest;
pub use path::{Path, Segment};
pub use tree::{BUDGET, DEPTH, Duplicate, Location};

/// The notation of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Its first character is `{`: strictly JSON.
    Json,
    /// Anything else.
    Yaml,
}

/// One parsed document: its value, and where each part of it is written.
#[derive(Clone, Debug)]
pub struct Document {
    format: Format,
    value: Value,
    tree: tree::Node,
    duplicates: Vec<Duplicate>,
}

impl Document {
    /// Reads the one document in `bytes`, which may be JSON or YAML.
    ///
    /// # Errors
    /// If it is longer than `limit` bytes, is empty, is not UTF-8, has a syntax error, holds more than one document,
    /// is nested deeper than [`DEPTH`], or expands to more than [`BUDGET`].
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self, DocumentError> {
        if bytes.len() > limit {
            let message = format!("{} bytes are more than the {limit} that are allowed", bytes.len());
            return Err(DocumentError::new(ErrorKind::TooLarge, message));
        }
        let text = text(bytes)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let json = text.trim_start().starts_with('{');
        let parsed = if json { json::parse(text)? } else { yaml::parse(text)? };
        let tree::Built { value, node, duplicates } = parsed;
        let format = if json { Format::Json } else { Format::Yaml };
        Ok(Self { format, value, tree: node, duplicates })
    }

    /// The notation it was written in.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The document's content. Of a duplicate key the last value is kept, as Kubernetes does.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where the field at `path` (such as `spec.containers[0].image`) is written: its key, or its value if it is an
    /// item of a list. `None` if the document has no such field.
    #[must_use]
    pub fn location(&self, path: &str) -> Option<Location> {
        self.tree.find(path).1
    }

    /// Like [`Document::location`], but falls back to the nearest parent that is written.
    #[must_use]
    pub fn nearest_location(&self, path: &str) -> Location {
        self.tree.find(path).0
    }

    /// Where the parts of `path` are written, for each path that leads to a value or an empty collection.
    #[must_use]
    pub fn leaves(&self) -> Vec<(Path, Location)> {
        self.tree.leaves()
    }

    /// Keys that occur more than once in their mapping, in the order of the text.
    #[must_use]
    pub fn duplicates(&self) -> &[Duplicate] {
        &self.duplicates
    }

    /// The document as a `T`, and the fields that `T` does not know.
    ///
    /// # Errors
    /// At the first value of a wrong type, with its path and position.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<Decoded<T>, DocumentError> {
        decode::decode(&self.value, &self.tree, Path::default())
    }

    /// The part at `path` (such as `items[2]`) as a `T`.
    ///
    /// # Errors
    /// As [`Document::decode`], and if nothing is at `path`.
    pub fn decode_at<T: DeserializeOwned>(&self, path: &Path) -> Result<Decoded<T>, DocumentError> {
        let missing = || {
            DocumentError::new(ErrorKind::Type, "the field is missing".to_owned())
                .at(path.clone(), Some(self.nearest_location(&path.to_string())))
        };
        let (value, node) = self.tree.descend(&self.value, path).ok_or_else(missing)?;
        decode::decode(value, node, path.clone())
    }
}

fn text(bytes: &[u8]) -> Result<&str, DocumentError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        DocumentError::new(ErrorKind::Encoding, "not UTF-8 text".to_owned())
            .located(Location::new(line, column))
    })
}

/// For fuzzing: does to `bytes` whatever the program does with bytes that it is given. Never panics.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(document) = Document::parse(bytes, 1 << 20) {
        for (path, _) in document.leaves() {
            let _ = document.location(&path.to_string());
        }
        let _ = document.decode::<Value>();
        let _ = document.decode::<std::collections::BTreeMap<String, Option<i32>>>();
    }
}

#[cfg(test)]
mod tests;
