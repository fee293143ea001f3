//! The downward API: what a pod may say about itself to its containers (Kubernetes: "Downward API").

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::corev1::{Container, ResourceFieldSelector};
use crate::resources::{self, Amounts, Half};
use crate::{Pod, Quantity, pod};

/// Why a field of the downward API has no value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DownwardError {
    /// The path names no field that is offered.
    #[error(
        "the field path {0:?} is not offered: use metadata.name, metadata.namespace, metadata.uid, metadata.labels, metadata.annotations, or one key as in metadata.labels['app']"
    )]
    Field(String),
    /// The resource is not offered.
    #[error(
        "the resource {0:?} is not offered: use limits. or requests. followed by cpu, memory, ephemeral-storage or hugepages-<size>"
    )]
    Resource(String),
    /// No such container.
    #[error("the pod has no container named {0:?}")]
    Container(String),
    /// The divisor is no quantity.
    #[error("the divisor is not usable")]
    Divisor(#[from] crate::quantity::QuantityError),
}

/// The value of a `fieldRef` into `metadata`: those that volumes may use, and environment variables too (all but the
/// whole maps). Labels and annotations that are not set are empty.
///
/// # Errors
/// If `path` is none of them.
pub fn metadata_field(pod: &Pod, path: &str) -> Result<String, DownwardError> {
    let meta = &pod.metadata;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    match path {
        "metadata.name" => Ok(text(&meta.name)),
        "metadata.namespace" => Ok(text(&meta.namespace)),
        "metadata.uid" => Ok(text(&meta.uid)),
        "metadata.labels" => Ok(format_map(meta.labels.as_ref())),
        "metadata.annotations" => Ok(format_map(meta.annotations.as_ref())),
        _ => {
            let (map, key) = subscript(path).ok_or_else(|| DownwardError::Field(path.to_owned()))?;
            let map = match map {
                "metadata.labels" => meta.labels.as_ref(),
                "metadata.annotations" => meta.annotations.as_ref(),
                _ => return Err(DownwardError::Field(path.to_owned())),
            };
            Ok(map.and_then(|map| map.get(key)).cloned().unwrap_or_default())
        }
    }
}

/// Splits `metadata.labels['app']` into `metadata.labels` and `app`.
#[must_use]
pub fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(map, key)| !map.is_empty() && !key.is_empty())
}

/// A map as the file of a volume shows it: a line `key="value"` per entry, sorted, values quoted as Go quotes them.
#[must_use]
pub fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    lines.join("\n")
}

/// `text` as a Go string literal.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..0x80 => write!(out, "\\x{code:02x}"),
                    0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

/// Letters, marks, numbers, punctuation, symbols and the space. The standard library knows, but tells only by what it
/// escapes; a combining mark it escapes only where a text begins with it.
fn is_printable(c: char) -> bool {
    c == '\'' || ['a', c].iter().collect::<String>().escape_debug().nth(1) == Some(c)
}

