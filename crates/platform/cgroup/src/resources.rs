//! What pods, QoS classes and all pods together may use, in the terms of their cgroups. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::resources::{self, Amounts, CPU, HUGEPAGES_PREFIX, MEMORY};
use types::{Container, Pod, QosClass, Quantity, pod};

use crate::{Cap, CpuQuota, Limits, cpu};

/// Resource name of processes and threads in reservations (`kubeReserved`, `systemReserved`).
pub const PID: &str = "pid";

/// What of the node's configuration goes into the limits of a pod's cgroup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodCgroupConfig {
    /// Whether CPU limits are enforced (`cpuCFSQuota`).
    pub cpu_cfs_quota: bool,
    /// The CFS period in µs (`cpuCFSQuotaPeriod`).
    pub cpu_cfs_period: u64,
    /// The most processes in one pod (`podPidsLimit`); `None` for no limit.
    pub pids_limit: Option<u64>,
    /// Sizes of huge pages that the node has, in bytes.
    pub page_sizes: Vec<u64>,
}

impl Default for PodCgroupConfig {
    fn default() -> Self {
        Self {
            cpu_cfs_quota: true,
            cpu_cfs_period: cpu::DEFAULT_PERIOD,
            pids_limit: None,
            page_sizes: Vec::new(),
        }
    }
}

/// Limits of the pod's own cgroup. CPU time and memory are bounded only if every container has a limit, or the pod as a
/// whole does: a container without one may use what the node has.
#[must_use]
pub fn pod_limits(pod: &Pod, config: &PodCgroupConfig) -> Limits {
    let (requests, limits) = (resources::pod_requests(pod), resources::pod_limits(pod));
    let pids = config.pids_limit.map(Cap::At);
    let hugetlb = hugetlb(&requests, &config.page_sizes);
    if QosClass::of(pod) == QosClass::BestEffort {
        return Limits { cpu_shares: Some(cpu::MIN_SHARES), pids, hugetlb, ..Limits::default() };
    }
    let bounded = |name: &str| limits.get(name).filter(|_| is_bounded(pod, name));
    let quota = bounded(CPU).and_then(|limit| cpu::quota(limit.milli_value(), config.cpu_cfs_period));
    let cpu_quota = bounded(CPU).map(|_| CpuQuota {
        quota: quota.filter(|_| config.cpu_cfs_quota).map_or(Cap::Unlimited, Cap::At),
        period: config.cpu_cfs_period,
    });
    Limits {
        cpu_shares: Some(cpu::shares(milli(&requests))),
        cpu_quota,
        memory: bounded(MEMORY).and_then(|limit| positive(*limit)),
        pids,
        hugetlb,
        unified: BTreeMap::new(),
    }
}

/// Limits of the cgroup of all pods, from what pods may use together: capacity minus reservations (but not minus
/// eviction thresholds) when `enforceNodeAllocatable` has `pods`, otherwise the whole capacity.
#[must_use]
pub fn kubepods_limits(amounts: &Amounts, page_sizes: &[u64]) -> Limits {
    Limits {
        cpu_shares: amounts.get(CPU).map(|cpu| cpu::shares(cpu.milli_value())),
        memory: amounts.get(MEMORY).and_then(|memory| positive(*memory)),
        pids: amounts.get(PID).and_then(|pids| positive(*pids)),
        hugetlb: hugetlb(amounts, page_sizes),
        ..Limits::default()
    }
}

/// Limits of the cgroup of `class`, from all pods that run. Guaranteed pods have none of their own: they are right in
/// the cgroup of all pods.
#[must_use]
pub fn qos_limits(class: QosClass, pods: &[Arc<Pod>], page_sizes: &[u64]) -> Limits {
    let cpu_shares = match class {
        QosClass::Guaranteed => return Limits::default(),
        QosClass::BestEffort => cpu::MIN_SHARES,
        QosClass::Burstable => {
            let burstable = pods.iter().filter(|pod| QosClass::of(pod) == QosClass::Burstable);
            cpu::shares(
                burstable.map(|pod| milli(&resources::pod_requests(pod))).fold(0, i64::saturating_add),
            )
        }
    };
    let hugetlb = page_sizes.iter().map(|size| (*size, Cap::Unlimited)).collect();
    Limits { cpu_shares: Some(cpu_shares), hugetlb, ..Limits::default() }
}

/// Limits of the cgroup of a reservation (`kubeReservedCgroup`, `systemReservedCgroup`). Of a `-compressible`
/// enforcement only the CPU counts.
#[must_use]
pub fn reserved_limits(reserved: &Amounts, compressible_only: bool) -> Limits {
    let all = kubepods_limits(reserved, &[]);
    if compressible_only { Limits { cpu_shares: all.cpu_shares, ..Limits::default() } } else { all }
}

fn milli(amounts: &Amounts) -> i64 {
    amounts.get(CPU).map_or(0, |cpu| cpu.milli_value())
}

fn positive(quantity: Quantity) -> Option<Cap> {
    u64::try_from(quantity.value()).ok().filter(|value| *value > 0).map(Cap::At)
}

/// Whether `name` has a limit for the whole pod, or for each of its containers.
fn is_bounded(pod: &Pod, name: &str) -> bool {
    let set = |quantity: Option<Quantity>| quantity.is_some_and(|quantity| !quantity.is_zero());
    let limited = |container: &Container| set(resources::limit(container, name));
    set(resources::pod_level(pod, resources::Half::Limits, name))
        || (pod::regular_containers(pod).iter().all(limited) && pod::init_containers(pod).iter().all(limited))
}

