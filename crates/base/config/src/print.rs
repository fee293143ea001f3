//! `berth config print`: the effective configuration, and where each value came from.

use document::Path;
use serde_json::{Map, Value, json};

use crate::flags::{FLAGS, Flag, Target};
use crate::kubelet::{API_VERSION, KIND};
use crate::layer::{Provenance, get};
use crate::{KubeletConfiguration, Loaded};

/// The configuration as an API object, as `/configz` and a configuration file have it.
#[must_use]
pub fn object(config: &KubeletConfiguration) -> Value {
    let mut object = Map::new();
    object.insert("kind".into(), json!(KIND));
    object.insert("apiVersion".into(), json!(API_VERSION));
    if let Ok(Value::Object(fields)) = serde_json::to_value(config) {
        object.extend(fields);
    }
    if let Some(Value::Object(headers)) = object.get_mut("staticPodURLHeader") {
        for values in headers.values_mut().filter_map(Value::as_array_mut) {
            values.fill(json!("<masked>"));
        }
    }
    Value::Object(object)
}

/// All flags by name, with their effective values as text; what is secret is masked, as in [`object`].
#[must_use]
pub fn flags(loaded: &Loaded) -> Vec<(String, String)> {
    let fields = object(&loaded.config);
    let own = serde_json::to_value(&loaded.flags).unwrap_or_default();
    let value = |flag: &Flag| match flag.target {
        Target::Field(path) => get(&fields, path).map(text),
        Target::Own => own.get(flag.name).map(text),
        Target::Nowhere => None,
    };
    let mut flags: Vec<_> =
        FLAGS.iter().filter_map(|flag| Some((flag.name.to_owned(), value(flag)?))).collect();
    flags.sort();
    flags
}

/// A value as a flag has it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// YAML with the origin of each value in a comment behind it. Read as a configuration file, it says the same.
#[must_use]
pub fn yaml(loaded: &Loaded) -> String {
    let Value::Object(mut fields) = object(&loaded.config) else { return String::new() };
    let mut text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n");
    fields.retain(|key, _| key != "apiVersion" && key != "kind");
    let mut writer = Writer { text: String::new(), provenance: &loaded.provenance };
    writer.mapping(&fields, 0, &Path::default(), false);
    text.push_str(&writer.text);
    text
}

/// JSON: the object under `config`, and the origin of each field that somebody set under `origins`.
#[must_use]
pub fn json(loaded: &Loaded) -> String {
    let origins: Map<String, Value> =
        loaded.provenance.iter().map(|(path, origin)| (path.to_owned(), json!(origin.to_string()))).collect();
    let whole = json!({"config": object(&loaded.config), "origins": origins});
    format!("{whole:#}\n")
}

struct Writer<'a> {
    text: String,
    provenance: &'a Provenance,
}

impl Writer<'_> {
    /// The fields of a mapping; `begun` if the first one continues a line.
    fn mapping(&mut self, fields: &Map<String, Value>, depth: usize, path: &Path, begun: bool) {
        for (position, (key, value)) in fields.iter().enumerate() {
            if position > 0 || !begun {
                self.indent(depth);
            }
            let path = path.key(key);
            self.text.push_str(&scalar(key));
            self.text.push(':');
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    self.text.push('\n');
                    self.mapping(inner, depth + 1, &path, false);
                }
                Value::Array(items) if !items.is_empty() => {
                    self.comment(&path);
                    for (index, item) in items.iter().enumerate() {
                        self.indent(depth);
                        self.text.push_str("- ");
                        match item {
                            Value::Object(inner) if !inner.is_empty() => {
                                self.mapping(inner, depth + 1, &path.index(index), true);
                            }
                            _ => {
                                self.text.push_str(&leaf(item));
                                self.text.push('\n');
                            }
                        }
                    }
                }
                _ => {
                    self.text.push(' ');
                    self.text.push_str(&leaf(value));
                    self.comment(&path);
                }
            }
        }
    }

    fn indent(&mut self, depth: usize) {
        self.text.push_str(&"  ".repeat(depth));
    }

    /// Lists have one origin: what is in them has no comment of its own.
    fn comment(&mut self, path: &Path) {
        let path = path.to_string();
        if !path.contains("].") {
            self.text.push_str(&format!(" # {}", one_line(&self.provenance.origin(&path).to_string())));
        }
        self.text.push('\n');
    }
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Text plain where every reader takes it for text, else in quotes (JSON's are YAML's too).
fn scalar(text: &str) -> String {
    const WORDS: [&str; 12] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"];
    let first = text.chars().next();
    let plain = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:%".contains(c))
        && !text.ends_with(':')
        && (text == "none" || !WORDS.contains(&text.to_ascii_lowercase().as_str()));
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests;
