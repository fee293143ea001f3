//! From the configuration to what each room takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use cgroup::CgroupName;
use config::{Flags, Gate, Gates, KubeletConfiguration, Loaded, PullVerification};
use containerconfig::dns::ResolvConf;
use image::Verification;
use node::{Machine, PodRoom, Reservations, Threshold};
use schema::Feature;
use sync::DeadContainers;
use sync::crash::CrashDelays;
use types::resources::Amounts;
use types::{Quantity, corev1};
use volume::Quotas;

/// The version of Kubernetes whose kubelet this agent stands in for.
pub(super) const KUBERNETES_VERSION: &str = "v1.36.0";

/// Who has file systems count volumes, if that is wanted (KEP-1029).
pub(super) fn quotas(loaded: &Loaded) -> Option<Quotas> {
    let wanted = loaded.gates.enabled(Gate::LocalStorageCapacityIsolationFSQuotaMonitoring);
    wanted.then(|| Quotas::new(loaded.flags.root_dir.clone()))
}

/// What is reserved for the node's daemons and kept free by eviction.
pub(super) fn reservations(loaded: &Loaded) -> anyhow::Result<Reservations> {
    let config = &loaded.config;
    let none = BTreeMap::new();
    let ignored = loaded.flags.experimental_allocatable_ignore_eviction;
    let thresholds = if ignored { &none } else { &config.eviction_hard };
    Ok(Reservations {
        kube: amounts(&config.kube_reserved).context("kubeReserved")?,
        system: amounts(&config.system_reserved).context("systemReserved")?,
        eviction_memory: threshold(thresholds, "memory.available")?,
        eviction_storage: threshold(thresholds, "nodefs.available")?,
    })
}

/// A cgroup of daemons that is held to what is reserved for them (`enforceNodeAllocatable`).
pub(super) struct ReservedCgroup {
    cgroup: String,
    field: &'static str,
    reserved: Amounts,
    /// Whether only CPU is limited, of which a daemon that lacks it is slow but lives.
    compressible_only: bool,
}

/// The cgroups of daemons that are held to their reservations.
pub(super) fn reserved_cgroups(config: &KubeletConfiguration) -> anyhow::Result<Vec<ReservedCgroup>> {
    let kube = ("kubeReservedCgroup", &config.kube_reserved_cgroup, &config.kube_reserved);
    let system = ("systemReservedCgroup", &config.system_reserved_cgroup, &config.system_reserved);
    let mut cgroups = Vec::new();
    for entry in &config.enforce_node_allocatable {
        let (name, compressible_only) = match entry.strip_suffix("-compressible") {
            Some(name) => (name, true),
            None => (entry.as_str(), false),
        };
        let (field, cgroup, reserved) = match name {
            "kube-reserved" => kube,
            "system-reserved" => system,
            _ => continue,
        };
        let (cgroup, reserved) = (cgroup.clone(), amounts(reserved).context(name.to_owned())?);
        cgroups.push(ReservedCgroup { cgroup, field, reserved, compressible_only });
    }
    Ok(cgroups)
}

impl ReservedCgroup {
    /// Limits the cgroup, whose name is spelled as `driver` spells names.
    pub(super) async fn enforce(
        &self,
        pods: &cgroup::PodCgroups,
        driver: cgroup::Driver,
    ) -> anyhow::Result<()> {
        let name = match driver {
            cgroup::Driver::Cgroupfs => CgroupName::parse_cgroupfs(&self.cgroup),
            cgroup::Driver::Systemd => CgroupName::parse_systemd(&self.cgroup),
        };
        let name = name.context(self.field)?;
        pods.enforce_reserved(&name, self.field, &self.reserved, self.compressible_only)
            .await
            .with_context(|| format!("cannot enforce the reservation of {} {}", self.field, self.cgroup))?;
        tracing::info!(
            cgroup = self.cgroup,
            field = self.field,
            "Daemons are held to what is reserved for them"
        );
        Ok(())
    }
}

fn amounts(map: &BTreeMap<String, String>) -> anyhow::Result<Amounts> {
    map.iter().map(|(name, text)| Ok((name.clone(), text.parse::<Quantity>()?))).collect()
}

fn threshold(thresholds: &BTreeMap<String, String>, signal: &str) -> anyhow::Result<Option<Threshold>> {
    let Some(text) = thresholds.get(signal) else { return Ok(None) };
    let parsed = match text.strip_suffix('%') {
        Some(percent) => {
            let percent: f64 = percent
                .parse()
                .with_context(|| format!("evictionHard {signal}: {text:?} is no percentage"))?;
            Threshold::Part(percent / 100.0)
        }
        None => {
            Threshold::Amount(text.parse::<Quantity>().with_context(|| format!("evictionHard {signal}"))?)
        }
    };
    Ok(Some(parsed))
}

/// The taints that the node registers with.
pub(super) fn taints(config: &KubeletConfiguration) -> Vec<corev1::Taint> {
    let taint = |taint: &config::Taint| corev1::Taint {
        key: taint.key.clone(),
        value: Some(taint.value.clone()).filter(|value| !value.is_empty()),
        effect: taint.effect.clone(),
        time_added: None,
    };
    config.register_with_taints.iter().map(taint).collect()
}

/// How many pods there is room for.
pub(super) fn pod_room(config: &KubeletConfiguration) -> PodRoom {
    PodRoom {
        max_pods: u32::try_from(config.max_pods).unwrap_or(0),
        per_core: u32::try_from(config.pods_per_core).unwrap_or(0),
        ephemeral_storage: config.local_storage_capacity_isolation,
    }
}

