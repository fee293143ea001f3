//! What a flag's text means.

use serde_json::{Map, Value, json};

use crate::duration::Duration;

/// How a flag's text is read, and what becomes of it when the flag is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` if no value is given.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A whole number that is not negative.
    Level,
    /// `1m30s`.
    Duration,
    /// Any text.
    Text,
    /// `a,b`; repeats add.
    List,
    /// `a=b,c=d`; repeats add.
    Map,
    /// `a<b,c<d`; repeats add.
    Thresholds,
    /// `a=true,b=false`; repeats add.
    Bools,
    /// `a:b,a:c`, as many values per name as wanted; repeats add.
    Headers,
    /// `key=value:Effect,key:Effect`; repeats add.
    Taints,
    /// `0:memory=1Gi,hugepages-1Gi=2Gi;1:memory=1Gi`; repeats add.
    ReservedMemory,
    /// `pattern=2,other=3`; repeats add.
    Verbosities,
}

impl Kind {
    /// The value of `text`; `before` is that of the same flag further left.
    ///
    /// # Errors
    /// Why `text` is no such value.
    pub(crate) fn read(self, text: &str, before: Option<Value>) -> Result<Value, String> {
        Ok(match self {
            Self::Bool => Value::Bool(boolean(text)?),
            Self::Int32 => json!(i32::try_from(integer(text)?).map_err(|_| range(text))?),
            Self::Int64 => json!(integer(text)?),
            Self::Level => json!(level(text)?),
            Self::Duration => {
                json!(text.parse::<Duration>().map_err(|error| error.to_string())?.to_string())
            }
            Self::Text => json!(text),
            Self::List => add(before, items(text).map(|item| json!(item))),
            Self::Map => pairs(text, '=', before, |value| Ok(json!(value)))?,
            Self::Thresholds => pairs(text, '<', before, |value| Ok(json!(value)))?,
            Self::Bools => pairs(text, '=', before, |value| boolean(value).map(Value::Bool))?,
            Self::Headers => headers(text, before)?,
            Self::Taints => add(before, items(text).map(taint).collect::<Result<Vec<_>, _>>()?),
            Self::ReservedMemory => {
                add(before, text.split(';').map(reserved).collect::<Result<Vec<_>, _>>()?)
            }
            Self::Verbosities => add(before, items(text).map(verbosity).collect::<Result<Vec<_>, _>>()?),
        })
    }

    /// What the help calls a value; empty for a flag that needs none.
    #[must_use]
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Bool => "",
            Self::Int32 | Self::Int64 | Self::Level => "int",
            Self::Duration => "duration",
            Self::Text => "string",
            Self::List => "strings",
            Self::Map => "key=value,...",
            Self::Thresholds => "signal<value,...",
            Self::Bools => "key=true|false,...",
            Self::Headers => "key:value,...",
            Self::Taints => "key=value:effect,...",
            Self::ReservedMemory => "node:type=quantity,...",
            Self::Verbosities => "pattern=N,...",
        }
    }
}

/// Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Go's `strconv.ParseInt` with base 0.
fn integer(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some(_) if digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(format!("{text:?} is not a whole number"));
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).map_err(|_| range(text))
}

fn level(text: &str) -> Result<u32, String> {
    u32::try_from(integer(text)?).map_err(|_| range(text))
}

fn range(text: &str) -> String {
    format!("{text:?} is not a whole number of that size")
}

/// The parts between commas, trimmed; empty ones do not count.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn add(before: Option<Value>, values: impl IntoIterator<Item = Value>) -> Value {
    let mut all = match before {
        Some(Value::Array(all)) => all,
        _ => Vec::new(),
    };
    all.extend(values);
    Value::Array(all)
}

fn map_of(before: Option<Value>) -> Map<String, Value> {
    match before {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn pairs(
    text: &str,
    separator: char,
    before: Option<Value>,
    read: impl Fn(&str) -> Result<Value, String>,
) -> Result<Value, String> {
    let mut map = map_of(before);
    for item in items(text) {
        let (key, value) = split(item, separator)?;
        map.insert(key.to_owned(), read(value)?);
    }
    Ok(Value::Object(map))
}

fn split(item: &str, separator: char) -> Result<(&str, &str), String> {
    let (key, value) =
        item.split_once(separator).ok_or_else(|| format!("{item:?} has no {separator:?} in it"))?;
    Ok((key.trim(), value.trim()))
}

fn headers(text: &str, before: Option<Value>) -> Result<Value, String> {
    let mut map = map_of(before);
    for item in items(text) {
        let (key, value) = split(item, ':')?;
        if let Value::Array(values) = map.entry(key).or_insert_with(|| json!([])) {
            values.push(json!(value));
        }
    }
    Ok(Value::Object(map))
}

fn taint(item: &str) -> Result<Value, String> {
    let (key, effect) = split(item, ':')?;
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    Ok(json!({"key": key, "value": value, "effect": effect}))
}

fn reserved(item: &str) -> Result<Value, String> {
    let (node, limits) = split(item, ':')?;
    let limits = pairs(limits, '=', None, |value| Ok(json!(value)))?;
    let node = i32::try_from(integer(node)?).map_err(|_| range(node))?;
    Ok(json!({"numaNode": node, "limits": limits}))
}

fn verbosity(item: &str) -> Result<Value, String> {
    let (pattern, text) = split(item, '=')?;
    Ok(json!({"filePattern": pattern, "verbosity": level(text)?}))
}
