//! The text of `--help`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::KubeletConfiguration;
use crate::flags::{FLAGS, Flag, Flags, Target};

/// All flags with their defaults, one per line.
#[must_use]
pub fn help() -> String {
    let fields = serde_json::to_value(KubeletConfiguration::default()).unwrap_or_default();
    let own = serde_json::to_value(Flags::default()).unwrap_or_default();
    let mut text = String::new();
    for flag in FLAGS {
        let _ = writeln!(text, "{}", line(flag, &fields, &own));
    }
    text.push_str("  -h, --help\n      --version [raw]\n");
    text
}

fn line(flag: &Flag, fields: &Value, own: &Value) -> String {
    let dashes = if flag.name == "v" { "-v, --" } else { "    --" };
    let default = match flag.target {
        Target::Field(path) => path.split('.').try_fold(fields, |value, key| value.get(key)),
        Target::Own => own.get(flag.name),
        Target::Nowhere => None,
    };
    let default = match default {
        Some(Value::String(text)) if !text.is_empty() => format!(" (default {text})"),
        Some(value @ (Value::Number(_) | Value::Bool(true))) => format!(" (default {value})"),
        _ => String::new(),
    };
    let what = match flag.target {
        Target::Field(path) => format!("Sets the field {path}"),
        Target::Own | Target::Nowhere => flag.help.to_owned(),
    };
    let deprecated = if flag.deprecated.is_some() { " [deprecated]" } else { "" };
    let head = format!("  {dashes}{} {}", flag.name, flag.kind.placeholder());
    format!("{head:<60} {what}{default}{deprecated}")
}
