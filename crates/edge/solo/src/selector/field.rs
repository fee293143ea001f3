//! Field selectors: `a=b,c!=d` over the few fields that a resource lets itself be selected by.

use serde_json::Value;

use crate::resource::{Resource, Selectable};

/// The fields that every resource can be selected by.
const COMMON: [Selectable; 2] =
    [("metadata.name", "/metadata/name"), ("metadata.namespace", "/metadata/namespace")];

#[derive(Clone, PartialEq, Eq, Debug)]
struct Requirement {
    pointer: &'static str,
    value: String,
    equal: bool,
}

/// What fields of an object have to be; all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct FieldSelector(Vec<Requirement>);

impl FieldSelector {
    /// Reads a selector; an empty one selects everything.
    pub(crate) fn parse(text: &str, resource: &Resource) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for (field, value, equal) in terms(text)? {
            let pointer = COMMON
                .iter()
                .chain(resource.selectable)
                .find_map(|(name, pointer)| (*name == field).then_some(*pointer))
                .ok_or_else(|| format!("field label not supported: {field}"))?;
            requirements.push(Requirement { pointer, value, equal });
        }
        Ok(Self(requirements))
    }

    /// The one name that the selector allows, if it does.
    pub(crate) fn only_name(text: &str) -> Option<String> {
        let terms = terms(text).ok()?;
        terms
            .into_iter()
            .find_map(|(field, value, equal)| (field == "metadata.name" && equal).then_some(value))
    }

    /// The one value that the selector allows a field, if it does.
    pub(crate) fn only(text: &str, field: &str) -> Option<String> {
        let terms = terms(text).ok()?;
        terms.into_iter().find_map(|(name, value, equal)| (name == field && equal).then_some(value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let found = match object.pointer(requirement.pointer) {
                Some(Value::String(text)) => *text == requirement.value,
                None | Some(Value::Null) => requirement.value.is_empty() || requirement.value == "false",
                Some(Value::Bool(flag)) => requirement.value.parse() == Ok(*flag),
                Some(_) => false,
            };
            found == requirement.equal
        })
    }
}

/// `field`, `value`, and whether they have to be equal. A backslash takes a comma, an equals sign or itself literally.
fn terms(text: &str) -> Result<Vec<(String, String, bool)>, String> {
    let mut terms = Vec::new();
    for term in split(text) {
        if term.is_empty() {
            continue;
        }
        let at =
            term.find('=').ok_or_else(|| format!("invalid selector: {text:?}; can't understand {term:?}"))?;
        let (field, value) = (&term[..at], &term[at + 1..]);
        let (field, equal) = match field.strip_suffix('!') {
            Some(field) => (field, false),
            None => (field, true),
        };
        let value = value.strip_prefix('=').filter(|_| equal).unwrap_or(value);
        terms.push((field.trim().to_owned(), unescape(value)?, equal));
    }
    Ok(terms)
}

fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(value: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                _ => return Err(format!("invalid field selector: invalid escape sequence in {value:?}")),
            },
            other => plain.push(other),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::resource;

    fn pods() -> &'static Resource {
        resource::find("", "v1", "pods").unwrap()
    }

    #[test]
    fn fields() {
        let pod = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"nodeName": "m"}, "status": {"phase": "Running"}});
        for (selector, expected) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,metadata.namespace=n", true),
            ("spec.nodeName=m,status.phase!=Failed,status.phase!=Succeeded", true),
            ("status.phase=Failed", false),
            ("status.podIP=", true),
            ("spec.nodeName!=m", false),
        ] {
            assert_eq!(FieldSelector::parse(selector, pods()).unwrap().matches(&pod), expected, "{selector}");
        }
        assert!(FieldSelector::parse("spec.image=a", pods()).is_err());
        assert!(FieldSelector::parse("metadata.name", pods()).is_err());
        assert_eq!(FieldSelector::only_name("metadata.name=a").as_deref(), Some("a"));
        assert_eq!(FieldSelector::only_name("metadata.name!=a"), None);
    }

    #[test]
    fn values_are_unescaped() {
        assert_eq!(
            terms(r"a=b\,c\=d\\,e=f").unwrap(),
            [("a".to_owned(), r"b,c=d\".to_owned(), true), ("e".to_owned(), "f".to_owned(), true)]
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = FieldSelector::parse(&text, pods());
        }
    }
}
