//! Which volumes take room of their own on this node, and who knows how much.

use std::path::{Path, PathBuf};

use types::{Pod, PodUid, pod};

use crate::claim;
use crate::kind::{Kind, used};
use crate::paths::{CONFIG_MAP, DOWNWARD_API, EMPTY_DIR, PROJECTED, PodPaths, SECRET};

/// A volume whose room can be measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measurable {
    /// Its name in the pod's spec.
    pub name: String,
    /// Who knows how full it is.
    pub by: MeasuredBy,
}

/// Who knows how full a volume is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MeasuredBy {
    /// Whoever looks at the directory that was made for the pod.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether it counts towards the pod's ephemeral storage, as `emptyDir` on a disk and `configMap` do (Kubernetes:
        /// "Local ephemeral storage").
        ephemeral: bool,
    },
    /// The driver that made it.
    Driver {
        /// The claim by which the pod has it, in its namespace; none for one that is in its spec.
        claim: Option<String>,
    },
}

/// The volumes of `pod` that are made for it, in the order of the spec. A `hostPath` is the node's own, an image is the
/// runtime's, and of a block device nobody knows how full it is. None for a pod whose UID cannot be the name of a directory.
#[must_use]
pub fn measurable(root_dir: &Path, pod: &Pod) -> Vec<Measurable> {
    let uid = PodUid::from(pod.metadata.uid.as_deref().unwrap_or_default());
    let Ok(paths) = PodPaths::new(root_dir, &uid) else { return Vec::new() };
    let volumes = used(pod).into_iter().filter_map(|volume| {
        let name = volume.name.clone();
        let (plugin, ephemeral) = match Kind::of(volume) {
            Kind::EmptyDir(source) => (EMPTY_DIR, source.medium.as_deref().unwrap_or_default().is_empty()),
            Kind::ConfigMap(_) => (CONFIG_MAP, true),
            Kind::DownwardApi(_) => (DOWNWARD_API, false),
            Kind::Secret(_) => (SECRET, false),
            Kind::Projected(_) => (PROJECTED, false),
            Kind::Driver(..) if is_mounted(pod, &name) => {
                let claim = claim::name(pod, volume).map(|claim| claim.name);
                return Some(Measurable { name, by: MeasuredBy::Driver { claim } });
            }
            Kind::HostPath(_) | Kind::Image(_) | Kind::Driver(..) | Kind::Other(..) => return None,
        };
        let path = paths.volume(plugin, &name);
        Some(Measurable { name, by: MeasuredBy::Directory { path, ephemeral } })
    });
    volumes.collect()
}

/// Whether a container mounts the volume; others have it as a device.
fn is_mounted(pod: &Pod, name: &str) -> bool {
    pod::containers(pod)
        .any(|(_, container)| container.volume_mounts.iter().flatten().any(|mount| mount.name == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_made_for_the_pod() {
        let mount = |name: &str| serde_json::json!({"name": name, "mountPath": format!("/{name}")});
        let names =
            ["disk", "mem", "cm", "secret", "token", "info", "host", "image", "claim", "own", "inline"];
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {
                "volumes": [
                    {"name": "disk", "emptyDir": {}}, {"name": "mem", "emptyDir": {"medium": "Memory"}},
                    {"name": "cm", "configMap": {"name": "c"}}, {"name": "secret", "secret": {"secretName": "s"}},
                    {"name": "token", "projected": {}}, {"name": "info", "downwardAPI": {}},
                    {"name": "host", "hostPath": {"path": "/"}}, {"name": "image", "image": {"reference": "i"}},
                    {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "own", "ephemeral": {}},
                    {"name": "inline", "csi": {"driver": "d"}}, {"name": "unused"},
                    {"name": "device", "persistentVolumeClaim": {"claimName": "b"}},
                ],
                "containers": [{
                    "name": "c", "volumeMounts": names.map(mount),
                    "volumeDevices": [{"name": "device", "devicePath": "/dev/x"}],
                }],
            },
        }))
        .unwrap();
        let found = measurable(Path::new("/r"), &pod);
        let shown: Vec<_> = found
            .iter()
            .map(|volume| match &volume.by {
                MeasuredBy::Directory { path, ephemeral } => {
                    (&*volume.name, path.to_str().unwrap(), *ephemeral)
                }
                MeasuredBy::Driver { claim } => {
                    (&*volume.name, claim.as_deref().unwrap_or("no claim"), false)
                }
            })
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
                ("claim", "c", false),
                ("own", "p-own", false),
                ("inline", "no claim", false),
            ]
        );
        let unusable = Pod { metadata: Default::default(), ..pod };
        assert!(measurable(Path::new("/r"), &unusable).is_empty());
    }
}
