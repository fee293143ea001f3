//! With which SELinux labels volumes are mounted.

use std::fmt;
use std::sync::Arc;

use config::{Gate, Gates};
use intree::Plugin;
use telemetry::metrics::{Gauge, Registry, Stability};
use types::Pod;
use types::corev1::{PersistentVolume, PersistentVolumeSpec};
use types::k8s::api::storage::v1::CSIDriver;
use volume::selinux::{self, FileLabel, Label, Labelled, SeveralLabels};

/// What decides on labels.
pub(super) struct Labels {
    /// None without SELinux.
    node: Option<FileLabel>,
    any_mode: bool,
    metrics: Metrics,
}

/// The families.
pub(in crate::agent) struct Metrics {
    several_errors: Gauge,
    several_warnings: Gauge,
    conflicts: Gauge,
    admitted: Gauge,
}

impl Metrics {
    pub(in crate::agent) fn register(registry: &Registry) -> Self {
        let by_mode = &["access_mode"];
        let by_plugin = &["volume_plugin", "access_mode"];
        let gauge = |name, help, labels| registry.gauge(name, help, Stability::Alpha, labels);
        Self {
            several_errors: gauge(
                "volume_manager_selinux_pod_context_mismatch_errors_total",
                "Times that a pod could not start because its containers want a volume with several SELinux labels.",
                by_mode,
            ),
            several_warnings: gauge(
                "volume_manager_selinux_pod_context_mismatch_warnings_total",
                "Times that containers of a pod wanted a volume with several SELinux labels, which its access mode still lets them.",
                by_mode,
            ),
            conflicts: gauge(
                "volume_manager_selinux_volume_context_mismatch_errors_total",
                "Times that a pod could not start because a volume is mounted with the SELinux label of another one.",
                by_plugin,
            ),
            admitted: gauge(
                "volume_manager_selinux_volumes_admitted_total",
                "Volumes that were to be mounted with an SELinux label.",
                by_plugin,
            ),
        }
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labels").field("node", &self.node).finish_non_exhaustive()
    }
}

fn modes(volume: &PersistentVolume) -> &[String] {
    volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
}

impl Labels {
    /// Those of this node. Reads some small files.
    pub(super) fn new(gates: &Gates, registry: &Registry) -> Self {
        Self {
            node: FileLabel::of_node(),
            any_mode: gates.enabled(Gate::SELinuxMount),
            metrics: Metrics::register(registry),
        }
    }

    /// Whether volumes may have labels at all.
    pub(super) fn are_on(&self) -> bool {
        self.node.is_some()
    }

    /// The label that `pod` gets its volume `name` with, which is `volume`, of the driver `driver` if it is made by one.
    ///
    /// # Errors
    /// If it is to have one, and the pod's containers want several.
    pub(super) fn of(
        &self,
        pod: &Pod,
        name: &str,
        volume: &PersistentVolume,
        driver: Option<&CSIDriver>,
    ) -> Result<Option<String>, SeveralLabels> {
        let Some(node) = &self.node else { return Ok(None) };
        let (access_modes, any_mode) = (modes(volume), self.any_mode);
        // berth itself mounts disks of a network so.
        let is_disk = volume.spec.as_ref().is_some_and(|spec| spec.iscsi.is_some() || spec.fc.is_some());
        let by_driver = is_disk || driver.is_some_and(|driver| driver.spec.se_linux_mount == Some(true));
        let mode = selinux::mode(access_modes);
        match node.decide(pod, Labelled { name, access_modes, by_driver, any_mode }) {
            Ok(Label::None) => Ok(None),
            Ok(Label::Several) => {
                self.metrics.several_warnings.add(&[mode], 1.0);
                Ok(None)
            }
            Ok(Label::Mount(label)) => {
                self.metrics.admitted.add(&[&plugin(volume), mode], 1.0);
                Ok(Some(label))
            }
            Err(error) => {
                self.metrics.several_errors.add(&[mode], 1.0);
                Err(error)
            }
        }
    }

    /// A volume of `plugin` is mounted with another label.
    pub(super) fn conflict(&self, plugin: &str, by_one_pod: bool) {
        let mode = if by_one_pod { "RWOP" } else { "RWX" };
        self.metrics.conflicts.add(&[plugin, mode], 1.0);
    }
}

/// Where it is counted that a volume that berth mounts itself is mounted with another label.
#[derive(Debug)]
pub(super) struct Conflicts {
    labels: Arc<Labels>,
    plugin: String,
    by_one_pod: bool,
}

impl Conflicts {
    /// For `volume`.
    pub(super) fn of(labels: &Arc<Labels>, volume: &PersistentVolume) -> Self {
        let by_one_pod = selinux::mode(modes(volume)) == "RWOP";
        Self { labels: Arc::clone(labels), plugin: plugin(volume), by_one_pod }
    }

    /// There is one.
    pub(super) fn add(&self) {
        self.labels.conflict(&self.plugin, self.by_one_pod);
    }
}

/// The plugin that mounts the volume, by its name in metrics.
fn plugin(volume: &PersistentVolume) -> String {
    let spec = volume.spec.as_ref();
    let has = |is: fn(&PersistentVolumeSpec) -> bool| spec.is_some_and(is);
    match () {
        () if has(|spec| spec.iscsi.is_some()) => Plugin::Iscsi.qualified_name(),
        () if has(|spec| spec.fc.is_some()) => Plugin::Fc.qualified_name(),
        () => {
            let csi = spec.and_then(|spec| spec.csi.as_ref());
            csi::qualified_name(csi.map(|csi| &*csi.driver).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn disks_of_a_network_are_mounted_with_labels_and_other_kinds_are_not() {
        let file = FileLabel::new("system_u", "object_r", "container_file_t");
        let registry = Registry::new();
        let labels = Labels { node: Some(file), any_mode: false, metrics: Metrics::register(&registry) };
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "securityContext": {"seLinuxOptions": {"level": "s0:c1,c2"}},
            "containers": [{"name": "c", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}],
        }}))
        .unwrap();
        let label = Some("system_u:object_r:container_file_t:s0:c1,c2".to_owned());
        let iscsi = json!({"targetPortal": "10.0.0.1", "iqn": "iqn.a", "lun": 3});
        for (source, mode, expected) in [
            (json!({"iscsi": iscsi}), "ReadWriteOncePod", (label.clone(), "kubernetes.io/iscsi")),
            (json!({"iscsi": iscsi}), "ReadWriteOnce", (None, "kubernetes.io/iscsi")),
            (json!({"fc": {"wwids": ["3600"]}}), "ReadWriteOncePod", (label, "kubernetes.io/fc")),
            (json!({"local": {"path": "/a"}}), "ReadWriteOncePod", (None, "kubernetes.io/csi:")),
            (json!({"nfs": {"server": "a", "path": "/a"}}), "ReadWriteOncePod", (None, "kubernetes.io/csi:")),
        ] {
            let mut spec = source;
            spec["accessModes"] = json!([mode]);
            let volume: PersistentVolume =
                serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": spec})).unwrap();
            let found = labels.of(&pod, "data", &volume, None).unwrap();
            assert_eq!((found, &*plugin(&volume)), expected, "{volume:?}");
        }
    }
}
