//! Layers of settings laid over each other, and where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use document::{Location, Path};
use serde_json::{Map, Value};

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File {
        /// The file.
        file: Arc<std::path::Path>,
        /// The place in it.
        at: Location,
    },
    /// A drop-in file.
    DropIn {
        /// The file.
        file: Arc<std::path::Path>,
        /// The place in it.
        at: Location,
    },
    /// A flag; the name is without dashes.
    Flag(&'static str),
}

/// `default`, `FILE:LINE`, `drop-in FILE:LINE`, `flag --NAME`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, at } => write!(f, "{}:{}", file.display(), at.line),
            Self::DropIn { file, at } => write!(f, "drop-in {}:{}", file.display(), at.line),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

impl Origin {
    /// `FILE:LINE:COLUMN` where there is one: the form that editors jump to.
    #[must_use]
    pub fn exact(&self) -> String {
        match self {
            Self::File { file, at } | Self::DropIn { file, at } => format!("{}:{at}", file.display()),
            _ => self.to_string(),
        }
    }
}

/// Where the values of a configuration came from, by path. Lists have one origin as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Provenance(BTreeMap<String, Origin>);

impl Provenance {
    /// The origin of the field at `path` (`authentication.webhook.enabled`), or of the nearest parent that has one.
    #[must_use]
    pub fn origin(&self, path: &str) -> &Origin {
        let mut path = path;
        loop {
            if let Some(origin) = self.0.get(path) {
                return origin;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return &Origin::Default,
            }
        }
    }

    /// Every field that somebody set, with its origin.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(path, origin)| (path.as_str(), origin))
    }

    /// Whether the field at `path`, or a part of it, was set.
    #[must_use]
    pub fn is_set(&self, path: &str) -> bool {
        self.0.keys().any(|known| within(known, path))
    }

    pub(crate) fn note(&mut self, path: &Path, origin: Origin) {
        self.forget(path);
        self.0.insert(path.to_string(), origin);
    }

    pub(crate) fn forget(&mut self, path: &Path) {
        let path = path.to_string();
        self.0.retain(|known, _| !within(known, &path));
    }
}

/// Whether `path` is `parent` or a part of it.
pub(crate) fn within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Lays `patch` over `target` by RFC 7396: mappings are merged, null removes, anything else replaces.
pub(crate) fn merge(
    target: &mut Value,
    patch: &Value,
    path: &Path,
    provenance: &mut Provenance,
    origin: &dyn Fn(&Path) -> Origin,
) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        provenance.note(path, origin(path));
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, value) in patch {
        let path = path.key(key);
        if value.is_null() {
            fields.remove(key);
            provenance.forget(&path);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value, &path, provenance, origin);
        }
    }
}

/// Puts `value` at the dotted `path`, whatever was there.
pub(crate) fn put(target: &mut Value, path: &str, value: Value) {
    let mut place = target;
    for key in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { return };
        place = fields.entry(key).or_insert(Value::Null);
    }
    *place = value;
}

/// The value at the dotted `path`.
pub(crate) fn get<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

/// The path whose keys are between the dots of `path`.
pub(crate) fn dotted(path: &str) -> Path {
    path.split('.').fold(Path::default(), |path, key| path.key(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rfc_7396() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (json!({"a": "x"}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
        ] {
            let mut value = target.clone();
            let mut provenance = Provenance::default();
            merge(&mut value, &patch, &Path::default(), &mut provenance, &|_| Origin::Flag("x"));
            assert_eq!(value, expected, "{target} {patch}");
        }
    }

    #[test]
    fn origins_follow_the_last_layer() {
        let mut value = json!({});
        let mut provenance = Provenance::default();
        let root = Path::default();
        let lower = json!({"a": {"b": 1, "c": [1]}, "evictionHard": {"memory.available": "1Gi"}});
        merge(&mut value, &lower, &root, &mut provenance, &|_| Origin::Flag("low"));
        merge(&mut value, &json!({"a": {"c": [2]}}), &root, &mut provenance, &|_| Origin::Flag("high"));
        for (path, expected) in [
            ("a.b", Origin::Flag("low")),
            ("a.c", Origin::Flag("high")),
            ("a.c[0]", Origin::Flag("high")),
            ("evictionHard[memory.available]", Origin::Flag("low")),
            ("z", Origin::Default),
        ] {
            assert_eq!(provenance.origin(path), &expected, "{path}");
        }
        assert!(provenance.is_set("evictionHard") && !provenance.is_set("evictionSoft"));
    }
}
