//! What drivers say of the Node object.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use types::corev1::Node;

use super::Known;

/// The annotation of a Node with what each driver calls it, as JSON.
pub const NODE_ID: &str = "csi.volume.kubernetes.io/nodeid";

/// What is to be written to the Node, and of which drivers the cluster is not to hear.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Told {
    /// The strategic merge patch; `None` if the Node is as it should be.
    pub patch: Option<Value>,
    /// Drivers whose topology contradicts the labels of the Node, each with what it says. They are not announced: pods
    /// would be sent here for volumes that cannot be reached.
    pub refused: BTreeMap<String, String>,
}

/// What `node` is to be told of the drivers. A label of the topology stays when its driver goes, as with other kubelets.
#[must_use]
pub fn told(node: &Node, known: &Known) -> Told {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let annotations = node.metadata.annotations.as_ref().unwrap_or(&empty);
    let (mut refused, mut new_labels) = (BTreeMap::new(), Map::new());
    // What nobody can read says nothing.
    let before: BTreeMap<String, String> =
        annotations.get(NODE_ID).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut ids = before.clone();
    ids.retain(|driver, _| !known.gone.contains(driver));
    for (driver, registered) in &known.registered {
        let clash = registered.node.topology.iter().find_map(|(key, value)| {
            let new = new_labels.get(key).and_then(Value::as_str);
            let there = labels.get(key).map(String::as_str).or(new)?;
            (there != value)
                .then(|| format!("driver reported {key:?}:{value:?} but existing label is {key:?}:{there:?}"))
        });
        if let Some(clash) = clash {
            refused.insert(driver.clone(), format!("detected topology value collision: {clash}"));
            ids.remove(driver);
            continue;
        }
        ids.insert(driver.clone(), registered.node.id.clone());
        for (key, value) in &registered.node.topology {
            if !labels.contains_key(key) {
                new_labels.insert(key.clone(), value.as_str().into());
            }
        }
    }
    let mut metadata = Map::new();
    if !new_labels.is_empty() {
        metadata.insert("labels".to_owned(), new_labels.into());
    }
    if ids != before || (ids.is_empty() && annotations.contains_key(NODE_ID)) {
        let text = (!ids.is_empty()).then(|| json!(ids).to_string());
        metadata.insert("annotations".to_owned(), json!({ NODE_ID: text }));
    }
    let patch = (!metadata.is_empty()).then(|| {
        // Another Node that took the name is another node.
        metadata.insert("uid".to_owned(), json!(node.metadata.uid));
        json!({ "metadata": metadata })
    });
    Told { patch, refused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::testing::known;

    fn node(annotation: Option<&str>, zone: Option<&str>) -> Node {
        let mut node = Node::default();
        node.metadata.uid = Some("u".into());
        node.metadata.annotations = annotation.map(|text| [(NODE_ID.to_owned(), text.to_owned())].into());
        node.metadata.labels = zone.map(|zone| [("zone".to_owned(), zone.to_owned())].into());
        node
    }

    #[test]
    fn annotation_and_labels() {
        let a = ("a", "id-a", 0, &[("zone", "z1")][..]);
        let (b, gone) = (("b", "id-b", 0, &[][..]), ("a", "", 0, &[][..]));
        let both = r#"{"a":"id-a","b":"id-b"}"#;
        let wrote = |labels: Value, annotation: Value| {
            let mut metadata = json!({"uid": "u"});
            if !labels.is_null() {
                metadata["labels"] = labels;
            }
            if annotation != "same" {
                metadata["annotations"] = json!({ NODE_ID: annotation });
            }
            Some(json!({ "metadata": metadata }))
        };
        let zone = json!({"zone": "z1"});
        for (annotation, label, drivers, expected) in [
            (None, None, &[a, b][..], wrote(zone.clone(), both.into())),
            (Some(both), Some("z1"), &[a, b], None),
            (Some(both), None, &[a, b], wrote(zone.clone(), "same".into())),
            // Of b nothing is known.
            (Some(r#"{"b":"id-b"}"#), Some("z1"), &[a], wrote(Value::Null, both.into())),
            (Some(both), Some("z1"), &[], None),
            (Some(both), Some("z1"), &[gone], wrote(Value::Null, r#"{"b":"id-b"}"#.into())),
            (Some(r#"{"a":"id-a"}"#), Some("z1"), &[gone], wrote(Value::Null, Value::Null)),
            (None, None, &[gone], None),
            // As another kubelet may spell it, or something else.
            (Some(r#"{ "b": "id-b", "a": "id-a" }"#), Some("z1"), &[a, b], None),
            (Some("{"), None, &[b], wrote(Value::Null, r#"{"b":"id-b"}"#.into())),
            (Some(r#"{"a":"old"}"#), Some("z1"), &[a], wrote(Value::Null, r#"{"a":"id-a"}"#.into())),
        ] {
            let told = told(&node(annotation, label), &known(drivers));
            assert_eq!((told.patch, told.refused.len()), (expected, 0), "{annotation:?} {label:?}");
        }
    }

    #[test]
    fn a_topology_that_contradicts_the_node_is_not_told() {
        let drivers = known(&[("a", "id-a", 0, &[("zone", "z1")]), ("b", "id-b", 0, &[("zone", "z2")])]);
        let told = told(&node(Some(r#"{"a":"id-a"}"#), Some("z2")), &drivers);
        assert_eq!(told.refused.keys().collect::<Vec<_>>(), ["a"]);
        assert!(
            told.refused["a"].contains(r#"driver reported "zone":"z1" but existing label is "zone":"z2""#)
        );
        let metadata = &told.patch.unwrap()["metadata"];
        assert_eq!(metadata["annotations"][NODE_ID], r#"{"b":"id-b"}"#);
        assert_eq!(metadata["labels"], Value::Null);
        // Nor does one driver contradict another.
        assert_eq!(super::told(&node(None, None), &drivers).refused.keys().collect::<Vec<_>>(), ["b"]);
    }
}
