//! YAML: parser events to values and their places.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{
    ErrorKind as ScanErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag,
};
use serde_json::Value;

use crate::error::{DocumentError, ErrorKind};
use crate::path::{Path, Segment};
use crate::scalar;
use crate::tree::{
    Budget, Built, Duplicate, Location, MappingBuilder, Node, Parts, check_depth, note_duplicate,
};

/// The value of a YAML text with one document.
pub(crate) fn parse(text: &str) -> Result<Built, DocumentError> {
    let options = granit_parser::options! { emit_comments: false };
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        budget: Budget::new(),
        anchors: HashMap::new(),
        path: Path::default(),
        duplicates: Vec::new(),
        at: Location::new(1, 1),
        last: 1,
    };
    let (value, node) = builder.document()?;
    Ok(Built { value, node, duplicates: builder.duplicates })
}

/// What an anchor stands for, and what a copy of it costs.
#[derive(Clone)]
struct Anchored {
    value: Value,
    node: Node,
    cost: usize,
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    budget: Budget,
    anchors: HashMap<usize, Anchored>,
    path: Path,
    duplicates: Vec<Duplicate>,
    /// Where the current event is.
    at: Location,
    /// The last line that held something.
    last: usize,
}

impl<'a> Builder<'a> {
    /// The next event; `None` at the end of the text.
    fn next(&mut self) -> Result<Option<Event<'a>>, DocumentError> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Err(error)) => Err(syntax(&error, self.last)),
            Some(Ok((event, span))) => {
                self.at = location(&span.start);
                if event.is_node() {
                    self.last = span.start.line();
                }
                Ok(Some(event))
            }
        }
    }

    fn error(&self, kind: ErrorKind, message: &str) -> DocumentError {
        let error = DocumentError::new(kind, message.to_owned()).located(self.at);
        if self.path.is_empty() { error } else { error.at(self.path.clone(), None) }
    }

    /// The only document; documents without any content do not count.
    fn document(&mut self) -> Result<(Value, Node), DocumentError> {
        let mut found: Option<(Value, Node)> = None;
        while let Some(event) = self.next()? {
            if !event.is_node() {
                continue;
            }
            let at = self.at;
            let (value, node) = self.node(event, 0)?;
            if value.is_null() {
                continue;
            }
            if found.is_some() {
                self.at = at;
                let message =
                    "a second document begins here, and only one can be read: put each in its own file";
                return Err(self.error(ErrorKind::MultipleDocuments, message));
            }
            found = Some((value, node));
        }
        found.ok_or_else(|| DocumentError::new(ErrorKind::Empty, "the document is empty".to_owned()))
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<(Value, Node), DocumentError> {
        let at = self.at;
        check_depth(depth, at)?;
        let before = self.budget.left();
        let (anchor, value, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor),
            Event::Scalar(text, style, anchor, tag) => {
                self.budget.spend(text.len(), at)?;
                (anchor, self.scalar(text, style, tag.as_deref())?, Node::scalar(at))
            }
            Event::SequenceStart(_, anchor, _) => {
                self.budget.spend(0, at)?;
                let (value, node) = self.list(at, depth)?;
                (anchor, value, node)
            }
            Event::MappingStart(_, anchor, _) => {
                self.budget.spend(0, at)?;
                let (value, node) = self.mapping(at, depth)?;
                (anchor, value, node)
            }
            _ => return Err(self.error(ErrorKind::Syntax, "expected a value")),
        };
        if anchor != 0 {
            let cost = before - self.budget.left();
            self.budget.spend_bytes(cost, at)?;
            self.anchors.insert(anchor, Anchored { value: value.clone(), node: node.clone(), cost });
        }
        Ok((value, node))
    }

    fn alias(&mut self, anchor: usize) -> Result<(Value, Node), DocumentError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(self.error(ErrorKind::Syntax, "the alias is part of what it stands for"));
        };
        self.budget.spend_bytes(anchored.cost, self.at)?;
        let mut node = anchored.node.clone();
        node.at = self.at;
        Ok((anchored.value.clone(), node))
    }

    fn scalar(
        &self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
    ) -> Result<Value, DocumentError> {
        let tag = tag.filter(|tag| !(tag.handle().is_empty() && tag.suffix() == "!"));
        let core = tag.and_then(|tag| tag.core_suffix());
        let plain = match (tag, core) {
            (None, _) => style == ScalarStyle::Plain,
            (Some(_), Some("null" | "bool" | "int" | "float")) => true,
            (Some(_), _) => false,
        };
        if !plain {
            return Ok(Value::String(text.into_owned()));
        }
        let value = scalar::plain(&text)
            .ok_or_else(|| self.error(ErrorKind::Syntax, "infinity and not-a-number have no form in JSON"))?;
        let fits = match core {
            Some("null") => value.is_null(),
            Some("bool") => value.is_boolean(),
            Some("int") => value.is_i64() || value.is_u64(),
            Some("float") => value.is_number(),
            _ => true,
        };
        if fits {
            Ok(value)
        } else {
            Err(self.error(ErrorKind::Syntax, "the value is not what its tag says"))
        }
    }

    fn list(&mut self, at: Location, depth: usize) -> Result<(Value, Node), DocumentError> {
        let (mut values, mut nodes) = (Vec::new(), Vec::new());
        while let Some(event) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            self.path.push(Segment::Index(values.len()));
            let (value, node) = self.node(event, depth + 1)?;
            self.path.pop();
            values.push(value);
            nodes.push(node);
        }
        Ok((Value::Array(values), Node { at, parts: Parts::List(nodes) }))
    }

    fn mapping(&mut self, at: Location, depth: usize) -> Result<(Value, Node), DocumentError> {
        let mut mapping = MappingBuilder::default();
        let mut merged = Vec::new();
        while let Some(event) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key_at = self.at;
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let (key, _) = self.node(event, depth + 1)?;
            let Some(key) = scalar::key(key) else {
                self.at = key_at;
                return Err(self.error(ErrorKind::Syntax, "a key must be text, a number or a boolean"));
            };
            self.path.push(Segment::Key(key.as_str().into()));
            let Some(event) = self.next()? else { break };
            let (value, node) = self.node(event, depth + 1)?;
            if merge {
                merged.push((value, node));
            } else if let Some(first) = mapping.insert(key, key_at, value, node) {
                let duplicate = Duplicate { path: self.path.clone(), first, again: key_at };
                note_duplicate(&mut self.duplicates, duplicate)?;
            }
            self.path.pop();
        }
        for (value, node) in merged {
            self.merge(&mut mapping, value, node)?;
        }
        Ok(mapping.finish(at))
    }

    /// Adds what `<<` names: a mapping, or a list of mappings whose first has precedence. Own keys win.
    fn merge(&self, mapping: &mut MappingBuilder, value: Value, node: Node) -> Result<(), DocumentError> {
        match (value, node.parts) {
            (Value::Object(map), Parts::Mapping(entries)) => {
                for ((key, value), entry) in map.into_iter().zip(entries) {
                    if !mapping.contains(&key) {
                        mapping.insert(key, entry.at, value, entry.node);
                    }
                }
                Ok(())
            }
            (Value::Array(values), Parts::List(nodes)) if values.iter().all(Value::is_object) => {
                values.into_iter().zip(nodes).try_for_each(|(value, node)| self.merge(mapping, value, node))
            }
            _ => Err(self.error(ErrorKind::Syntax, "<< merges only a mapping or a list of mappings")),
        }
    }
}

fn location(marker: &Marker) -> Location {
    Location::new(marker.line(), marker.col() + 1)
}

/// What the scanner found wrong. `last` is the line of the last good value: a scanner notices a missing quote or
/// bracket only at the end of the text, which would be no help to find it.
fn syntax(error: &ScanError, last: usize) -> DocumentError {
    let kind = match error.kind() {
        ScanErrorKind::RecursionLimitExceeded => ErrorKind::TooComplex,
        _ => ErrorKind::Syntax,
    };
    let at = location(error.marker());
    let mut message = error.info();
    if message.is_empty() {
        message.push_str("not valid YAML");
    }
    if usize::try_from(at.line).is_ok_and(|line| line > last + 1) {
        message.push_str(&format!(" (the last value before it is in line {last})"));
    }
    DocumentError::new(kind, message).located(at)
}
