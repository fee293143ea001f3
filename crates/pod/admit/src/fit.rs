//! Whether the node has what the pod asks for.

use types::resources::{Amounts, CPU, EPHEMERAL_STORAGE, HUGEPAGES_PREFIX, MEMORY, PODS, add, pod_requests};
use types::{Pod, Quantity};

use crate::AdmitInput;

/// A resource of which the node has too little left. CPU is in thousandths of a core, all else in whole units.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shortage {
    pub(crate) resource: String,
    pub(crate) requested: i64,
    pub(crate) used: i64,
    pub(crate) capacity: i64,
}

impl Shortage {
    /// How much is wanting.
    pub(crate) fn missing(&self) -> i64 {
        self.requested.saturating_sub(self.capacity.saturating_sub(self.used))
    }
}

/// What the pod does not find here: places for pods first, then CPU, memory, ephemeral storage, then the rest by
/// name.
pub(crate) fn shortages(input: &AdmitInput<'_>) -> Vec<Shortage> {
    let mut used = Amounts::new();
    for pod in input.others() {
        add(&mut used, &requests(pod));
    }
    let wanted = requests(input.pod);
    let first = [PODS, CPU, MEMORY, EPHEMERAL_STORAGE];
    let others = wanted.keys().map(String::as_str).filter(|name| !first.contains(name));
    let allocatable = &input.node.allocatable;
    first
        .into_iter()
        .chain(others)
        .filter(|name| !is_extended(name) || allocatable.contains_key(*name))
        .filter_map(|name| {
            let amount =
                |amounts: &Amounts| in_units(name, amounts.get(name).copied().unwrap_or(Quantity::ZERO));
            let shortage = Shortage {
                resource: name.to_owned(),
                requested: amount(&wanted),
                used: amount(&used),
                capacity: amount(allocatable),
            };
            (shortage.requested > 0 && shortage.missing() > 0).then_some(shortage)
        })
        .collect()
}

/// What a pod takes up: what it requests, and one place for a pod.
pub(crate) fn requests(pod: &Pod) -> Amounts {
    let mut amounts = pod_requests(pod);
    amounts.insert(PODS.to_owned(), Quantity::whole(1));
    amounts
}

/// An amount as a number: CPU in thousandths, all else in whole units.
pub(crate) fn in_units(name: &str, quantity: Quantity) -> i64 {
    if name == CPU { quantity.milli_value() } else { quantity.value() }
}

/// Whether it is a resource that somebody else than Kubernetes defines, such as `example.com/gpu`.
fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && !name.starts_with(HUGEPAGES_PREFIX)
}
