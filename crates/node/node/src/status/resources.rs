//! `status.capacity` and `status.allocatable`.

use std::collections::BTreeMap;

use types::Quantity;
use types::corev1::NodeStatus;
use types::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use types::resources::{Amounts, CPU, EPHEMERAL_STORAGE, HUGEPAGES_PREFIX, MEMORY, PODS};

use crate::facts::Facts;

type Resources = BTreeMap<String, ApiQuantity>;

/// Sets Kubernetes' own resources to what the node has. Others stay: device plugins and administrators advertise those.
/// All there is of them is allocatable, and none of one that is no longer there.
pub(super) fn set(status: &mut NodeStatus, facts: &Facts) {
    let before = status.capacity.take().unwrap_or_default();
    let allocatable_before = status.allocatable.take().unwrap_or_default();
    let others: Resources = before.iter().filter(|(name, _)| !is_own(name)).map(owned).collect();
    let mut capacity = others.clone();
    capacity.extend(own(&facts.capacity, &before));
    let mut allocatable = others;
    allocatable.extend(own(&facts.allocatable, &allocatable_before));
    status.capacity = Some(capacity);
    status.allocatable = Some(allocatable);
}

/// Whether the node agent alone says how much there is of it.
fn is_own(name: &str) -> bool {
    [CPU, MEMORY, PODS, EPHEMERAL_STORAGE].contains(&name) || name.starts_with(HUGEPAGES_PREFIX)
}

/// Whether `name` is an extended resource: one that is not Kubernetes' own (Kubernetes: "Extended resources").
#[must_use]
pub fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// What there is, in the spelling of `before` where that says the same.
fn own(amounts: &Amounts, before: &Resources) -> Resources {
    let spell = |(name, amount): (&String, &Quantity)| {
        let same = before.get(name).filter(|text| Quantity::of(text).is_ok_and(|old| old == *amount));
        (name.clone(), same.cloned().unwrap_or_else(|| amount.to_api()))
    };
    amounts.iter().map(spell).collect()
}

fn owned((name, amount): (&String, &ApiQuantity)) -> (String, ApiQuantity) {
    (name.clone(), amount.clone())
}
