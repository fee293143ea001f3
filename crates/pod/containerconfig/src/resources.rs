//! Resources of containers, in the kernel's terms (Kubernetes: "Resource Management for Pods and Containers").

use cri::v1::{HugepageLimit, LinuxContainerResources};
use types::corev1::Container;
use types::resources::{self, CPU, HUGEPAGES_PREFIX, Half, MEMORY};
use types::{ContainerKind, Pod, QosClass, Quantity, pod};

use crate::{NodeFacts, Swap};

/// The least CPU weight, on the v1 scale.
pub const MIN_SHARES: i64 = 2;
/// The greatest CPU weight, on the v1 scale.
pub const MAX_SHARES: i64 = 262_144;
/// The shortest CFS quota, in µs.
pub const MIN_QUOTA_MICROS: i64 = 1000;

/// `oom_score_adj` of Guaranteed pods, and of pods that the node cannot do without.
pub const OOM_GUARANTEED: i64 = -997;
/// `oom_score_adj` of BestEffort pods.
pub const OOM_BEST_EFFORT: i64 = 1000;
/// The least and the greatest `oom_score_adj` of Burstable pods: never as safe as Guaranteed, and always safer than
/// BestEffort.
const OOM_BURSTABLE: (i64, i64) = (1000 + OOM_GUARANTEED, OOM_BEST_EFFORT - 1);

const NODE_CRITICAL: &str = "system-node-critical";

