//! With which SELinux labels volumes are mounted.

use std::fmt;

use config::{Gate, Gates};
use telemetry::metrics::{Gauge, Registry, Stability};
use types::Pod;
use types::corev1::PersistentVolume;
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

    /// The label that `pod` gets its volume `name` with, which is `volume` of the driver `driver`.
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
        let by_driver = driver.is_some_and(|driver| driver.spec.se_linux_mount == Some(true));
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

    /// The volume of the driver `driver` is mounted with another label.
    pub(super) fn conflict(&self, driver: &str, by_one_pod: bool) {
        let mode = if by_one_pod { "RWOP" } else { "RWX" };
        self.metrics.conflicts.add(&[&format!("kubernetes.io/csi:{driver}"), mode], 1.0);
    }
}

fn plugin(volume: &PersistentVolume) -> String {
    let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
    format!("kubernetes.io/csi:{}", csi.map(|csi| &*csi.driver).unwrap_or_default())
}
