//! A document as a typed object: a serde deserializer that knows where it is in the text.

use std::cell::RefCell;
use std::fmt::Display;
use std::slice;

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use crate::error::{DocumentError, ErrorKind};
use crate::nearest::nearest;
use crate::path::{Path, Segment};
use crate::tree::{Entry, Location, Node, Parts};

/// A typed object, and what of its document it does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded<T> {
    /// The object.
    pub value: T,
    /// Fields that the object's type does not have, in the order of the text.
    pub unknown: Vec<UnknownField>,
}

/// A field that a type does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownField {
    /// Its path.
    pub path: Path,
    /// Where its key is.
    pub location: Location,
    /// The field of the type that was probably meant.
    pub hint: Option<&'static str>,
}

impl DocumentError {
    fn at_link(self, link: Link<'_>, at: Location) -> Self {
        if self.path.is_some() { self } else { self.at(link.path(), Some(at)) }
    }
}

impl de::Error for DocumentError {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(ErrorKind::Type, message.to_string())
    }
}

pub(crate) fn decode<T: DeserializeOwned>(
    value: &Value,
    node: &Node,
    path: Path,
) -> Result<Decoded<T>, DocumentError> {
    let unknown = RefCell::new(Vec::new());
    let link = Link { root: &path, parent: None, step: Step::Root };
    let cursor = Cursor { value, node, at: node.at, link, siblings: &[], unknown: &unknown };
    let value = T::deserialize(cursor)?;
    let mut unknown = unknown.into_inner();
    unknown.sort_by_key(|field| field.location);
    Ok(Decoded { value, unknown })
}

/// More unknown fields than this are not listed: a hostile document shall not grow by its report.
const MAX_UNKNOWN: usize = 1000;

/// The way to a value. A list through the call stack: paths are only built where something is to be said.
#[derive(Clone, Copy)]
struct Link<'a> {
    root: &'a Path,
    parent: Option<&'a Link<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Link<'a> {
    fn then(&'a self, step: Step<'a>) -> Link<'a> {
        Link { root: self.root, parent: Some(self), step }
    }

    fn path(&self) -> Path {
        let mut path = self.parent.map_or_else(|| self.root.clone(), Link::path);
        match self.step {
            Step::Root => {}
            Step::Key(key) => path.push(Segment::Key(key.into())),
            Step::Index(index) => path.push(Segment::Index(index)),
        }
        path
    }
}

/// One value on the way through a document.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    value: &'a Value,
    node: &'a Node,
    /// Where its key is, or itself in a list.
    at: Location,
    link: Link<'a>,
    /// The fields that the type which holds it has; empty if it is no struct.
    siblings: &'static [&'static str],
    unknown: &'a RefCell<Vec<UnknownField>>,
}

impl<'a> Cursor<'a> {
    /// Visits the value; `fields` are those of the struct that is wanted.
    fn visit<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        fields: &'static [&'static str],
    ) -> Result<V::Value, DocumentError> {
        let (link, at) = (self.link, self.node.at);
        let result = match (self.value, &self.node.parts) {
            (Value::Object(map), Parts::Mapping(entries)) => {
                let rest = entries.iter();
                visitor.visit_map(Fields { map, rest, pending: None, fields, parent: self })
            }
            (Value::Array(values), Parts::List(nodes)) => {
                let rest = values.iter().zip(nodes).enumerate();
                visitor.visit_seq(Items { rest, parent: self })
            }
            (Value::String(text), _) => visitor.visit_str(text),
            (Value::Bool(flag), _) => visitor.visit_bool(*flag),
            (Value::Number(number), _) => {
                if let Some(number) = number.as_u64() {
                    visitor.visit_u64(number)
                } else if let Some(number) = number.as_i64() {
                    visitor.visit_i64(number)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or_default())
                }
            }
            // A node has the shape of its value; anything else would be a null as well.
            (Value::Null | Value::Object(_) | Value::Array(_), _) => visitor.visit_unit(),
        };
        result.map_err(|error: DocumentError| error.at_link(link, at))
    }
}

