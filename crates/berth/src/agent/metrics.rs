//! Metrics of the program as a whole, and those that follow from what several rooms know.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use config::gates::{self, Stage};
use config::{Gates, Loaded};
use jiff::{SignedDuration, Timestamp};
use linux::proc;
use pleg::Pleg;
use telemetry::metrics::{Counter, Declaration, Encoder, Gauge, Histogram, MetricKind, Registry, Stability};
use types::{ContainerId, ObservedPod, Pod, PodUid, labels, pod};

use super::settings::KUBERNETES_VERSION;

const POD_START_BUCKETS: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0,
    480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];

/// What the agent itself counts.
#[derive(Clone)]
pub(super) struct Metrics {
    terminated_containers: Counter,
    pod_start_total: Histogram,
    pub(super) orphan_volumes: Gauge,
    pub(super) orphan_volume_errors: Gauge,
    pub(super) losing_support: Gauge,
}

impl Metrics {
    /// The families, registered, with those that only say what this program is.
    pub(super) fn register(registry: &Registry, loaded: &Loaded) -> Self {
        build_info(registry);
        features(registry, &loaded.gates);
        let started_at = started_at();
        registry.collector(Box::new(move |encoder| process(encoder, started_at)));
        for name in ["disabled_metrics_total", "hidden_metrics_total"] {
            let help = "Metrics of this program that are left out of what it shows.";
            let _ = registry.counter(name, help, Stability::Beta, &[]);
        }
        let alpha = Stability::Alpha;
        Self {
            terminated_containers: registry.counter(
                "kubelet_terminated_containers_total",
                "Containers that ended, by kind, exit code and reason.",
                alpha,
                &["container_type", "exit_code", "reason"],
            ),
            pod_start_total: registry.histogram(
                "kubelet_pod_start_total_duration_seconds",
                "Time from the first sight of a pod until all its containers ran, images and init containers included.",
                alpha,
                &[],
                POD_START_BUCKETS,
            ),
            orphan_volumes: registry.gauge(
                "kubelet_orphan_pod_cleaned_volumes",
                "Orphaned pods whose volumes the last round of housekeeping took away.",
                alpha,
                &[],
            ),
            orphan_volume_errors: registry.gauge(
                "kubelet_orphan_pod_cleaned_volumes_errors",
                "Orphaned pods whose volumes the last round of housekeeping could not take away.",
                alpha,
                &[],
            ),
            losing_support: registry.gauge(
                "kubelet_cri_losing_support",
                "1 for the version of Kubernetes that will not support this container runtime.",
                alpha,
                &["version"],
            ),
        }
    }
}

/// Says how many families there are, once all are registered.
pub(super) fn count_families(registry: &Registry) {
    let families = registry.counter(
        "registered_metrics_total",
        "Metrics of this program, by stability.",
        Stability::Beta,
        &["stability_level", "deprecated_version"],
    );
    for (stability, count) in registry.registered() {
        families.add(&[stability.as_str(), ""], count);
    }
}

fn build_info(registry: &Registry) {
    let info = registry.gauge(
        "kubernetes_build_info",
        "What this program was built from; always 1.",
        Stability::Beta,
        &[
            "major",
            "minor",
            "git_version",
            "git_commit",
            "git_tree_state",
            "build_date",
            "go_version",
            "compiler",
            "platform",
        ],
    );
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let platform = format!("linux/{}", super::here::arch());
    info.set(&[major, minor, KUBERNETES_VERSION, "", "", "", "", "rustc", &platform], 1.0);
}

fn features(registry: &Registry, switched: &Gates) {
    let enabled = registry.gauge(
        "kubernetes_feature_enabled",
        "Whether a feature gate is on (1) or off (0), by stage; of features that are generally available the stage is empty.",
        Stability::Beta,
        &["name", "stage"],
    );
    for info in gates::ALL {
        let stage = match info.stage {
            Stage::Alpha => "ALPHA",
            Stage::Beta => "BETA",
            Stage::Ga => "",
            Stage::Deprecated => "DEPRECATED",
        };
        enabled.set(&[info.name, stage], f64::from(u8::from(switched.enabled(info.gate))));
    }
}

