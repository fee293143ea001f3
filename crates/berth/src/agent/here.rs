//! This machine as a node: what it has, what of it pods get, and its directories.

use std::path::{Path, PathBuf};

use anyhow::Context;
use cgroup::Version;
use config::{Gate, Loaded, SwapBehavior};
use containerconfig::{NodeFacts, Swap};
use node::Machine;
use task::events::Recorder;
use types::resources::Amounts;
use types::{Event, EventKind, reason};

use super::settings;

/// Where log collectors look for the logs of containers.
pub(super) const CONTAINER_LOGS_DIR: &str = "/var/log/containers";

/// What is known of this machine and its place as a node.
pub(super) struct NodeHere {
    pub(super) machine: Machine,
    pub(super) name: String,
    pub(super) cgroup_version: Version,
    pub(super) swap_is_on: bool,
    pub(super) capacity: Amounts,
    pub(super) allocatable: Amounts,
    /// The limits of all pods together.
    pub(super) together: Amounts,
}

/// Checks that this machine is fit to be a node, and finds out what it has.
pub(super) fn prepare_node(loaded: &Loaded) -> anyhow::Result<NodeHere> {
    let (config, flags) = (&loaded.config, &loaded.flags);
    let cgroup_version = Version::detect(Path::new(cgroup::version::MOUNT_POINT))
        .context("cannot find out the version of cgroups")?;
    let limited_swap = config.memory_swap.swap_behavior == SwapBehavior::LimitedSwap;
    node::start::check_cgroup(cgroup_version, config.fail_cgroup_v1, limited_swap)?;
    let swap_is_on = node::start::check_swap(config.fail_swap_on)?;
    node::start::prepare_process(config.oom_score_adj, u64::try_from(config.max_open_files).unwrap_or(0));
    for deviation in node::kernel::ensure_tunables(config.protect_kernel_defaults)? {
        tracing::warn!(
            name = deviation.name,
            is = deviation.is,
            should_be = deviation.should_be,
            "A kernel setting is not as Kubernetes wants it"
        );
    }
    std::fs::create_dir_all(&flags.root_dir)
        .with_context(|| format!("cannot make --root-dir {}", flags.root_dir.display()))?;
    let machine = Machine::detect(&flags.root_dir)?;
    let overridden = Some(flags.hostname_override.as_str()).filter(|name| !name.is_empty());
    let name = node::node_name(overridden, &machine.hostname)?;
    let capacity = node::resources::capacity(&machine, settings::pod_room(config));
    let reservations = settings::reservations(loaded)?;
    node::resources::check_reservations(&machine, &capacity, &reservations)?;
    let allocatable = node::resources::allocatable(&capacity, &reservations);
    let enforced = config.enforce_node_allocatable.iter().any(|name| name == "pods");
    let together = node::resources::pods_together(&machine, &capacity, &reservations, enforced);
    Ok(NodeHere { machine, name, cgroup_version, swap_is_on, capacity, allocatable, together })
}

/// Makes the directories of the state, and the root one from which containers' mounts come back.
pub(super) fn prepare_directories(loaded: &Loaded) -> anyhow::Result<()> {
    let root = &loaded.flags.root_dir;
    let made = [root.clone(), volume::paths::pods_dir(root)].into_iter().map(|dir| (dir, 0o750));
    let logs = [loaded.config.pod_logs_dir.clone(), PathBuf::from(CONTAINER_LOGS_DIR)]
        .into_iter()
        .map(|dir| (dir, 0o755));
    for (dir, mode) in made.chain(logs) {
        linux::fs::create_dir_all(&dir, mode)?;
    }
    linux::mount::make_rshared(root)
        .with_context(|| format!("--root-dir {} cannot be shared with containers", root.display()))?;
    Ok(())
}

pub(super) fn tell_node_events(recorder: &Recorder, here: &NodeHere) {
    recorder.record(Event::node(EventKind::Normal, reason::event::STARTING, "Starting kubelet."));
    if here.cgroup_version == Version::V1 {
        let text = node::start::CGROUP_V1_MESSAGE;
        recorder.record(Event::node(EventKind::Warning, reason::event::CGROUP_V1, text));
    }
    if here.swap_is_on && !linux::mount::has_noswap() {
        let (why, text) =
            (reason::event::POSSIBLE_MEMORY_BACKED_VOLUMES_ON_DISK, node::start::NO_NOSWAP_MESSAGE);
        recorder.record(Event::node(EventKind::Warning, why, text));
    }
}

pub(super) fn node_facts(
    loaded: &Loaded,
    here: &NodeHere,
    host_ips: Vec<std::net::IpAddr>,
) -> anyhow::Result<NodeFacts> {
    let (config, flags) = (&loaded.config, &loaded.flags);
    let cluster_dns = config.cluster_dns.iter().filter_map(|text| match text.parse() {
        Ok(ip) => Some(ip),
        Err(_) => {
            tracing::warn!(server = text, "clusterDNS has an entry that is no IP address; it is passed over");
            None
        }
    });
    let v2 = here.cgroup_version == Version::V2;
    let swap = match (&config.memory_swap.swap_behavior, v2) {
        (SwapBehavior::LimitedSwap, true) => Swap::Limited { capacity: here.machine.swap_bytes },
        (_, true) => Swap::NoSwap,
        (_, false) => Swap::Unaccounted,
    };
    Ok(NodeFacts {
        node_name: here.name.clone(),
        host_ips,
        root_dir: flags.root_dir.clone(),
        pod_logs_dir: config.pod_logs_dir.clone(),
        cluster_domain: config.cluster_domain.clone(),
        cluster_dns: cluster_dns.collect(),
        resolv_conf: settings::resolv_conf(&config.resolv_conf)?,
        allocatable: here.allocatable.clone(),
        capacity: here.capacity.clone(),
        seccomp_default: config.seccomp_default,
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        cgroup_v2: v2,
        cpu_cfs_quota: config.cpu_cfs_quota,
        cpu_cfs_period: config.cpu_cfs_quota_period.get(),
        swap,
        single_process_oom_kill: config.single_process_oom_kill.unwrap_or(!v2),
        hugepage_sizes: here.machine.page_sizes().collect(),
        runtime_handlers: Vec::new(),
    })
}

pub(super) fn admission_node(loaded: &Loaded, here: &NodeHere) -> admit::Node {
    let mut version = here.machine.kernel_version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let kernel = (version.next().unwrap_or(0), version.next().unwrap_or(0));
    let mut labels = loaded.flags.node_labels.clone();
    labels.insert("kubernetes.io/hostname".to_owned(), here.name.clone());
    labels.insert("kubernetes.io/os".to_owned(), "linux".to_owned());
    labels.insert("kubernetes.io/arch".to_owned(), arch().to_owned());
    admit::Node {
        name: here.name.clone(),
        labels,
        taints: settings::taints(&loaded.config),
        allocatable: here.allocatable.clone(),
        kernel,
        pod_level_resources: loaded.gates.enabled(Gate::PodLevelResources),
        allowed_unsafe_sysctls: loaded.config.allowed_unsafe_sysctls.clone(),
        apparmor: std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|text| text.starts_with('Y')),
        ..admit::Node::default()
    }
}

/// The architecture as Kubernetes calls it.
pub(super) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
