//! Where each value of a document is written, and the budget that bounds what a document may grow to.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{DocumentError, ErrorKind};
use crate::path::{Path, Segment, split_first};

/// How deep mappings and lists may be nested.
pub const DEPTH: usize = 128;

/// How much a document may grow to, in bytes: each value counts for its text and 64 bytes, again for each alias that
/// repeats it.
pub const BUDGET: usize = 64 << 20;

/// A place in a text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Location {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
}

impl Location {
    pub(crate) fn new(line: usize, column: usize) -> Self {
        let narrow = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: narrow(line), column: narrow(column) }
    }
}

/// `line:column`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A key that occurs again in its mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duplicate {
    /// The path of the field.
    pub path: Path,
    /// Where it is first.
    pub first: Location,
    /// Where it is again.
    pub again: Location,
}

/// A value's place, and those of its parts.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Location,
    pub(crate) parts: Parts,
}

/// The parts of a value.
#[derive(Clone, Debug)]
pub(crate) enum Parts {
    Scalar,
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key of a mapping. Entries are in the order of the [`Map`] they belong to.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) at: Location,
    pub(crate) node: Node,
}

/// What a parser made of a text.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) value: Value,
    pub(crate) node: Node,
    pub(crate) duplicates: Vec<Duplicate>,
}

impl Node {
    pub(crate) fn scalar(at: Location) -> Self {
        Self { at, parts: Parts::Scalar }
    }

    fn child(&self, name: &str) -> Option<(Location, &Self)> {
        match &self.parts {
            Parts::Scalar => None,
            Parts::List(items) => items.get(name.parse::<usize>().ok()?).map(|node| (node.at, node)),
            Parts::Mapping(entries) => {
                entries.iter().find(|entry| &*entry.key == name).map(|entry| (entry.at, &entry.node))
            }
        }
    }

    /// The place of the nearest thing on the way to `path` that is written; and of `path` itself.
    pub(crate) fn find(&self, mut path: &str) -> (Location, Option<Location>) {
        let (mut node, mut at) = (self, self.at);
        while let Some((name, rest)) = split_first(path) {
            let Some((place, child)) = node.child(name) else { return (at, None) };
            (node, at, path) = (child, place, rest);
        }
        (at, Some(at))
    }

    /// The part of `value`, which this node describes, at `path`.
    pub(crate) fn descend<'a>(&'a self, mut value: &'a Value, path: &Path) -> Option<(&'a Value, &'a Self)> {
        let mut node = self;
        for segment in path.segments() {
            (value, node) = match (segment, &node.parts) {
                (Segment::Index(index), Parts::List(items)) => (value.get(index)?, items.get(*index)?),
                (Segment::Key(key), Parts::Mapping(entries)) => {
                    let entry = entries.iter().find(|entry| entry.key == *key)?;
                    (value.get(&**key)?, &entry.node)
                }
                _ => return None,
            };
        }
        Some((value, node))
    }

    pub(crate) fn leaves(&self) -> Vec<(Path, Location)> {
        let mut found = Vec::new();
        self.collect_leaves(&mut Path::default(), self.at, &mut found);
        found
    }

    fn collect_leaves(&self, path: &mut Path, at: Location, found: &mut Vec<(Path, Location)>) {
        match &self.parts {
            Parts::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    path.push(Segment::Index(index));
                    item.collect_leaves(path, item.at, found);
                    path.pop();
                }
            }
            Parts::Mapping(entries) if !entries.is_empty() => {
                for entry in entries {
                    path.push(Segment::Key(entry.key.clone()));
                    entry.node.collect_leaves(path, entry.at, found);
                    path.pop();
                }
            }
            _ => found.push((path.clone(), at)),
        }
    }
}

/// What is left of [`BUDGET`].
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(BUDGET)
    }

    /// Pays for one value with `text` bytes.
    pub(crate) fn spend(&mut self, text: usize, at: Location) -> Result<(), DocumentError> {
        self.spend_bytes(text.saturating_add(64), at)
    }

    pub(crate) fn spend_bytes(&mut self, bytes: usize, at: Location) -> Result<(), DocumentError> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            let message = "the document has too many values, or its aliases repeat too much".to_owned();
            DocumentError::new(ErrorKind::TooComplex, message).located(at)
        })?;
        Ok(())
    }

    pub(crate) fn left(&self) -> usize {
        self.0
    }
}

/// Fails if `depth` is more than [`DEPTH`].
pub(crate) fn check_depth(depth: usize, at: Location) -> Result<(), DocumentError> {
    if depth <= DEPTH {
        return Ok(());
    }
    let message = format!("nested deeper than {DEPTH} levels");
    Err(DocumentError::new(ErrorKind::TooComplex, message).located(at))
}

/// Notes a duplicate key. Many are no slip but an attack on whoever must look each up.
pub(crate) fn note_duplicate(all: &mut Vec<Duplicate>, duplicate: Duplicate) -> Result<(), DocumentError> {
    const MOST: usize = 100;
    if all.len() < MOST {
        all.push(duplicate);
        return Ok(());
    }
    let message = format!("more than {MOST} keys occur twice");
    Err(DocumentError::new(ErrorKind::TooComplex, message).located(duplicate.again))
}

/// A mapping as it is read: the last of equal keys wins.
#[derive(Debug, Default)]
pub(crate) struct MappingBuilder {
    map: Map<String, Value>,
    entries: Vec<Entry>,
}

impl MappingBuilder {
    /// Adds a field; answers where the same key was before.
    pub(crate) fn insert(&mut self, key: String, at: Location, value: Value, node: Node) -> Option<Location> {
        let entry = Entry { key: key.as_str().into(), at, node };
        if self.map.insert(key, value).is_none() {
            self.entries.push(entry);
            return None;
        }
        let old = self.entries.iter_mut().find(|old| old.key == entry.key)?;
        Some(std::mem::replace(old, entry).at)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn finish(self, at: Location) -> (Value, Node) {
        (Value::Object(self.map), Node { at, parts: Parts::Mapping(self.entries) })
    }
}