/// To Kubernetes, a null in a list or a mapping is the zero of its type.
macro_rules! zero_if_null {
    ($($method:ident $visit:ident $zero:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocumentError> {
            if self.value.is_null() { visitor.$visit($zero) } else { self.visit(visitor, &[]) }
        }
    )*};
}

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = DocumentError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocumentError> {
        self.visit(visitor, &[])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DocumentError> {
        self.visit(visitor, fields)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocumentError> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// A quantity may be written as a number (`cpu: 1`).
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DocumentError> {
        match self.value {
            Value::Number(number) if name == "Quantity" => {
                let text = Value::String(number.to_string());
                visitor.visit_newtype_struct(Cursor { value: &text, ..self })
            }
            _ => {
                let (link, at) = (self.link, self.node.at);
                visitor.visit_newtype_struct(self).map_err(|error| error.at_link(link, at))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DocumentError> {
        let (link, at) = (self.link, self.node.at);
        let result = match self.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Object(map) if map.len() == 1 => {
                let pairs = map.iter().map(|(key, value)| (key.as_str(), Plain(value)));
                visitor.visit_enum(de::value::MapAccessDeserializer::new(MapDeserializer::new(pairs)))
            }
            _ => Err(de::Error::custom("expected a name")),
        };
        result.map_err(|error: DocumentError| error.at_link(link, at))
    }

    /// What serde ignores is a field that its type does not have.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocumentError> {
        let mut unknown = self.unknown.borrow_mut();
        if unknown.len() < MAX_UNKNOWN
            && let Step::Key(name) = self.link.step
        {
            let hint = nearest(name, self.siblings.iter().copied());
            unknown.push(UnknownField { path: self.link.path(), location: self.at, hint });
        }
        visitor.visit_unit()
    }

    zero_if_null! {
        deserialize_bool visit_bool false,
        deserialize_i32 visit_i32 0,
        deserialize_i64 visit_i64 0,
        deserialize_str visit_str "",
        deserialize_string visit_str "",
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier
    }
}

/// A value inside of an enum's data, which no Kubernetes type has: positions end at the enum.
struct Plain<'a>(&'a Value);

impl<'de> IntoDeserializer<'de, DocumentError> for Plain<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Plain<'_> {
    type Error = DocumentError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocumentError> {
        let error = |error: serde_json::Error| de::Error::custom(error);
        self.0.clone().deserialize_any(visitor).map_err(error)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Items<'a> {
    rest: std::iter::Enumerate<std::iter::Zip<slice::Iter<'a, Value>, slice::Iter<'a, Node>>>,
    parent: Cursor<'a>,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = DocumentError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DocumentError> {
        let Some((index, (value, node))) = self.rest.next() else { return Ok(None) };
        let link = self.parent.link.then(Step::Index(index));
        let unknown = self.parent.unknown;
        seed.deserialize(Cursor { value, node, at: node.at, link, siblings: &[], unknown }).map(Some)
    }
}

struct Fields<'a> {
    map: &'a Map<String, Value>,
    rest: slice::Iter<'a, Entry>,
    pending: Option<&'a Entry>,
    fields: &'static [&'static str],
    parent: Cursor<'a>,
}

impl<'de> de::MapAccess<'de> for Fields<'_> {
    type Error = DocumentError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DocumentError> {
        let (map, fields) = (self.map, self.fields);
        // To Kubernetes a null is a field that is not set, whatever its type.
        let unset =
            |entry: &Entry| map.get(&*entry.key).is_some_and(Value::is_null) && fields.contains(&&*entry.key);
        self.pending = self.rest.find(|entry| !unset(entry));
        let Some(entry) = self.pending else { return Ok(None) };
        let key: StrDeserializer<'_, DocumentError> = entry.key.as_ref().into_deserializer();
        let place =
            |error: DocumentError| error.at_link(self.parent.link.then(Step::Key(&entry.key)), entry.at);
        seed.deserialize(key).map(Some).map_err(place)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DocumentError> {
        let entry = self.pending.take();
        let found = entry.and_then(|entry| Some((entry, self.map.get(&*entry.key)?)));
        let (entry, value) = found.ok_or_else(|| de::Error::custom("a value was read before its key"))?;
        let link = self.parent.link.then(Step::Key(&entry.key));
        let (siblings, unknown) = (self.fields, self.parent.unknown);
        seed.deserialize(Cursor { value, node: &entry.node, at: entry.at, link, siblings, unknown })
    }
}
