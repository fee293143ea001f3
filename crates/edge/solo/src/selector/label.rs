//! Label selectors: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1` (Kubernetes: "Labels and Selectors").

use serde_json::Value;

use crate::object;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// What the labels of an object have to be; all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct LabelSelector(Vec<(String, Test)>);

impl LabelSelector {
    /// Reads a selector; an empty one selects everything.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(format!("unable to parse requirement: empty requirement in {text:?}"));
            }
            let (key, test) = requirement(part)?;
            if !is_key(key) {
                return Err(format!("unable to parse requirement: {key:?} is not a label key"));
            }
            requirements.push((key.to_owned(), test));
        }
        Ok(Self(requirements))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(key, test)| test.holds(object::label(object, key)))
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let as_number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Greater(bound) => as_number().is_some_and(|number| number > *bound),
            Self::Less(bound) => as_number().is_some_and(|number| number < *bound),
        }
    }
}

/// The requirements of a selector: split at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Result<(&str, Test), String> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok((key.trim(), Test::Absent));
    }
    if let Some((head, values)) = part.split_once('(') {
        let values = values
            .strip_suffix(')')
            .ok_or_else(|| format!("unable to parse requirement: found {part:?}, expected ')'"))?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match head.split_whitespace().collect::<Vec<_>>().as_slice() {
            [key, "in"] => Ok((key, Test::In(values))),
            [key, "notin"] => Ok((key, Test::NotIn(values))),
            _ => Err(format!("unable to parse requirement: {part:?}, expected 'in' or 'notin'")),
        };
    }
    for sign in ["!=", "==", "=", ">", "<"] {
        let Some((key, value)) = part.split_once(sign) else { continue };
        let (key, value) = (key.trim(), value.trim());
        let bound =
            || value.parse().map_err(|_| format!("unable to parse requirement: {value:?} is not an integer"));
        let test = match sign {
            "!=" => Test::NotIn(vec![value.to_owned()]),
            ">" => Test::Greater(bound()?),
            "<" => Test::Less(bound()?),
            _ => Test::In(vec![value.to_owned()]),
        };
        return Ok((key, test));
    }
    Ok((part, Test::Exists))
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn requirements() {
        let object =
            json!({"metadata": {"labels": {"app": "web", "x.io/tier": "front", "n": "5", "empty": ""}}});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web, n=5", true),
            ("app=db", false),
            ("app!=db", true),
            ("none!=db", true),
            ("none=db", false),
            ("app", true),
            ("!app", false),
            ("!none,x.io/tier", true),
            ("app in (db, web)", true),
            ("app in (db),n", false),
            ("app notin (db)", true),
            ("none notin (db)", true),
            ("none in (db)", false),
            ("n>4", true),
            ("n<5", false),
            ("app>4", false),
            ("empty=", true),
            ("app in (web),n in (5,6),x.io/tier", true),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap().matches(&object), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector() {
        for selector in ["=a", "a in (b", "a of (b)", ",", "a,,b", "a>b", "a b", "!"] {
            assert!(LabelSelector::parse(selector).is_err(), "{selector}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = LabelSelector::parse(&text);
        }

        /// Whatever the labels, a requirement and its opposite never hold both, nor neither.
        #[test]
        fn opposites(key in "[a-c]", value in "[a-c]", labels in proptest::collection::btree_map("[a-c]", "[a-c]", 0..3)) {
            let object = json!({"metadata": {"labels": labels}});
            let holds = |text: String| LabelSelector::parse(&text).unwrap().matches(&object);
            prop_assert_ne!(holds(format!("{key}={value}")), holds(format!("{key}!={value}")));
            prop_assert_ne!(holds(format!("{key} in ({value},z)")), holds(format!("{key} notin (z,{value})")));
            prop_assert_ne!(holds(key.clone()), holds(format!("!{key}")));
        }
    }
}