/// How pod cgroups are limited.
pub(super) fn pod_cgroup(config: &KubeletConfiguration, machine: &Machine) -> cgroup::PodCgroupConfig {
    cgroup::PodCgroupConfig {
        cpu_cfs_quota: config.cpu_cfs_quota,
        cpu_cfs_period: u64::try_from(config.cpu_cfs_quota_period.get().as_micros()).unwrap_or(100_000),
        pids_limit: u64::try_from(config.pod_pids_limit).ok(),
        page_sizes: machine.page_sizes().collect(),
    }
}

/// What the file of `resolvConf` says; `None` when that setting is empty.
pub(super) fn resolv_conf(path: &Path) -> anyhow::Result<Option<ResolvConf>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("cannot read resolvConf {}: set resolvConf to a file, or to \"\" for none", path.display())
    })?;
    Ok(Some(ResolvConf::parse(&text)))
}

/// How many images may be pulled at once; `None`: any number.
pub(super) fn parallel_pulls(config: &KubeletConfiguration) -> Option<usize> {
    if config.serialize_image_pulls {
        return Some(1);
    }
    config.max_parallel_image_pulls.and_then(|n| usize::try_from(n).ok())
}

/// How long crash back-off is (KEP-4603).
pub(super) fn crash_delays(loaded: &Loaded) -> CrashDelays {
    let usual = if loaded.gates.enabled(Gate::ReduceDefaultCrashLoopBackOffDecay) {
        CrashDelays { initial: Duration::from_secs(1), max: Duration::from_secs(60) }
    } else {
        CrashDelays::default()
    };
    let longest = loaded.config.crash_loop_back_off.max_container_restart_period;
    let max = longest.map_or(usual.max, config::Duration::get);
    CrashDelays { initial: usual.initial.min(max), max }
}

/// What feature gates say about manifests.
pub(super) fn manifest_rules(gates: &Gates) -> source::Rules {
    let features = [
        (Gate::ContainerRestartRules, Feature::ContainerRestartRules),
        (Gate::ContainerStopSignals, Feature::ContainerStopSignals),
        (Gate::EnvFiles, Feature::EnvFiles),
        (Gate::HostnameOverride, Feature::HostnameOverride),
        (Gate::PodLevelResources, Feature::PodLevelResources),
        (Gate::RestartAllContainersOnContainerExits, Feature::RestartAllContainersOnContainerExits),
    ];
    let off = features.into_iter().filter(|(gate, _)| !gates.enabled(*gate));
    source::Rules {
        off: off.map(|(_, feature)| feature).collect(),
        api_references: !gates.enabled(Gate::PreventStaticPodAPIReferences),
    }
}

/// How the runtime is watched. Events are berth's own way, whatever Kubernetes' default is: only who turns them off by
/// name does without.
pub(super) fn pleg_options(gates: &Gates) -> pleg::Options {
    pleg::Options { events: gates.named(Gate::EventedPLEG) != Some(false), ..pleg::Options::default() }
}

/// How many dead containers are kept. A negative number of them is any number.
pub(super) fn dead_containers(flags: &Flags) -> DeadContainers {
    DeadContainers {
        min_age: flags.minimum_container_ttl_duration.get(),
        per_container: usize::try_from(flags.maximum_dead_containers_per_container).ok(),
        in_all: usize::try_from(flags.maximum_dead_containers).ok(),
    }
}

/// Which images a pod has to be let use; `None`: all may use all (`KubeletEnsureSecretPulledImages` is off).
pub(super) fn verification(config: &KubeletConfiguration) -> Option<Verification> {
    Some(match &config.image_pull_credentials_verification_policy {
        PullVerification::Unset => return None,
        PullVerification::NeverVerify => Verification::Never,
        // Validation lets no other word pass.
        PullVerification::NeverVerifyPreloadedImages | PullVerification::Other(_) => Verification::Pulled,
        PullVerification::NeverVerifyAllowlistedImages => {
            Verification::Unlisted(config.preloaded_images_verification_allowlist.clone())
        }
        PullVerification::AlwaysVerify => Verification::Always,
    })
}

/// When images are removed.
pub(super) fn image_gc(config: &KubeletConfiguration) -> image::gc::Policy {
    let percent = |percent: i32| u8::try_from(percent).unwrap_or(100);
    image::gc::Policy {
        high_threshold_percent: percent(config.image_gc_high_threshold_percent),
        low_threshold_percent: percent(config.image_gc_low_threshold_percent),
        minimum_age: config.image_minimum_gc_age.get(),
        maximum_age: config.image_maximum_gc_age.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_switch_features() {
        assert_eq!(manifest_rules(&Gates::default()), source::Rules::default());
        assert!(pleg_options(&Gates::default()).events);
        let switched =
            [("EnvFiles", false), ("ContainerStopSignals", true), ("PreventStaticPodAPIReferences", false)];
        let gates = Gates::new(switched.into_iter().chain([("AllAlpha", false)])).unwrap();
        let rules = source::Rules { off: vec![Feature::EnvFiles], api_references: true };
        assert_eq!(manifest_rules(&gates), rules);
        assert!(pleg_options(&gates).events, "AllAlpha does not name it");
        assert!(!pleg_options(&Gates::new([("EventedPLEG", false)]).unwrap()).events);
    }
}
