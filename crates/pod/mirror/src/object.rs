//! What a mirror pod looks like.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use types::{labels, pod};

/// The mirror of a static pod on `node`: its spec, labels and annotations, the hash of its manifest, and the node as the
/// owner, so that it goes with it. The API server gives it a UID of its own. `None` if the pod is no static pod, or the
/// node has no UID.
#[must_use]
pub fn mirror_of(fixed: &Pod, node: &Node) -> Option<Pod> {
    let hash = pod::annotation(fixed, labels::CONFIG_HASH)?.to_owned();
    let mut annotations = fixed.metadata.annotations.clone().unwrap_or_default();
    annotations.insert(labels::CONFIG_MIRROR.to_owned(), hash);
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.metadata.name.clone()?,
        uid: node.metadata.uid.clone()?,
        controller: Some(true),
        block_owner_deletion: None,
    };
    Some(Pod {
        metadata: ObjectMeta {
            name: fixed.metadata.name.clone(),
            namespace: fixed.metadata.namespace.clone(),
            labels: fixed.metadata.labels.clone(),
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: fixed.spec.clone(),
        status: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_spec_the_hash_and_the_owner() {
        let fixed: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a-node", "namespace": "n", "uid": "h", "labels": {"l": "1"},
                "annotations": {"kubernetes.io/config.hash": "h", "kubernetes.io/config.source": "file"}},
            "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}
        }))
        .unwrap();
        let node =
            |uid: &str| serde_json::from_value(json!({"metadata": {"name": "node", "uid": uid}})).unwrap();
        let mirror = mirror_of(&fixed, &node("1")).unwrap();
        assert_eq!(
            serde_json::to_value(&mirror.metadata).unwrap(),
            json!({"name": "a-node", "namespace": "n", "labels": {"l": "1"},
                "annotations": {"kubernetes.io/config.hash": "h", "kubernetes.io/config.mirror": "h",
                    "kubernetes.io/config.source": "file"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "node", "uid": "1",
                    "controller": true}]})
        );
        assert_eq!(mirror.spec, fixed.spec);
        assert_eq!(mirror_of(&mirror, &Node::default()), None);
        assert_eq!(mirror_of(&Pod::default(), &node("1")), None);
    }
}
