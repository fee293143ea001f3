//! What a plain YAML word means to Kubernetes, whose tools read YAML 1.1.

use serde_json::{Number, Value};

/// The value of a plain (unquoted) scalar, or `None` if it is a number that JSON cannot hold (`.inf`, `.nan`).
pub(crate) fn plain(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => return None,
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    })
}

/// The text of a key: numbers and booleans are keys too, and become text.
pub(crate) fn key(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(text: &str) -> Option<Value> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let plain: String = if first == b'.' { text.to_owned() } else { text.replace('_', "") };
    if first != b'.'
        && let Some(integer) = integer(&plain)
    {
        return Some(Value::Number(integer));
    }
    if !is_float(&plain) {
        return None;
    }
    from_f64(plain.parse().ok()?)
}

/// Go's `ParseInt` with base 0: `0x`, `0o`, `0b`, and `0` alone for octal.
fn integer(text: &str) -> Option<Number> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match prefix.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some(_) if digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let signed = format!("{sign}{digits}");
    i64::from_str_radix(&signed, radix)
        .map(Number::from)
        .or_else(|_| u64::from_str_radix(&signed, radix).map(Number::from))
        .ok()
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        })
}

/// A whole float is written without a fraction on its way through JSON, so `1e3` fits where an integer is wanted.
fn from_f64(float: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    if float.fract() == 0.0 && float.abs() < 9e15 {
        return Some(Value::Number((float as i64).into()));
    }
    Number::from_f64(float).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_and_numbers() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("n", json!(false)),
            ("truE", json!("truE")),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("-0b101", json!(-5)),
            ("08", json!(8)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("5.", json!(5)),
            ("+7", json!(7)),
            ("-7", json!(-7)),
            ("0", json!(0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.2.3", json!("1.2.3")),
            ("100m", json!("100m")),
            ("-", json!("-")),
            (".", json!(".")),
            ("1Gi", json!("1Gi")),
            ("10.0.0.10", json!("10.0.0.10")),
            ("2001-12-14", json!("2001-12-14")),
            ("é", json!("é")),
            ("0é", json!("0é")),
        ] {
            assert_eq!(plain(text), Some(expected), "{text}");
        }
        assert_eq!(plain(".inf"), None);
    }
}
