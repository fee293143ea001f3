//! The table of messages, read once from its text.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Bytes,
    Int,
    Flag,
    Time,
    MicroTime,
    Quantity,
    /// A number or a text.
    Either,
    Message(&'static str),
}

/// How many values a field has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    One,
    List,
    Map,
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Empty if the value is part of the message around it.
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    /// Zero is a value of its own.
    pub(super) keeps_zero: bool,
}

static MESSAGES: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    include_str!("messages.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.filter_map(field).collect()))
        })
        .collect()
});

/// The fields of a message.
pub(super) fn find(message: &str) -> Option<&'static [Field]> {
    MESSAGES.get(message).map(Vec::as_slice)
}

fn field(text: &'static str) -> Option<Field> {
    let (name, rest) = text.split_once('=')?;
    let (number, kind) = rest.split_once(':')?;
    let (shape, kind) = match kind.as_bytes().first()? {
        b'*' => (Shape::List, &kind[1..]),
        b'%' => (Shape::Map, &kind[1..]),
        _ => (Shape::One, kind),
    };
    let (kind, keeps_zero) = match kind.strip_suffix('?') {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let kind = match kind {
        "text" => Kind::Text,
        "bytes" => Kind::Bytes,
        "int" => Kind::Int,
        "flag" => Kind::Flag,
        "time" => Kind::Time,
        "micro" => Kind::MicroTime,
        "quantity" => Kind::Quantity,
        "either" => Kind::Either,
        message => Kind::Message(message),
    };
    Some(Field { name, number: number.parse().ok()?, kind, shape, keeps_zero })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_a_field_and_every_message_is_there() {
        let words: usize = include_str!("messages.txt")
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| line.split_whitespace().count() - 1)
            .sum();
        assert_eq!(MESSAGES.values().map(Vec::len).sum::<usize>(), words);
        for (message, fields) in MESSAGES.iter() {
            let mut numbers: Vec<u32> = fields.iter().map(|field| field.number).collect();
            numbers.dedup();
            assert_eq!(numbers.len(), fields.len(), "{message} has a number twice");
            for field in fields {
                if let Kind::Message(of) = field.kind {
                    assert!(find(of).is_some(), "{message}.{} is a {of}", field.name);
                }
            }
        }
    }
}
