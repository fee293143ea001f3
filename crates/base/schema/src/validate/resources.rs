//! `resources` of containers and of the pod as a whole, `overhead`, `resizePolicy`.

use std::collections::{BTreeMap, BTreeSet};

use types::corev1::{Container, PodResourceClaim, PodSpec, ResourceRequirements};
use types::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use types::resources::{CPU, EPHEMERAL_STORAGE, HUGEPAGES_PREFIX, MEMORY};
use types::{Pod, Quantity, resources};

use crate::field::{Errors, Path, list};
use crate::names;

type ResourceList = BTreeMap<String, ApiQuantity>;

/// Whose resources are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Container,
    Pod,
}

fn is_huge(name: &str) -> bool {
    name.starts_with(HUGEPAGES_PREFIX)
}

/// Resources that are given whole or not at all: huge pages, and whatever has a domain in its name.
fn is_overcommitable(name: &str) -> bool {
    !is_huge(name) && !name.contains('/')
}

pub(super) fn container(errors: &mut Errors, path: &Path, container: &Container, spec: &PodSpec) {
    let Some(own) = &container.resources else { return };
    let path = path.key("resources");
    let huge_base = requirements(errors, &path, own, Owner::Container);
    if !huge_base && spec.resources.is_none() {
        errors.forbidden(&path, "huge pages require cpu or memory");
    }
    claims(errors, &path.key("claims"), own, list(&spec.resource_claims));
    if let Some(pod) = &spec.resources {
        below_pod_limits(errors, &path.key("limits"), own.limits.as_ref(), pod.limits.as_ref());
    }
}

/// The pod's own resources (KEP-2837): those of its containers have to fit in.
pub(super) fn pod_level(errors: &mut Errors, path: &Path, spec: &PodSpec) {
    let Some(own) = &spec.resources else { return };
    if !requirements(errors, path, own, Owner::Pod) {
        errors.forbidden(path, "huge pages require cpu or memory");
    }
    if !list(&own.claims).is_empty() {
        errors.forbidden(&path.key("claims"), "claims are for containers, not for the pod as a whole");
    }
    // The sums need a whole pod; its own resources do not count among its containers'.
    let pod = Pod { spec: Some(spec.clone()), ..Pod::default() };
    let sums = resources::of_containers(&pod, resources::Half::Requests);
    for (name, request) in own.requests.iter().flatten() {
        let (Ok(request_amount), Some(sum)) = (Quantity::of(request), sums.get(name)) else { continue };
        if request_amount < *sum {
            errors.invalid(
                &path.key("requests").entry(name),
                &request.0,
                format!("must be at least what the containers request together, {sum}"),
            );
        }
    }
}

/// Each amount by itself, and requests against limits. Whether huge pages, if any, come with cpu or memory.
fn requirements(errors: &mut Errors, path: &Path, own: &ResourceRequirements, owner: Owner) -> bool {
    let empty = ResourceList::new();
    let limits = own.limits.as_ref().unwrap_or(&empty);
    let requests = own.requests.as_ref().unwrap_or(&empty);
    for (field, amounts) in [("limits", limits), ("requests", requests)] {
        for (name, quantity) in amounts {
            let path = path.key(field).entry(name);
            resource_name(errors, &path, name, owner);
            amount(errors, &path, name, quantity);
        }
    }
    for (name, request) in requests {
        let Ok(wanted) = Quantity::of(request) else { continue };
        let at = path.key("requests").entry(name);
        match limits.get(name).map(Quantity::of) {
            Some(Ok(limit)) if !is_overcommitable(name) && wanted != limit => {
                errors.invalid(&at, &request.0, format!("must be equal to the limit of {name}, {limit}"));
            }
            Some(Ok(limit)) if wanted > limit => {
                errors.invalid(
                    &at,
                    &request.0,
                    format!("must be less than or equal to the limit of {name}, {limit}"),
                );
            }
            None if !is_overcommitable(name) => {
                errors.required(
                    &path.key("limits").entry(name),
                    "a resource that cannot be overcommitted needs a limit",
                );
            }
            _ => {}
        }
    }
    let any = |test: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| test(name));
    !any(is_huge) || any(|name| name == CPU || name == MEMORY)
}