/// The CPU weight, on the v1 scale, of `milli` thousandths of a core.
#[must_use]
pub fn cpu_shares(milli: i64) -> i64 {
    (milli.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// The CFS quota, in µs per period, of `milli` thousandths of a core; 0 (none) for 0.
#[must_use]
pub fn cpu_quota(milli: i64, period_micros: i64) -> i64 {
    if milli == 0 { 0 } else { (milli.saturating_mul(period_micros) / 1000).max(MIN_QUOTA_MICROS) }
}

/// The resources of `container`. With `exclusive_cpus` it has CPUs to itself, and no quota.
#[must_use]
pub fn container_resources(
    pod: &Pod,
    kind: ContainerKind,
    container: &Container,
    exclusive_cpus: bool,
    facts: &NodeFacts,
) -> LinuxContainerResources {
    let limit =
        |name| resources::limit(container, name).or_else(|| resources::pod_level(pod, Half::Limits, name));
    let amounts = Amounts {
        cpu_request: resources::request(container, CPU),
        cpu_limit: limit(CPU),
        memory_limit: limit(MEMORY),
    };
    let mut linux = amounts.to_linux(facts, exclusive_cpus);
    linux.oom_score_adj = oom_score_adj(pod, kind, container, capacity(facts));
    linux.hugepage_limits = hugepage_limits(container, &facts.hugepage_sizes);
    if facts.cgroup_v2 && !facts.single_process_oom_kill {
        linux.unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    limit_swap(&mut linux, pod, container, facts);
    linux
}

/// The resources of the whole pod and its overhead, as a runtime that runs pods in machines of their own needs them.
#[must_use]
pub fn sandbox_resources(pod: &Pod, facts: &NodeFacts) -> (LinuxContainerResources, LinuxContainerResources) {
    let sums = |half| {
        let sum = resources::of_containers(pod, half);
        move |name: &str| resources::pod_level(pod, half, name).or_else(|| sum.get(name).copied())
    };
    let (requests, limits) = (sums(Half::Requests), sums(Half::Limits));
    let whole = Amounts { cpu_request: requests(CPU), cpu_limit: limits(CPU), memory_limit: limits(MEMORY) };
    let overhead = pod::spec(pod).overhead.as_ref().map(|overhead| {
        let of = |name: &str| overhead.get(name).and_then(|quantity| Quantity::of(quantity).ok());
        let amounts = Amounts { cpu_request: of(CPU), cpu_limit: of(CPU), memory_limit: of(MEMORY) };
        amounts.to_linux(facts, false)
    });
    (whole.to_linux(facts, false), overhead.unwrap_or_default())
}

struct Amounts {
    cpu_request: Option<Quantity>,
    cpu_limit: Option<Quantity>,
    memory_limit: Option<Quantity>,
}

impl Amounts {
    fn to_linux(&self, facts: &NodeFacts, exclusive_cpus: bool) -> LinuxContainerResources {
        let milli = |quantity: Option<Quantity>| quantity.map_or(0, Quantity::milli_value);
        // What is limited and asks for nothing asks for its limit.
        let request = match milli(self.cpu_request) {
            0 => milli(self.cpu_limit),
            request => request,
        };
        let mut linux = LinuxContainerResources {
            cpu_shares: cpu_shares(request),
            memory_limit_in_bytes: self.memory_limit.map_or(0, Quantity::value),
            ..LinuxContainerResources::default()
        };
        if exclusive_cpus {
            linux.cpu_quota = -1;
        } else if facts.cpu_cfs_quota {
            let period = i64::try_from(facts.cpu_cfs_period.as_micros()).unwrap_or(i64::MAX);
            linux.cpu_period = period;
            linux.cpu_quota = cpu_quota(milli(self.cpu_limit), period);
        }
        linux
    }
}

fn capacity(facts: &NodeFacts) -> i64 {
    facts.capacity.get(MEMORY).map_or(0, |quantity| quantity.value())
}

fn memory_request(container: &Container) -> i64 {
    resources::request(container, MEMORY).map_or(0, Quantity::value)
}

/// Whether the node cannot do without the pod.
fn is_node_critical(pod: &Pod) -> bool {
    pod::is_critical(pod) && pod::spec(pod).priority_class_name.as_deref() == Some(NODE_CRITICAL)
}

/// How soon the kernel kills the container when the node is out of memory (Kubernetes: "Node out of memory behavior"):
/// the less of the node's memory (`capacity`, in bytes) it asks for, the sooner.
#[must_use]
pub fn oom_score_adj(pod: &Pod, kind: ContainerKind, container: &Container, capacity: i64) -> i64 {
    if is_node_critical(pod) {
        return OOM_GUARANTEED;
    }
    match QosClass::of(pod) {
        QosClass::Guaranteed => OOM_GUARANTEED,
        QosClass::BestEffort => OOM_BEST_EFFORT,
        QosClass::Burstable => {
            let share = unclaimed_share(pod);
            let score =
                |container: &Container| burstable(memory_request(container).saturating_add(share), capacity);
            // A sidecar outlives the containers that need it.
            let regular = pod::regular_containers(pod).iter().filter(|_| kind == ContainerKind::Sidecar);
            regular.map(score).fold(score(container), i64::min)
        }
    }
}

fn burstable(request: i64, capacity: i64) -> i64 {
    let (least, greatest) = OOM_BURSTABLE;
    if capacity <= 0 {
        return greatest;
    }
    let thousandths = i128::from(request) * 1000 / i128::from(capacity);
    let score = 1000 - thousandths.clamp(0, 1000);
    i64::try_from(score).unwrap_or(greatest).clamp(least, greatest)
}

/// What each container gets of the memory that the pod as a whole asks for and none of its containers claims.
fn unclaimed_share(pod: &Pod) -> i64 {
    let Some(of_pod) = resources::pod_level(pod, Half::Requests, MEMORY) else { return 0 };
    let sidecars =
        pod::init_containers(pod).iter().filter(|c| ContainerKind::of_init(c) == ContainerKind::Sidecar);
    let (mut claimed, mut count) = (0_i64, 0);
    for container in sidecars.chain(pod::regular_containers(pod)) {
        claimed = claimed.saturating_add(memory_request(container));
        count += 1;
    }
    of_pod.value().saturating_sub(claimed).max(0) / count.max(1)
}

/// A limit for each size of huge pages that the node has; 0 for those that the container has none of.
fn hugepage_limits(container: &Container, sizes: &[u64]) -> Vec<HugepageLimit> {
    let limit = |size: &u64| {
        let name = format!("{HUGEPAGES_PREFIX}{}", Quantity::bytes(i64::try_from(*size).unwrap_or(i64::MAX)));
        let limit = resources::limit(container, &name).map_or(0, Quantity::value);
        HugepageLimit { page_size: page_size_name(*size), limit: u64::try_from(limit).unwrap_or(0) }
    };
    sizes.iter().map(limit).collect()
}

/// A size of huge pages as the kernel's cgroup files have it, such as `2MB`.
fn page_size_name(bytes: u64) -> String {
    let units = ["GB", "MB", "KB"].iter().zip([30, 20, 10]);
    let fits =
        units.filter(|(_, shift)| bytes >> shift > 0).find(|(_, shift)| bytes.is_multiple_of(1 << shift));
    fits.map_or_else(|| format!("{bytes}B"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

fn limit_swap(linux: &mut LinuxContainerResources, pod: &Pod, container: &Container, facts: &NodeFacts) {
    let bytes = match facts.swap {
        Swap::Unaccounted => return,
        Swap::NoSwap => 0,
        Swap::Limited { capacity } => swap_share(pod, container, capacity, facts),
    };
    if facts.cgroup_v2 {
        linux.unified.insert("memory.swap.max".to_owned(), bytes.to_string());
    } else {
        // On v1 the limit is that of memory and swap together.
        linux.memory_swap_limit_in_bytes = linux.memory_limit_in_bytes;
    }
}

/// The container's part of the node's swap, as its request is of the node's memory.
fn swap_share(pod: &Pod, container: &Container, swap: u64, facts: &NodeFacts) -> u64 {
    let request = memory_request(container);
    let limit = resources::limit(container, MEMORY).map(Quantity::value);
    let (memory, burstable) = (capacity(facts), QosClass::of(pod) == QosClass::Burstable);
    if !facts.cgroup_v2
        || !burstable
        || pod::is_critical(pod)
        || request <= 0
        || limit == Some(request)
        || memory <= 0
    {
        return 0;
    }
    let share = i128::from(request) * i128::from(swap) / i128::from(memory);
    u64::try_from(share).unwrap_or(swap).min(swap)
}

#[cfg(test)]
mod tests;