/// A limit for each page size of the node: what is not asked for must not be used.
fn hugetlb(amounts: &Amounts, page_sizes: &[u64]) -> BTreeMap<u64, Cap> {
    let mut limits: BTreeMap<u64, Cap> = page_sizes.iter().map(|size| (*size, Cap::At(0))).collect();
    for (name, amount) in amounts {
        let size = name.strip_prefix(HUGEPAGES_PREFIX).and_then(|size| size.parse::<Quantity>().ok());
        let Some(size) = size.and_then(|size| u64::try_from(size.value()).ok()) else { continue };
        if let Some(limit) = limits.get_mut(&size) {
            *limit = Cap::At(u64::try_from(amount.value()).unwrap_or(0));
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "uid": "1"}, "spec": spec})).unwrap()
    }

    fn container(resources: serde_json::Value) -> Pod {
        pod(json!({"containers": [{"name": "a", "resources": resources}]}))
    }

    fn config() -> PodCgroupConfig {
        PodCgroupConfig { pids_limit: Some(1000), page_sizes: vec![2 << 20, 1 << 30], ..Default::default() }
    }

    #[test]
    fn guaranteed_pods_are_bounded() {
        let pod = container(json!({"limits": {"cpu": "500m", "memory": "64Mi", "hugepages-2Mi": "4Mi"},
                                   "requests": {"cpu": "500m", "memory": "64Mi", "hugepages-2Mi": "4Mi"}}));
        let limits = pod_limits(&pod, &config());
        assert_eq!(limits.cpu_shares, Some(512));
        assert_eq!(limits.cpu_quota, Some(CpuQuota { quota: Cap::At(50_000), period: 100_000 }));
        assert_eq!(limits.memory, Some(Cap::At(64 << 20)));
        assert_eq!(limits.pids, Some(Cap::At(1000)));
        assert_eq!(limits.hugetlb, BTreeMap::from([(2 << 20, Cap::At(4 << 20)), (1 << 30, Cap::At(0))]));

        let without_quota = PodCgroupConfig { cpu_cfs_quota: false, ..config() };
        assert_eq!(pod_limits(&pod, &without_quota).cpu_quota.unwrap().quota, Cap::Unlimited);
    }

    #[test]
    fn one_container_without_a_limit_leaves_the_pod_unbounded() {
        let limited =
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Mi"}});
        let spec = json!({"containers": [{"name": "a", "resources": limited}, {"name": "b"}]});
        let limits = pod_limits(&pod(spec), &config());
        assert_eq!((limits.cpu_shares, limits.cpu_quota, limits.memory), (Some(102), None, None));

        let spec =
            json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a", "resources": limited}]});
        assert_eq!(pod_limits(&pod(spec), &config()).memory, None);

        let spec = json!({"resources": {"limits": {"memory": "2Gi"}},
                          "containers": [{"name": "a", "resources": limited}, {"name": "b"}]});
        assert_eq!(pod_limits(&pod(spec), &config()).memory, Some(Cap::At(2 << 30)));
    }

    #[test]
    fn best_effort_pods_get_the_least_weight() {
        let limits = pod_limits(&container(json!({})), &PodCgroupConfig::default());
        assert_eq!(limits, Limits { cpu_shares: Some(2), ..Limits::default() });
    }

    #[test]
    fn qos_classes() {
        let burstable = |cpu: &str| Arc::new(container(json!({"requests": {"cpu": cpu}})));
        let guaranteed = container(json!({"limits": {"cpu": "4", "memory": "1Gi"}}));
        let pods =
            [burstable("250m"), burstable("750m"), Arc::new(guaranteed), Arc::new(container(json!({})))];
        let limits = qos_limits(QosClass::Burstable, &pods, &[2 << 20]);
        assert_eq!(limits.cpu_shares, Some(1024));
        assert_eq!(limits.hugetlb, BTreeMap::from([(2 << 20, Cap::Unlimited)]));
        assert_eq!(qos_limits(QosClass::Burstable, &[], &[]).cpu_shares, Some(2));
        assert_eq!(qos_limits(QosClass::BestEffort, &pods, &[]).cpu_shares, Some(2));
        assert_eq!(qos_limits(QosClass::Guaranteed, &pods, &[]), Limits::default());
    }

    #[test]
    fn all_pods_together() {
        let amounts = Amounts::from([
            (CPU.to_owned(), Quantity::milli(1500)),
            (MEMORY.to_owned(), Quantity::bytes(1 << 30)),
            (PID.to_owned(), Quantity::whole(4000)),
            ("hugepages-2Mi".to_owned(), Quantity::bytes(8 << 20)),
        ]);
        let limits = kubepods_limits(&amounts, &[2 << 20]);
        assert_eq!((limits.cpu_shares, limits.memory), (Some(1536), Some(Cap::At(1 << 30))));
        assert_eq!((limits.pids, limits.hugetlb[&(2 << 20)]), (Some(Cap::At(4000)), Cap::At(8 << 20)));
        assert_eq!(reserved_limits(&amounts, true), Limits { cpu_shares: Some(1536), ..Limits::default() });
        assert_eq!(reserved_limits(&amounts, false).memory, Some(Cap::At(1 << 30)));
    }
}
