//! What kind a volume is, and which volumes are needed at all.

use std::collections::BTreeSet;

use types::corev1::{
    ConfigMapVolumeSource, Container, DownwardAPIVolumeSource, EmptyDirVolumeSource, HostPathVolumeSource,
    ImageVolumeSource, ProjectedVolumeSource, SecretVolumeSource, Volume,
};
use types::objects::References;
use types::{Pod, pod};

/// The kinds that can be prepared, and the names of the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    EmptyDir(&'a EmptyDirVolumeSource),
    HostPath(&'a HostPathVolumeSource),
    DownwardApi(&'a DownwardAPIVolumeSource),
    ConfigMap(&'a ConfigMapVolumeSource),
    Secret(&'a SecretVolumeSource),
    Projected(&'a ProjectedVolumeSource),
    Image(&'a ImageVolumeSource),
    /// A kind that drivers make: its field in the spec, and what it needs.
    Driver(&'static str, &'static str),
    /// A kind that needs what berth does not have here: its field in the spec, and what it is that it needs.
    Other(&'static str, &'static str),
}

const CLAIM: &str = "an API server, which this node has none of";
const CSI: &str = "a CSI driver, which berth cannot talk to yet";
const GONE: &str = "a volume plugin that Kubernetes has removed";
const PLUGIN: &str = "a volume plugin that berth does not have";

impl<'a> Kind<'a> {
    /// The kind of `volume`. One without any source is an emptyDir: that is the API's default.
    pub(crate) fn of(volume: &'a Volume) -> Self {
        static DEFAULT: EmptyDirVolumeSource = EmptyDirVolumeSource { medium: None, size_limit: None };
        let v = volume;
        if let Some(source) = &v.empty_dir {
            Self::EmptyDir(source)
        } else if let Some(source) = &v.host_path {
            Self::HostPath(source)
        } else if let Some(source) = &v.downward_api {
            Self::DownwardApi(source)
        } else if let Some(source) = &v.config_map {
            Self::ConfigMap(source)
        } else if let Some(source) = &v.secret {
            Self::Secret(source)
        } else if let Some(source) = &v.projected {
            Self::Projected(source)
        } else if let Some(source) = &v.image {
            Self::Image(source)
        } else if v.persistent_volume_claim.is_some() {
            Self::Driver("persistentVolumeClaim", CLAIM)
        } else if v.ephemeral.is_some() {
            Self::Driver("ephemeral", CLAIM)
        } else if v.csi.is_some() {
            Self::Driver("csi", CSI)
        } else if v.nfs.is_some() {
            Self::Driver("nfs", PLUGIN)
        } else if v.iscsi.is_some() {
            Self::Driver("iscsi", PLUGIN)
        } else if v.fc.is_some() {
            Self::Driver("fc", PLUGIN)
        } else if v.flex_volume.is_some() {
            Self::Driver("flexVolume", PLUGIN)
        } else {
            let others = [
                (v.aws_elastic_block_store.is_some(), "awsElasticBlockStore", CSI),
                (v.azure_disk.is_some(), "azureDisk", CSI),
                (v.azure_file.is_some(), "azureFile", CSI),
                (v.cinder.is_some(), "cinder", CSI),
                (v.gce_persistent_disk.is_some(), "gcePersistentDisk", CSI),
                (v.portworx_volume.is_some(), "portworxVolume", CSI),
                (v.vsphere_volume.is_some(), "vsphereVolume", CSI),
                (v.git_repo.is_some(), "gitRepo", GONE),
                (v.cephfs.is_some(), "cephfs", GONE),
                (v.flocker.is_some(), "flocker", GONE),
                (v.glusterfs.is_some(), "glusterfs", GONE),
                (v.photon_persistent_disk.is_some(), "photonPersistentDisk", GONE),
                (v.quobyte.is_some(), "quobyte", GONE),
                (v.rbd.is_some(), "rbd", GONE),
                (v.scale_io.is_some(), "scaleIO", GONE),
                (v.storageos.is_some(), "storageos", GONE),
            ];
            others
                .into_iter()
                .find(|(present, ..)| *present)
                .map_or(Self::EmptyDir(&DEFAULT), |(_, field, needs)| Self::Other(field, needs))
        }
    }

    /// Its field in the spec.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::EmptyDir(_) => "emptyDir",
            Self::HostPath(_) => "hostPath",
            Self::DownwardApi(_) => "downwardAPI",
            Self::ConfigMap(_) => "configMap",
            Self::Secret(_) => "secret",
            Self::Projected(_) => "projected",
            Self::Image(_) => "image",
            Self::Driver(field, _) | Self::Other(field, _) => field,
        }
    }

    /// The name of the plugin that handles it; none for a kind that is not supported here.
    pub(crate) fn plugin(self) -> Option<&'static str> {
        Some(match self {
            Self::EmptyDir(_) => "kubernetes.io/empty-dir",
            Self::HostPath(_) => "kubernetes.io/host-path",
            Self::DownwardApi(_) => "kubernetes.io/downward-api",
            Self::ConfigMap(_) => "kubernetes.io/configmap",
            Self::Secret(_) => "kubernetes.io/secret",
            Self::Projected(_) => "kubernetes.io/projected",
            Self::Image(_) => "kubernetes.io/image",
            Self::Driver("nfs", _) => "kubernetes.io/nfs",
            Self::Driver("iscsi", _) => "kubernetes.io/iscsi",
            Self::Driver("fc", _) => "kubernetes.io/fc",
            Self::Driver(..) | Self::Other(..) => return None,
        })
    }

    /// Whether a driver makes it.
    pub(crate) fn is_of_driver(self) -> bool {
        matches!(self, Self::Driver(..))
    }

    /// Whether its content follows the pod's metadata, or objects of the API server.
    pub(crate) fn is_followed(self) -> bool {
        matches!(self, Self::DownwardApi(_) | Self::ConfigMap(_) | Self::Secret(_) | Self::Projected(_))
    }
}

/// The volumes that some container of the pod mounts or has as a device, in the order of the spec. The others are
/// never prepared.
pub(crate) fn used(pod: &Pod) -> Vec<&Volume> {
    let mut names = BTreeSet::new();
    for (_, container) in pod::containers(pod) {
        names.extend(container.volume_mounts.iter().flatten().map(|mount| mount.name.clone()));
        names.extend(container.volume_devices.iter().flatten().map(|device| device.name.clone()));
    }
    pod::spec(pod).volumes.iter().flatten().filter(|volume| names.contains(&volume.name)).collect()
}

/// Whether a container of the pod has the volume `name` as a device.
pub(crate) fn is_device(pod: &Pod, name: &str) -> bool {
    let has =
        |container: &Container| container.volume_devices.iter().flatten().any(|device| device.name == name);
    pod::containers(pod).any(|(_, container)| has(&container))
}

/// The objects that the pod's volumes show, of those that are prepared.
#[must_use]
pub fn references(pod: &Pod) -> References {
    let mut all = References::default();
    used(pod).into_iter().for_each(|volume| all.add_volume(volume));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_container_uses() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"spec": {
            "volumes": [{"name": "unused"}, {"name": "dev", "persistentVolumeClaim": {"claimName": "c"}},
                        {"name": "init", "hostPath": {"path": "/"}}, {"name": "late"}],
            "initContainers": [{"name": "i", "volumeMounts": [{"name": "init", "mountPath": "/i"}]}],
            "containers": [{"name": "c", "volumeDevices": [{"name": "dev", "devicePath": "/dev/x"}]}],
            "ephemeralContainers": [{"name": "e", "volumeMounts": [{"name": "late", "mountPath": "/l"}]}],
        }}))
        .unwrap();
        let found: Vec<_> = used(&pod).into_iter().map(|v| (v.name.as_str(), Kind::of(v).field())).collect();
        assert_eq!(found, [("dev", "persistentVolumeClaim"), ("init", "hostPath"), ("late", "emptyDir")]);
        assert!(is_device(&pod, "dev") && !is_device(&pod, "init"));
    }
}
