//! Who a static pod is: its name, UID and annotations (Kubernetes: "Static Pods").

use std::path::Path;

use types::corev1::{PodStatus, Toleration};
use types::{Pod, SourceKind, hash, labels};

/// Where a manifest is, and for which node it is read.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) kind: SourceKind,
    /// The path or URL.
    pub(crate) place: String,
    pub(crate) node_name: String,
}

impl Origin {
    pub(crate) fn file(path: impl AsRef<Path>, node_name: &str) -> Self {
        let place = path.as_ref().to_string_lossy().into_owned();
        Self { kind: SourceKind::File, place, node_name: node_name.to_owned() }
    }

    pub(crate) fn url(url: &str, node_name: &str) -> Self {
        Self { kind: SourceKind::Http, place: url.to_owned(), node_name: node_name.to_owned() }
    }
}

/// Gives the pod of a manifest its identity on this node. The UID, unless the manifest has one, is a hash of the pod
/// and of where it is written: another content is another pod. When it was first seen is for the reader to add.
pub(crate) fn identify(pod: &mut Pod, origin: &Origin) {
    let uid = match pod.metadata.uid.take().filter(|uid| !uid.is_empty()) {
        Some(uid) => uid,
        None => uid(pod, origin),
    };
    let meta = &mut pod.metadata;
    meta.uid = Some(uid.clone());
    meta.generate_name = None;
    // A name that is missing stays so, for validation to name.
    if let Some(name) = meta.name.as_mut().filter(|name| !name.is_empty()) {
        *name = format!("{name}-{}", origin.node_name.to_lowercase());
    }
    if meta.namespace.as_deref().unwrap_or_default().is_empty() {
        meta.namespace = Some("default".to_owned());
    }
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(labels::CONFIG_HASH.to_owned(), uid);
    annotations.insert(labels::CONFIG_SOURCE.to_owned(), origin.kind.as_str().to_owned());
    annotations.remove(labels::CONFIG_MIRROR);

    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(origin.node_name.clone());
    if origin.kind == SourceKind::File {
        let every = Toleration {
            operator: Some("Exists".to_owned()),
            effect: Some("NoExecute".to_owned()),
            ..Toleration::default()
        };
        let tolerations = spec.tolerations.get_or_insert_default();
        if !tolerations.contains(&every) {
            tolerations.push(every);
        }
    }
    pod.status = Some(PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() });
}

fn uid(pod: &Pod, origin: &Origin) -> String {
    let mut bytes = serde_json::to_vec(pod).unwrap_or_default();
    bytes.extend_from_slice(b"host:");
    bytes.extend_from_slice(origin.node_name.as_bytes());
    bytes.extend_from_slice(if origin.kind == SourceKind::File { b"file:" } else { b"url:" });
    bytes.extend_from_slice(origin.place.as_bytes());
    format!("{:032x}", hash::fnv1a_128(&bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    fn uid_of(value: serde_json::Value, origin: &Origin) -> String {
        let mut pod = pod(value);
        identify(&mut pod, origin);
        pod.metadata.uid.unwrap()
    }

    #[test]
    fn a_pod_of_a_file() {
        let mut pod = pod(json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"containers": []}}));
        identify(&mut pod, &Origin::file("/m/web.yaml", "Node-1"));
        assert_eq!(
            serde_json::to_value(&pod).unwrap(),
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "web-node-1", "namespace": "default", "uid": "u", "annotations": {
                    "kubernetes.io/config.hash": "u", "kubernetes.io/config.source": "file"}},
                "spec": {"containers": [], "nodeName": "Node-1",
                    "tolerations": [{"operator": "Exists", "effect": "NoExecute"}]},
                "status": {"phase": "Pending"}})
        );
    }

    #[test]
    fn the_uid_is_of_content_and_place() {
        let (a, b) = (json!({"metadata": {"name": "a"}}), json!({"metadata": {"name": "b"}}));
        let origin = Origin::file("/m/a", "n");
        let one = uid_of(a.clone(), &origin);
        assert_eq!(one.len(), 32);
        assert_eq!(one, uid_of(a.clone(), &origin));
        assert_ne!(one, uid_of(b, &origin));
        assert_ne!(one, uid_of(a.clone(), &Origin::file("/m/b", "n")));
        assert_ne!(one, uid_of(a.clone(), &Origin::file("/m/a", "other")));
        assert_ne!(one, uid_of(a, &Origin::url("/m/a", "n")));
    }

    #[test]
    fn pods_of_a_url_do_not_tolerate_everything() {
        let mut pod = pod(json!({"metadata": {"name": "a"}}));
        identify(&mut pod, &Origin::url("http://x", "n"));
        assert!(pod.spec.unwrap().tolerations.is_none());
    }
}