/// The value of a `resourceFieldRef`, for the container it names, or for `own` where it names none. In units of its
/// divisor, rounded up. A limit that is not set is the pod's limit, then what the node can give (`allocatable`).
///
/// # Errors
/// If the container, the resource or the divisor is none.
pub fn resource_field(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    allocatable: &Amounts,
) -> Result<String, DownwardError> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let found = named.and_then(|name| pod::container(pod, name)).map(|(_, container)| container);
    let container = match (named, own) {
        (Some(name), _) => found.as_deref().ok_or_else(|| DownwardError::Container(name.to_owned()))?,
        (None, Some(own)) => own,
        (None, None) => return Err(DownwardError::Container(String::new())),
    };
    let unknown = || DownwardError::Resource(selector.resource.clone());
    let (half, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let is_basic = matches!(name, resources::CPU | resources::MEMORY | resources::EPHEMERAL_STORAGE);
    let is_hugepages = name.strip_prefix(resources::HUGEPAGES_PREFIX).is_some_and(|size| !size.is_empty());
    if !is_basic && !is_hugepages {
        return Err(unknown());
    }
    let set = |quantity: Option<Quantity>| quantity.filter(|quantity| !quantity.is_zero());
    let amount = match half {
        "requests" => resources::request(container, name),
        "limits" => set(resources::limit(container, name))
            .or_else(|| set(resources::pod_level(pod, Half::Limits, name)))
            .or_else(|| allocatable.get(name).copied().filter(|_| is_basic)),
        _ => return Err(unknown()),
    };
    let divisor = selector.divisor.as_ref().map_or(Ok(Quantity::ZERO), Quantity::of)?;
    Ok(amount.unwrap_or(Quantity::ZERO).divided_by(divisor).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u",
                "labels": {"b": "2", "a": "1"},
                "annotations": {"k/x": "line\n\"quoted\" 'single' é\u{301} \u{a0}\u{1}\u{e000}\u{10ffff}\\"},
            },
            "spec": {
                "resources": {"limits": {"memory": "1Gi"}},
                "containers": [{"name": "c", "resources": {
                    "requests": {"cpu": "1500m", "hugepages-2Mi": "4Mi"}, "limits": {"cpu": "2"}}}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn metadata() {
        let pod = pod();
        for (path, value) in [
            ("metadata.name", "p"),
            ("metadata.namespace", "n"),
            ("metadata.uid", "u"),
            ("metadata.labels['a']", "1"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "a=\"1\"\nb=\"2\""),
            (
                "metadata.annotations",
                "k/x=\"line\\n\\\"quoted\\\" 'single' é\u{301} \\u00a0\\x01\\ue000\\U0010ffff\\\\\"",
            ),
        ] {
            assert_eq!(metadata_field(&pod, path).as_deref(), Ok(value), "{path}");
        }
        for path in
            ["", "metadata", "metadata.labels['']", "metadata.labels[a]", "spec.nodeName", "status['a']"]
        {
            assert_eq!(metadata_field(&pod, path), Err(DownwardError::Field(path.into())));
        }
    }

    #[test]
    fn resources_of_containers() {
        let pod = pod();
        let allocatable = Amounts::from([("ephemeral-storage".to_owned(), Quantity::bytes(1000))]);
        let get = |container: &str, resource: &str, divisor: &str| {
            let selector: ResourceFieldSelector = serde_json::from_value(
                serde_json::json!({"containerName": container, "resource": resource, "divisor": divisor}),
            )
            .unwrap();
            resource_field(&pod, None, &selector, &allocatable)
        };
        for (resource, divisor, value) in [
            ("requests.cpu", "1", "2"),
            ("requests.cpu", "1m", "1500"),
            ("requests.memory", "0", "0"),
            ("requests.hugepages-2Mi", "1Mi", "4"),
            ("limits.cpu", "1", "2"),
            ("limits.memory", "1Mi", "1024"),
            ("limits.ephemeral-storage", "1Ki", "1"),
            ("limits.hugepages-2Mi", "1", "0"),
        ] {
            assert_eq!(get("c", resource, divisor).as_deref(), Ok(value), "{resource} by {divisor}");
        }
        assert_eq!(get("d", "limits.cpu", "1"), Err(DownwardError::Container("d".into())));
        for resource in ["cpu", "limits.gpu", "limits.hugepages-", "other.cpu"] {
            assert_eq!(get("c", resource, "1"), Err(DownwardError::Resource(resource.into())));
        }
        assert!(matches!(get("c", "limits.cpu", "x"), Err(DownwardError::Divisor(_))));
        let own = &pod::regular_containers(&pod)[0];
        let unnamed =
            ResourceFieldSelector { resource: "limits.cpu".into(), ..ResourceFieldSelector::default() };
        assert_eq!(resource_field(&pod, Some(own), &unnamed, &allocatable).as_deref(), Ok("2"));
        assert!(resource_field(&pod, None, &unnamed, &allocatable).is_err());
    }
}
