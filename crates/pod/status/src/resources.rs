//! `status.containerStatuses[].resources` (KEP-1287): what is in force, which is what the spec asks for unless the
//! runtime says otherwise.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use types::observed::ObservedResources;
use types::resources::{CPU, MEMORY};
use types::{Container, ObservedContainer, Quantity};

/// The resources in force for `instance` of `container`. Amounts keep the spec's wording as long as they agree with
/// it: the kernel's units are coarser.
pub(crate) fn in_force(container: &Container, instance: &ObservedContainer) -> ResourceRequirements {
    let mut resources = container.resources.clone().unwrap_or_default();
    resources.claims = None;
    let Some(actual) = instance.resources.filter(|_| instance.state.is_running()) else { return resources };
    correct(resources.requests.as_mut(), CPU, |spec| cpu_request(spec, &actual));
    correct(resources.limits.as_mut(), CPU, |spec| cpu_limit(spec, &actual));
    correct(resources.limits.as_mut(), MEMORY, |spec| memory_limit(spec, &actual));
    resources
}

fn correct(
    amounts: Option<&mut BTreeMap<String, ApiQuantity>>,
    name: &str,
    actual: impl Fn(Quantity) -> Option<Quantity>,
) {
    let Some(entry) = amounts.and_then(|amounts| amounts.get_mut(name)) else { return };
    if let Some(actual) = Quantity::of(entry).ok().and_then(actual) {
        *entry = actual.to_api();
    }
}

fn cpu_request(spec: Quantity, actual: &ObservedResources) -> Option<Quantity> {
    const SHARES_PER_CORE: i64 = 1024;
    let shares = (spec.milli_value().saturating_mul(SHARES_PER_CORE) / 1000).clamp(2, 262_144);
    let differs = actual.cpu_shares > 0 && actual.cpu_shares != shares;
    differs.then(|| Quantity::milli(actual.cpu_shares.saturating_mul(1000) / SHARES_PER_CORE))
}

fn cpu_limit(spec: Quantity, actual: &ObservedResources) -> Option<Quantity> {
    const MIN_QUOTA: i64 = 1000;
    if actual.cpu_quota <= 0 || actual.cpu_period <= 0 {
        return None;
    }
    let quota = (spec.milli_value().saturating_mul(actual.cpu_period) / 1000).max(MIN_QUOTA);
    let differs = actual.cpu_quota != quota;
    differs.then(|| Quantity::milli(actual.cpu_quota.saturating_mul(1000) / actual.cpu_period))
}

fn memory_limit(spec: Quantity, actual: &ObservedResources) -> Option<Quantity> {
    (actual.memory_limit > 0 && actual.memory_limit != spec.value())
        .then(|| Quantity::bytes(actual.memory_limit))
}
