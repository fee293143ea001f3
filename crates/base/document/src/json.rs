//! JSON: serde_json judges the syntax, then a scan of the text, which is known to be valid, notes the places.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::error::{DocumentError, ErrorKind};
use crate::path::{Path, Segment};
use crate::tree::{
    Budget, Built, Duplicate, Location, MappingBuilder, Node, Parts, check_depth, note_duplicate,
};

/// The value of a JSON text.
pub(crate) fn parse(text: &str) -> Result<Built, DocumentError> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| syntax(&error, 1, 0))?;
    let mut scan = Scan {
        text,
        position: 0,
        line: 1,
        column: 1,
        counted: 0,
        budget: Budget::new(),
        path: Path::default(),
        duplicates: Vec::new(),
    };
    let (value, node) = scan.value(0)?;
    Ok(Built { value, node, duplicates: scan.duplicates })
}

/// `error`, which counts lines from `line`, and columns of the first line after `column`.
fn syntax(error: &serde_json::Error, line: usize, column: usize) -> DocumentError {
    let message = error.to_string();
    let words = message.split(" at line ").next().unwrap_or_default();
    let column = if error.line() <= 1 { error.column() + column } else { error.column() };
    let line = line + error.line().saturating_sub(1);
    DocumentError::new(ErrorKind::Syntax, words.to_owned()).located(Location::new(line, column.max(1)))
}

struct Scan<'a> {
    text: &'a str,
    position: usize,
    line: usize,
    /// The column of the byte at `counted`, which is no further than `position`: each byte is counted once.
    column: usize,
    counted: usize,
    budget: Budget,
    path: Path,
    duplicates: Vec<Duplicate>,
}

impl Scan<'_> {
    /// The next byte that is no white space; 0 at the end.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.position) {
            match byte {
                b'\n' => {
                    self.line += 1;
                    (self.column, self.counted) = (1, self.position + 1);
                }
                b' ' | b'\t' | b'\r' => {}
                _ => return byte,
            }
            self.position += 1;
        }
        0
    }

    /// Steps over the next byte if it is `wanted`.
    fn accept(&mut self, wanted: u8) -> bool {
        let found = self.peek() == wanted;
        self.position += usize::from(found);
        found
    }

    fn here(&mut self) -> Location {
        self.peek();
        let passed = self.text.get(self.counted..self.position).unwrap_or_default();
        self.column += passed.chars().count();
        self.counted = self.position;
        Location::new(self.line, self.column)
    }

    fn value(&mut self, depth: usize) -> Result<(Value, Node), DocumentError> {
        let at = self.here();
        check_depth(depth, at)?;
        self.budget.spend(0, at)?;
        if self.accept(b'{') {
            self.mapping(at, depth)
        } else if self.accept(b'[') {
            self.list(at, depth)
        } else {
            Ok((self.leaf(at)?, Node::scalar(at)))
        }
    }

    fn mapping(&mut self, at: Location, depth: usize) -> Result<(Value, Node), DocumentError> {
        let mut mapping = MappingBuilder::default();
        while self.peek() == b'"' {
            let key_at = self.here();
            let Value::String(key) = self.leaf(key_at)? else { break };
            self.accept(b':');
            self.path.push(Segment::Key(key.as_str().into()));
            let (value, node) = self.value(depth + 1)?;
            if let Some(first) = mapping.insert(key, key_at, value, node) {
                let duplicate = Duplicate { path: self.path.clone(), first, again: key_at };
                note_duplicate(&mut self.duplicates, duplicate)?;
            }
            self.path.pop();
            self.accept(b',');
        }
        self.accept(b'}');
        Ok(mapping.finish(at))
    }

    fn list(&mut self, at: Location, depth: usize) -> Result<(Value, Node), DocumentError> {
        let (mut values, mut nodes) = (Vec::new(), Vec::new());
        while !matches!(self.peek(), b']' | 0) {
            self.path.push(Segment::Index(values.len()));
            let (value, node) = self.value(depth + 1)?;
            self.path.pop();
            values.push(value);
            nodes.push(node);
            self.accept(b',');
        }
        self.accept(b']');
        Ok((Value::Array(values), Node { at, parts: Parts::List(nodes) }))
    }

    /// A string, a number or a word.
    fn leaf(&mut self, at: Location) -> Result<Value, DocumentError> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let length = if rest.starts_with('"') { string_length(rest) } else { word_length(rest) };
        let token = rest.get(..length).unwrap_or(rest);
        self.budget.spend_bytes(token.len(), at)?;
        self.position += token.len();
        let column = usize::try_from(at.column).unwrap_or(1);
        serde_json::from_str(token).map_err(|error| syntax(&error, self.line, column - 1))
    }
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (position, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

/// At least one byte, so that a scan always moves on.
fn word_length(text: &str) -> usize {
    text.find([',', ']', '}', ':', ' ', '\t', '\r', '\n']).unwrap_or(text.len()).max(1)
}
