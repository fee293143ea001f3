//! Which volumes take room of their own on this node, and where.

use std::path::{Path, PathBuf};

use types::{Pod, PodUid};

use crate::kind::{Kind, used};
use crate::paths::{CONFIG_MAP, DOWNWARD_API, EMPTY_DIR, PROJECTED, PodPaths, SECRET};

/// A volume whose room can be measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measurable {
    /// Its name in the pod's spec.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Whether it counts towards the pod's ephemeral storage, as `emptyDir` on a disk and `configMap` do (Kubernetes:
    /// "Local ephemeral storage").
    pub ephemeral: bool,
}

/// The volumes of `pod` that are directories made for it, in the order of the spec. A `hostPath` is the node's own, and an
/// image is the runtime's. None for a pod whose UID cannot be the name of a directory.
#[must_use]
pub fn measurable(root_dir: &Path, pod: &Pod) -> Vec<Measurable> {
    let uid = PodUid::from(pod.metadata.uid.as_deref().unwrap_or_default());
    let Ok(paths) = PodPaths::new(root_dir, &uid) else { return Vec::new() };
    let volumes = used(pod).into_iter().filter_map(|volume| {
        let (plugin, ephemeral) = match Kind::of(volume) {
            Kind::EmptyDir(source) => (EMPTY_DIR, source.medium.as_deref().unwrap_or_default().is_empty()),
            Kind::ConfigMap(_) => (CONFIG_MAP, true),
            Kind::DownwardApi(_) => (DOWNWARD_API, false),
            Kind::Secret(_) => (SECRET, false),
            Kind::Projected(_) => (PROJECTED, false),
            Kind::HostPath(_) | Kind::Image(_) | Kind::Driver(..) | Kind::Other(..) => return None,
        };
        Some(Measurable { name: volume.name.clone(), path: paths.volume(plugin, &volume.name), ephemeral })
    });
    volumes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_made_for_the_pod() {
        let mount = |name: &str| serde_json::json!({"name": name, "mountPath": format!("/{name}")});
        let names = ["disk", "mem", "cm", "secret", "token", "info", "host", "image", "claim"];
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"uid": "u"},
            "spec": {
                "volumes": [
                    {"name": "disk", "emptyDir": {}}, {"name": "mem", "emptyDir": {"medium": "Memory"}},
                    {"name": "cm", "configMap": {"name": "c"}}, {"name": "secret", "secret": {"secretName": "s"}},
                    {"name": "token", "projected": {}}, {"name": "info", "downwardAPI": {}},
                    {"name": "host", "hostPath": {"path": "/"}}, {"name": "image", "image": {"reference": "i"}},
                    {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "unused"},
                ],
                "containers": [{"name": "c", "volumeMounts": names.map(mount)}],
            },
        }))
        .unwrap();
        let found = measurable(Path::new("/r"), &pod);
        let shown: Vec<_> = found
            .iter()
            .map(|volume| (&*volume.name, volume.path.to_str().unwrap(), volume.ephemeral))
            .collect();
        assert_eq!(
            shown,
            [
                ("disk", "/r/pods/u/volumes/kubernetes.io~empty-dir/disk", true),
                ("mem", "/r/pods/u/volumes/kubernetes.io~empty-dir/mem", false),
                ("cm", "/r/pods/u/volumes/kubernetes.io~configmap/cm", true),
                ("secret", "/r/pods/u/volumes/kubernetes.io~secret/secret", false),
                ("token", "/r/pods/u/volumes/kubernetes.io~projected/token", false),
                ("info", "/r/pods/u/volumes/kubernetes.io~downward-api/info", false),
            ]
        );
        let unusable = Pod { metadata: Default::default(), ..pod };
        assert!(measurable(Path::new("/r"), &unusable).is_empty());
    }
}