/// When this process started.
fn started_at() -> Timestamp {
    let age = proc::self_usage().map(|usage| proc::since_boot().saturating_sub(usage.started_after_boot));
    let age = age.ok().and_then(|age| SignedDuration::try_from(age).ok()).unwrap_or(SignedDuration::ZERO);
    Timestamp::now().saturating_sub(age).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The page of metrics of probes, which has nothing else on it than when the process started.
pub(super) fn of_probes() -> Registry {
    let registry = Registry::new();
    let started_at = started_at();
    registry.collector(Box::new(move |encoder| process_start(encoder, started_at)));
    registry
}

fn process_start(encoder: &mut Encoder, started_at: Timestamp) {
    let (name, help) = ("process_start_time_seconds", "Unix time at which the process started.");
    let start = started_at.as_duration().as_secs_f64();
    encoder.family(name, help, Stability::Unstated, MetricKind::Gauge).sample(&[], start);
}

/// What Prometheus' clients tell of a process.
fn process(encoder: &mut Encoder, started_at: Timestamp) {
    let mut tell = |name, help, kind, value: f64| {
        encoder.family(name, help, Stability::Unstated, kind).sample(&[], value);
    };
    #[allow(clippy::cast_precision_loss, reason = "what a process has fits in 52 bits")]
    let number = |value: u64| value as f64;
    let (counter, gauge) = (MetricKind::Counter, MetricKind::Gauge);
    if let Ok(usage) = proc::self_usage() {
        tell("process_cpu_seconds_total", "CPU time used, in seconds.", counter, usage.cpu.as_secs_f64());
        tell("process_open_fds", "Open file descriptors.", gauge, number(usage.open_fds));
        tell("process_virtual_memory_bytes", "Mapped memory.", gauge, number(usage.virtual_bytes));
        tell("process_resident_memory_bytes", "Resident memory.", gauge, number(usage.resident_bytes));
    }
    let most_files = proc::max_open_files().unwrap_or(u64::MAX);
    tell("process_max_fds", "The most file descriptors that may be open.", gauge, number(most_files));
    if let Ok((received, sent)) = proc::ip_octets() {
        tell("process_network_receive_bytes_total", "Bytes received over IP.", counter, number(received));
        tell("process_network_transmit_bytes_total", "Bytes sent over IP.", counter, number(sent));
    }
    process_start(encoder, started_at);
}

/// The family of [`collect_logs`].
pub(super) const LOG_BYTES: Declaration = Declaration {
    name: "kubelet_container_log_filesystem_used_bytes",
    help: "Bytes that the log files of a container take on the disk.",
    stability: Stability::Alpha,
    kind: MetricKind::Gauge,
    labels: &["container", "namespace", "pod", "uid"],
};

/// Tells at each scrape how much the logs of each container take.
pub(super) fn collect_logs(registry: &Registry, pleg: Pleg) {
    registry.collector(Box::new(move |encoder| {
        let mut family = encoder.declared(&LOG_BYTES);
        let pods = pleg.pods().borrow().clone();
        for pod in pods.iter().flat_map(|pods| pods.iter()) {
            let Some(observed) = pleg.known(pod) else { continue };
            let newest = observed.containers.iter().filter(|c| !c.log_path.is_empty());
            // All instances of a container log to one directory.
            let logs: HashMap<&str, PathBuf> = newest
                .filter_map(|c| Some((&*c.name, Path::new(&c.log_path).parent()?.to_owned())))
                .collect();
            for (container, dir) in logs {
                let (uid, namespace) = (pod.uid.as_str(), &*pod.name.namespace);
                let labels = [
                    ("container", container),
                    ("namespace", namespace),
                    ("pod", &*pod.name.name),
                    ("uid", uid),
                ];
                family.sample(&labels, disk_use(&dir));
            }
        }
    }));
}

/// What the files in `dir` take, in bytes. The kernel counts in blocks of 512.
fn disk_use(dir: &Path) -> f64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let blocks: u64 = entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.blocks()).sum();
    #[allow(clippy::cast_precision_loss, reason = "no disk has 2^52 bytes of logs")]
    let bytes = (blocks * 512) as f64;
    bytes
}

/// Counts what happens to containers once each: starts of whole pods, ends of containers.
pub(super) struct Milestones {
    metrics: Metrics,
    /// What happened before is not counted again after a restart.
    since: Timestamp,
    seen: Mutex<HashMap<PodUid, Seen>>,
}

#[derive(Default)]
struct Seen {
    started: bool,
    ended: HashSet<ContainerId>,
}

impl Milestones {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, since: Timestamp::now(), seen: Mutex::default() }
    }

    /// Counts what is new in `observed`.
    pub(super) fn count(&self, pod: &Pod, observed: &ObservedPod) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(observed.pod.uid.clone()).or_default();
        seen.ended.retain(|id| observed.containers.iter().any(|container| container.id == *id));
        for container in &observed.containers {
            let Some(exit) = container.state.exit().filter(|exit| exit.finished_at >= self.since) else {
                continue;
            };
            if let Some((kind, _)) = pod::container(pod, &container.name)
                && seen.ended.insert(container.id.clone())
            {
                let labels = [kind.metric_label(), &exit.code.to_string(), &exit.reason];
                self.metrics.terminated_containers.inc(&labels);
            }
        }
        if !seen.started
            && let Some(running) = all_running_since(pod, observed)
        {
            seen.started = true;
            let first_seen = pod::annotation(pod, labels::CONFIG_SEEN).and_then(|text| text.parse().ok());
            let created = observed.sandboxes.last().map(|sandbox| sandbox.created_at);
            // A pod that ran before it was read, as after a restart, did not start now.
            if let Some(first_seen) =
                first_seen.filter(|first: &Timestamp| created.is_some_and(|at| at >= *first))
            {
                let took = running.duration_since(first_seen).as_secs_f64();
                self.metrics.pod_start_total.observe(&[], took);
            }
        }
    }

    /// Forgets a pod that is gone.
    pub(super) fn forget(&self, pod: &PodUid) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(pod);
    }
}

/// When the last of the pod's containers started, if all run.
fn all_running_since(pod: &Pod, observed: &ObservedPod) -> Option<Timestamp> {
    let started = |container: &types::Container| match observed.newest(&container.name)?.state {
        types::ContainerState::Running { started_at } => Some(started_at),
        _ => None,
    };
    let started: Option<Vec<Timestamp>> = pod::regular_containers(pod).iter().map(started).collect();
    started?.into_iter().max()
}