fn resource_name(errors: &mut Errors, path: &Path, name: &str, owner: Owner) {
    if let Err(detail) = names::qualified_name(name) {
        errors.invalid(path, name, detail);
        return;
    }
    let native = name == CPU || name == MEMORY || is_huge(name);
    match owner {
        Owner::Pod if !native => {
            errors.unsupported(path, name, &[CPU, "hugepages-<size>", MEMORY]);
        }
        Owner::Container if !native && name != EPHEMERAL_STORAGE && !name.contains('/') => {
            errors.invalid(
                path,
                name,
                "must be cpu, memory, ephemeral-storage, hugepages-<size>, or have a domain before '/'",
            );
        }
        _ => {}
    }
}

fn amount(errors: &mut Errors, path: &Path, name: &str, quantity: &ApiQuantity) {
    let parsed = match Quantity::of(quantity) {
        Ok(parsed) => parsed,
        Err(error) => return errors.invalid(path, &quantity.0, error.to_string()),
    };
    if parsed.is_negative() {
        errors.invalid(path, &quantity.0, "must be greater than or equal to 0");
    }
    if name.contains('/') && parsed.nanos() % 1_000_000_000 != 0 {
        errors.invalid(path, &quantity.0, "must be an integer");
    }
    if let Some(size) = name.strip_prefix(HUGEPAGES_PREFIX) {
        match size.parse::<Quantity>() {
            Ok(size) if size > Quantity::ZERO => {
                if parsed.nanos().checked_rem(size.nanos()) != Some(0) {
                    errors.invalid(path, &quantity.0, "must be a multiple of the page size");
                }
            }
            _ => errors.invalid(path, name, "must have a page size after hugepages-, such as 2Mi"),
        }
    }
}

fn below_pod_limits(
    errors: &mut Errors,
    path: &Path,
    own: Option<&ResourceList>,
    pod: Option<&ResourceList>,
) {
    for (name, limit) in own.into_iter().flatten() {
        let Some(Ok(whole)) = pod.and_then(|pod| pod.get(name)).map(Quantity::of) else { continue };
        if Quantity::of(limit).is_ok_and(|limit| limit > whole) {
            let detail = format!("must be less than or equal to the pod's limit of {name}, {whole}");
            errors.invalid(&path.entry(name), &limit.0, detail);
        }
    }
}

fn claims(errors: &mut Errors, path: &Path, own: &ResourceRequirements, known: &[PodResourceClaim]) {
    let mut seen = BTreeSet::new();
    for (index, claim) in list(&own.claims).iter().enumerate() {
        let path = path.index(index);
        let request = claim.request.as_deref().unwrap_or_default();
        if claim.name.is_empty() {
            errors.required(&path.key("name"), "");
        } else if !known.iter().any(|known| known.name == claim.name) {
            errors.not_found(&path.key("name"), &claim.name);
        }
        if !request.is_empty() {
            errors.rule(&path.key("request"), request, names::dns_label);
        }
        // A claim as a whole covers each of its requests.
        let covered = seen.contains(&(claim.name.as_str(), ""))
            || request.is_empty() && seen.iter().any(|(name, _)| *name == claim.name);
        if covered || !seen.insert((claim.name.as_str(), request)) {
            let what =
                if request.is_empty() { claim.name.clone() } else { format!("{}/{request}", claim.name) };
            errors.duplicate(&path, &what);
        }
    }
}

pub(super) fn overhead(errors: &mut Errors, path: &Path, overhead: &ResourceList) {
    for (name, quantity) in overhead {
        let path = path.entry(name);
        resource_name(errors, &path, name, Owner::Container);
        amount(errors, &path, name, quantity);
    }
}

/// What happens to a container whose resources change in place (KEP-1287).
pub(super) fn resize_policy(
    errors: &mut Errors,
    path: &Path,
    container: &Container,
    pod_policy: Option<&str>,
) {
    let mut seen = BTreeSet::new();
    for (index, policy) in list(&container.resize_policy).iter().enumerate() {
        let path = path.key("resizePolicy").index(index);
        errors.one_of(&path.key("resourceName"), Some(&policy.resource_name), &[CPU, MEMORY]);
        errors.one_of(
            &path.key("restartPolicy"),
            Some(&policy.restart_policy),
            &["NotRequired", "RestartContainer"],
        );
        if !seen.insert(policy.resource_name.as_str()) {
            errors.duplicate(&path.key("resourceName"), &policy.resource_name);
        }
        let restarts = policy.restart_policy == "RestartContainer";
        if restarts && pod_policy == Some("Never") && container.restart_policy.as_deref() != Some("Always") {
            errors.invalid(
                &path.key("restartPolicy"),
                &policy.restart_policy,
                "must be NotRequired in a pod whose restartPolicy is Never",
            );
        }
    }
}
