//! Sums of what a pod's containers ask for (Kubernetes: "Resource Management for Pods and Containers", KEP-753 for
//! sidecars, KEP-2837 for resources of the pod as a whole).

use std::collections::BTreeMap;

use crate::corev1::{Container, ResourceRequirements};
use crate::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use crate::{ContainerKind, Pod, Quantity, pod};

/// Resource name of CPU, in cores.
pub const CPU: &str = "cpu";
/// Resource name of memory, in bytes.
pub const MEMORY: &str = "memory";
/// Resource name of local ephemeral storage, in bytes.
pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
/// Resource name of pods, in pieces.
pub const PODS: &str = "pods";
/// Prefix of the resource names of huge pages; the page size follows, as in `hugepages-2Mi`.
pub const HUGEPAGES_PREFIX: &str = "hugepages-";

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// Which half of `resources` is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// `resources.requests`.
    Requests,
    /// `resources.limits`.
    Limits,
}

fn half_of(resources: Option<&ResourceRequirements>, half: Half) -> Option<&BTreeMap<String, ApiQuantity>> {
    let resources = resources?;
    match half {
        Half::Requests => resources.requests.as_ref(),
        Half::Limits => resources.limits.as_ref(),
    }
}

/// The amount of `name` in one half of `resources`, if it is set. Texts that are no quantity count as not set;
/// validation never lets them through.
#[must_use]
pub fn amount(resources: Option<&ResourceRequirements>, half: Half, name: &str) -> Option<Quantity> {
    Quantity::of(half_of(resources, half)?.get(name)?).ok()
}

/// A container's request of `name`, if set.
#[must_use]
pub fn request(container: &Container, name: &str) -> Option<Quantity> {
    amount(container.resources.as_ref(), Half::Requests, name)
}

/// A container's limit of `name`, if set.
#[must_use]
pub fn limit(container: &Container, name: &str) -> Option<Quantity> {
    amount(container.resources.as_ref(), Half::Limits, name)
}

/// The pod-level amount of `name` (`spec.resources`), if set.
#[must_use]
pub fn pod_level(pod: &Pod, half: Half, name: &str) -> Option<Quantity> {
    amount(pod::spec(pod).resources.as_ref(), half, name)
}

/// Whether the pod has resources of its own as a whole that the scheduler goes by (`cpu`, `memory` or huge pages).
#[must_use]
pub fn has_pod_level(pod: &Pod) -> bool {
    let resources = pod::spec(pod).resources.as_ref();
    [Half::Requests, Half::Limits]
        .into_iter()
        .filter_map(|half| half_of(resources, half))
        .flat_map(BTreeMap::keys)
        .any(|name| is_pod_level(name))
}

fn is_pod_level(name: &str) -> bool {
    name == CPU || name == MEMORY || name.starts_with(HUGEPAGES_PREFIX)
}

/// One container's amounts.
#[must_use]
pub fn of_container(container: &Container, half: Half) -> Amounts {
    to_amounts(half_of(container.resources.as_ref(), half))
}

fn to_amounts(list: Option<&BTreeMap<String, ApiQuantity>>) -> Amounts {
    list.into_iter().flatten().filter_map(|(name, q)| Some((name.clone(), Quantity::of(q).ok()?))).collect()
}

/// Adds `more` to `sum`.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, quantity) in more {
        let entry = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *entry = *entry + *quantity;
    }
}

fn raise(sum: &mut Amounts, floor: &Amounts) {
    for (name, quantity) in floor {
        let entry = sum.entry(name.clone()).or_insert(*quantity);
        *entry = (*entry).max(*quantity);
    }
}

/// What the containers of the pod need at the worst moment: the sum of regular containers and sidecars, or the
/// largest init container together with the sidecars started before it. Without overhead and pod-level amounts.
#[must_use]
pub fn of_containers(pod: &Pod, half: Half) -> Amounts {
    let mut running = Amounts::new();
    for container in pod::regular_containers(pod) {
        add(&mut running, &of_container(container, half));
    }
    let mut sidecars = Amounts::new();
    let mut peak = Amounts::new();
    for container in pod::init_containers(pod) {
        let own = of_container(container, half);
        if ContainerKind::of_init(container) == ContainerKind::Sidecar {
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut together = sidecars.clone();
            add(&mut together, &own);
            raise(&mut peak, &together);
        }
    }
    add(&mut running, &sidecars);
    raise(&mut running, &peak);
    running
}

/// What the whole pod requests: its containers, or its own pod-level requests where given, plus overhead.
#[must_use]
pub fn pod_requests(pod: &Pod) -> Amounts {
    pod_amounts(pod, Half::Requests)
}

/// What the whole pod is limited to: as [`pod_requests`], overhead only added to what has a limit.
#[must_use]
pub fn pod_limits(pod: &Pod) -> Amounts {
    pod_amounts(pod, Half::Limits)
}

fn pod_amounts(pod: &Pod, half: Half) -> Amounts {
    let mut sum = of_containers(pod, half);
    if let Some(own) = half_of(pod::spec(pod).resources.as_ref(), half) {
        for (name, quantity) in to_amounts(Some(own)) {
            if is_pod_level(&name) {
                sum.insert(name, quantity);
            }
        }
    }
    let overhead = to_amounts(pod::spec(pod).overhead.as_ref());
    match half {
        Half::Requests => add(&mut sum, &overhead),
        Half::Limits => {
            for (name, quantity) in overhead {
                if let Some(entry) = sum.get_mut(&name).filter(|entry| !entry.is_zero()) {
                    *entry = *entry + quantity;
                }
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "spec": json})).unwrap()
    }

    fn cpu(amounts: &Amounts) -> i64 {
        amounts.get(CPU).map_or(0, |q| q.milli_value())
    }

    #[test]
    fn init_containers_count_by_their_peak_with_the_sidecars_before_them() {
        let pod = pod(serde_json::json!({
            "initContainers": [
                {"name": "first", "resources": {"requests": {"cpu": "300m"}}},
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "second", "resources": {"requests": {"cpu": "250m"}}},
            ],
            "containers": [{"name": "web", "resources": {"requests": {"cpu": "200m"}}}],
        }));
        assert_eq!(cpu(&pod_requests(&pod)), 350);
    }

    #[test]
    fn pod_level_requests_take_the_place_of_the_sum() {
        let pod = pod(serde_json::json!({
            "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}},
            "overhead": {"cpu": "250m", "memory": "64Mi"},
            "containers": [{"name": "web", "resources": {"requests": {"cpu": "200m"}}}],
        }));
        assert_eq!(cpu(&pod_requests(&pod)), 2250);
        assert_eq!(pod_limits(&pod)[MEMORY].value(), (1024 + 64) << 20);
        assert!(!pod_limits(&pod).contains_key(CPU));
        assert!(has_pod_level(&pod));
    }
}
