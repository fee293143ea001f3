//! From bytes to values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde_json::{Map, Value};

use super::ProtobufError;
use super::messages::{Field, Kind, Shape, find};
use crate::object;

/// No object of the API is so deep.
const MAX_DEPTH: usize = 64;

/// A value as it lies on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Reads the fields of `message`; those that it does not have are skipped.
pub(super) fn message(bytes: &[u8], message: &str, depth: usize) -> Result<Value, ProtobufError> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::TooDeep);
    }
    let fields = find(message).unwrap_or_default();
    let mut values = Map::new();
    let mut rest = bytes;
    while let Some((number, wire)) = next(&mut rest)? {
        let Some(field) = fields.iter().find(|field| field.number == number) else { continue };
        // A message that is nothing but a list stands for it.
        if field.name.is_empty() && field.shape == Shape::List {
            return list(bytes, field, depth);
        }
        put(&mut values, field, wire, depth)?;
    }
    match fields {
        [only] if only.name.is_empty() && only.shape == Shape::List => Ok(Value::Array(Vec::new())),
        _ => Ok(Value::Object(values)),
    }
}

/// The bytes of the field `number`; none is as good as empty.
pub(super) fn raw(bytes: &[u8], number: u32) -> Result<&[u8], ProtobufError> {
    let mut rest = bytes;
    let mut found: &[u8] = &[];
    while let Some((at, wire)) = next(&mut rest)? {
        if let Wire::Bytes(value) = wire
            && at == number
        {
            found = value;
        }
    }
    Ok(found)
}

/// The next field's number and value.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, Wire<'a>)>, ProtobufError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (number, wire_type) = decode_key(rest)?;
    let length = match wire_type {
        WireType::Varint => return Ok(Some((number, Wire::Number(decode_varint(rest)?)))),
        WireType::LengthDelimited => usize::try_from(decode_varint(rest)?).unwrap_or(usize::MAX),
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::StartGroup | WireType::EndGroup => return Err(ProtobufError::Broken),
    };
    let (taken, left) = rest.split_at_checked(length).ok_or(ProtobufError::Broken)?;
    *rest = left;
    Ok(Some((number, Wire::Bytes(taken))))
}

fn list(bytes: &[u8], field: &Field, depth: usize) -> Result<Value, ProtobufError> {
    let mut items = Vec::new();
    let mut rest = bytes;
    while let Some((number, wire)) = next(&mut rest)? {
        if number == field.number {
            items.push(value(field, wire, depth)?);
        }
    }
    Ok(Value::Array(items))
}

fn put(
    values: &mut Map<String, Value>,
    field: &Field,
    wire: Wire<'_>,
    depth: usize,
) -> Result<(), ProtobufError> {
    match field.shape {
        Shape::One => {
            let value = value(field, wire, depth)?;
            if field.name.is_empty() {
                if let Value::Object(parts) = value {
                    values.extend(parts);
                }
            } else if !value.is_null() && (field.keeps_zero || !is_zero(&value)) {
                values.insert(field.name.to_owned(), value);
            }
        }
        Shape::List => {
            let item = value(field, wire, depth)?;
            if let Value::Array(items) = values.entry(field.name).or_insert_with(|| Value::Array(Vec::new()))
            {
                items.push(item);
            }
        }
        Shape::Map => {
            let Wire::Bytes(entry) = wire else { return Err(wrong(field)) };
            let (mut key, mut held) = (String::new(), Wire::Bytes(&[]));
            let mut rest = entry;
            while let Some((number, wire)) = next(&mut rest)? {
                match (number, wire) {
                    (1, Wire::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
                    (2, wire) => held = wire,
                    _ => {}
                }
            }
            let value = value(field, held, depth)?;
            object::map_in(values, field.name).insert(key, value);
        }
    }
    Ok(())
}

fn wrong(field: &Field) -> ProtobufError {
    ProtobufError::Type(field.name.to_owned())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(flag) => !flag,
        _ => false,
    }
}

/// A value; null for a time that is none.
fn value(field: &Field, wire: Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match (field.kind, wire) {
        (Kind::Int, Wire::Number(number)) => number.cast_signed().into(),
        (Kind::Flag, Wire::Number(number)) => (number != 0).into(),
        (Kind::Text, Wire::Bytes(text)) => String::from_utf8_lossy(text).into_owned().into(),
        (Kind::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Kind::Time, Wire::Bytes(bytes)) => {
            time(bytes)?.map_or(Value::Null, |at| crate::time::seconds(at).into())
        }
        (Kind::MicroTime, Wire::Bytes(bytes)) => {
            time(bytes)?.map_or(Value::Null, |at| at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into())
        }
        (Kind::Quantity, Wire::Bytes(bytes)) => String::from_utf8_lossy(raw(bytes, 1)?).into_owned().into(),
        (Kind::Either, Wire::Bytes(bytes)) => either(bytes)?,
        (Kind::Message(of), Wire::Bytes(bytes)) => message(bytes, of, depth + 1)?,
        _ => return Err(wrong(field)),
    })
}

/// The numbers of a small message, by field.
fn numbers(bytes: &[u8]) -> Result<[i64; 4], ProtobufError> {
    let mut numbers = [0; 4];
    let mut rest = bytes;
    while let Some((number, wire)) = next(&mut rest)? {
        if let (Some(slot), Wire::Number(value)) = (numbers.get_mut(number as usize), wire) {
            *slot = value.cast_signed();
        }
    }
    Ok(numbers)
}

/// Seconds and nanoseconds since the epoch; none for a time that was never set.
fn time(bytes: &[u8]) -> Result<Option<Timestamp>, ProtobufError> {
    let [_, seconds, nanos, _] = numbers(bytes)?;
    if seconds == 0 && nanos == 0 {
        return Ok(None);
    }
    Ok(Timestamp::new(seconds, i32::try_from(nanos).unwrap_or(0)).ok())
}

/// Which it is, the number, the text.
fn either(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let [_, is_text, number, _] = numbers(bytes)?;
    if is_text != 0 {
        return Ok(String::from_utf8_lossy(raw(bytes, 3)?).into_owned().into());
    }
    Ok(number.into())
}
