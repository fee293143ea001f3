//! The keys of ConfigMaps and Secrets as files.

use types::corev1::{ConfigMap, KeyToPath, Secret};
use types::objects::{Found, Objects};

use crate::atomic::{Payload, ProjectedFile};
use crate::error::Problem;

/// Which keys of an object are shown, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys<'a> {
    /// The object's name.
    pub(crate) object: &'a str,
    /// The keys and their paths; all keys by their names if there is none.
    pub(crate) items: Option<&'a [KeyToPath]>,
    /// Mode of files whose item has none.
    pub(crate) default_mode: Option<i32>,
    /// Whether the object and each of its keys may be missing.
    pub(crate) optional: bool,
}

/// Adds keys of a ConfigMap to `payload`.
pub(crate) fn add_config_map(
    payload: &mut Payload,
    objects: &Objects,
    keys: Keys<'_>,
) -> Result<(), Problem> {
    let Some(map) = unless_optional(objects.config_map(keys.object), keys.optional)? else {
        return Ok(());
    };
    let missing = |key: &str| Problem::Key {
        what: "configmap references non-existent config key",
        key: key.to_owned(),
    };
    add(payload, keys, &names_of_map(map), |key| value_of_map(map, key), missing)
}

/// Adds keys of a Secret to `payload`.
pub(crate) fn add_secret(payload: &mut Payload, objects: &Objects, keys: Keys<'_>) -> Result<(), Problem> {
    let Some(secret) = unless_optional(objects.secret(keys.object), keys.optional)? else {
        return Ok(());
    };
    let missing =
        |key: &str| Problem::Key { what: "references non-existent secret key", key: key.to_owned() };
    add(payload, keys, &names_of_secret(secret), |key| Some(&*secret.data.as_ref()?.get(key)?.0), missing)
}

fn unless_optional<T>(found: Found<T>, optional: bool) -> Result<Option<T>, Problem> {
    match found {
        Err(error) if optional && error.is_not_found() => Ok(None),
        found => Ok(Some(found?)),
    }
}

fn names_of_map(map: &ConfigMap) -> Vec<&str> {
    let text = map.data.iter().flat_map(|data| data.keys());
    text.chain(map.binary_data.iter().flat_map(|data| data.keys())).map(String::as_str).collect()
}

fn value_of_map<'a>(map: &'a ConfigMap, key: &str) -> Option<&'a [u8]> {
    let text = map.data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
    text.or_else(|| Some(&*map.binary_data.as_ref()?.get(key)?.0))
}

fn names_of_secret(secret: &Secret) -> Vec<&str> {
    secret.data.iter().flat_map(|data| data.keys()).map(String::as_str).collect()
}

fn add<'a>(
    payload: &mut Payload,
    keys: Keys<'_>,
    names: &[&str],
    value: impl Fn(&str) -> Option<&'a [u8]>,
    missing: impl Fn(&str) -> Problem,
) -> Result<(), Problem> {
    let items = keys.items.unwrap_or_default();
    let listed = items.iter().map(|item| (item.key.as_str(), item.path.as_str(), item.mode));
    let all = names.iter().filter(|_| items.is_empty()).map(|name| (*name, *name, None));
    for (key, path, mode) in listed.chain(all) {
        match value(key) {
            Some(data) => payload.insert(path, ProjectedFile::new(data, mode.or(keys.default_mode)))?,
            None if keys.optional => {}
            None => return Err(missing(key)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use types::objects::ObjectError;

    use super::*;

    fn objects() -> Objects {
        let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "/w=="}});
        let secret = json!({"data": {"k": "c2VjcmV0"}});
        let away = || Err(ObjectError::Unavailable { message: "away".to_owned() });
        Objects {
            config_maps: [
                ("m".to_owned(), Ok(Arc::new(serde_json::from_value(map).unwrap()))),
                ("gone".to_owned(), Err(ObjectError::no_config_map("gone"))),
                ("away".to_owned(), away()),
            ]
            .into(),
            secrets: [("s".to_owned(), Ok(Arc::new(serde_json::from_value(secret).unwrap())))].into(),
            ..Objects::default()
        }
    }

    /// The files as `path=text:mode`.
    fn files(kind: &str, object: &str, items: Value, optional: bool) -> Result<Vec<String>, String> {
        let items: Option<Vec<KeyToPath>> = serde_json::from_value(items).unwrap();
        let keys = Keys { object, items: items.as_deref(), default_mode: Some(0o640), optional };
        let mut payload = Payload::default();
        let added = match kind {
            "map" => add_config_map(&mut payload, &objects(), keys),
            _ => add_secret(&mut payload, &objects(), keys),
        };
        added.map_err(|problem| problem.to_string())?;
        let shown = |(path, file): (&std::path::Path, &ProjectedFile)| {
            format!("{}={}:{:o}", path.display(), file.data.escape_ascii(), file.mode)
        };
        Ok(payload.iter().map(shown).collect())
    }

    #[test]
    fn all_keys_or_those_that_are_listed() {
        let all = files("map", "m", json!(null), false).unwrap();
        assert_eq!(all, ["a=1:640", "b=2:640", "c=\\xff:640"]);
        let items = json!([{"key": "c", "path": "bin/c", "mode": 0o400}, {"key": "a", "path": "first"}]);
        assert_eq!(files("map", "m", items, false).unwrap(), ["bin/c=\\xff:400", "first=1:640"]);
        assert_eq!(files("map", "m", json!([]), false).unwrap().len(), 3, "an empty list is none");
        assert_eq!(files("secret", "s", json!(null), false).unwrap(), ["k=secret:640"]);
    }

    #[test]
    fn what_is_missing() {
        let items = || json!([{"key": "x", "path": "x"}, {"key": "a", "path": "a"}]);
        assert_eq!(files("map", "m", items(), true).unwrap(), ["a=1:640"]);
        assert_eq!(files("map", "gone", items(), true).unwrap(), Vec::<String>::new());
        for (kind, object, optional, message) in [
            ("map", "m", false, "configmap references non-existent config key: x"),
            ("map", "gone", false, "configmap \"gone\" not found"),
            ("map", "away", true, "away"),
            ("secret", "s", false, "references non-existent secret key: x"),
            ("secret", "other", false, "secret \"other\" not found"),
        ] {
            assert_eq!(files(kind, object, items(), optional).unwrap_err(), message);
        }
    }
}
