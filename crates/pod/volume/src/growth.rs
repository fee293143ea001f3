//! Whether the file system of a claim's volume has to grow on this node, and what the claim then says of it. Pure
//! (Kubernetes: "Expanding Persistent Volumes Claims"; KEP-1790 for volumes that cannot grow as far as was asked).

use serde_json::{Value, json};
use types::Quantity;
use types::corev1::{PersistentVolume, PersistentVolumeClaim};
use types::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

const STORAGE: &str = "storage";
const PENDING: &str = "NodeResizePending";
const IN_PROGRESS: &str = "NodeResizeInProgress";
const INFEASIBLE: &str = "NodeResizeInfeasible";
/// The condition of a claim whose volume could not grow on its node.
const ERROR: &str = "NodeResizeError";
/// All conditions that tell how far the growing is.
const CONDITIONS: [&str; 4] = ["FileSystemResizePending", "Resizing", "ControllerResizeError", ERROR];
/// The annotation of claims whose volumes grow without their nodes.
const NOT_ON_NODES: &str = "volume.kubernetes.io/node-expansion-not-required";

/// When it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// The volume was just shown to a pod, and no container of that has it yet.
    AtMount,
    /// Containers have it.
    Online,
}

/// What this node knows of the volume since it has it. Nothing after a restart: then the claim is believed.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnNode {
    /// How large it was made, or was found to be.
    pub size: Option<Quantity>,
    /// Whether growing it has failed for good before.
    pub failed: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub enum Decision {
    /// Nothing.
    Rest,
    /// Nothing, for the volume is as large as it is to be.
    IsGrown(Quantity),
    /// It should grow, and the pod only reads it.
    ReadOnly,
    /// The driver has to make it grow.
    Grow(Growing),
}

/// How a volume has to grow.
#[derive(Clone, Copy, Debug)]
pub struct Growing {
    /// To which size at least.
    pub size: Quantity,
    /// Whether the claim has that size already: another node made it grow, and each node has to do its own part.
    pub told: bool,
    /// Whether the claim is told when it begins; older controllers do not know of that.
    pub tells_begin: bool,
    /// Whether a failure means that the volume cannot have this size. Its owner has asked for another one since.
    pub fails_for_good: bool,
}

fn amount(amounts: Option<&std::collections::BTreeMap<String, ApiQuantity>>) -> Option<Quantity> {
    amounts?.get(STORAGE).and_then(|quantity| Quantity::of(quantity).ok())
}

/// How large the claim says that its volume is.
#[must_use]
pub fn size_of(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    amount(claim.status.as_ref().and_then(|status| status.capacity.as_ref()))
}

/// What is to be done with the volume `volume` of `claim`, which a pod has.
#[must_use]
pub fn decide(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
    read_only: bool,
    when: When,
    on_node: OnNode,
) -> Decision {
    let (spec, status) = (claim.spec.as_ref(), claim.status.as_ref());
    let has = size_of(claim);
    let wants = amount(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()));
    let (Some(has), Some(wants)) = (has, wants) else { return Decision::Rest };
    let here = match when {
        When::AtMount => has,
        When::Online => on_node.size.unwrap_or(has),
    };
    if has.is_zero() || wants <= here {
        return Decision::IsGrown(here);
    }
    if read_only {
        return if when == When::AtMount { Decision::ReadOnly } else { Decision::Rest };
    }
    let stage = status.and_then(|status| status.allocated_resource_statuses.as_ref()?.get(STORAGE));
    let allocated = status.and_then(|status| status.allocated_resources.as_ref());
    if stage.is_none() && allocated.is_none() {
        let told = has >= wants;
        return Decision::Grow(Growing { size: wants, told, tells_begin: false, fails_for_good: false });
    }
    // The controller tells how far it has come.
    let Some(size) = amount(allocated) else { return Decision::Rest };
    let asked = amount(spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref()));
    let fails_for_good = on_node.failed && asked != Some(size);
    let told = has >= size && stage.is_none();
    let by_many = spec
        .and_then(|spec| spec.access_modes.as_ref())
        .is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteMany"));
    let not_on_nodes = claim.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(NOT_ON_NODES));
    match stage.map(String::as_str) {
        None if told && by_many && !not_on_nodes => {
            Decision::Grow(Growing { size, told, tells_begin: false, fails_for_good })
        }
        None if told => Decision::IsGrown(size),
        Some(PENDING | IN_PROGRESS) => {
            Decision::Grow(Growing { size, told: false, tells_begin: true, fails_for_good })
        }
        _ => Decision::Rest,
    }
}

/// The patch of the claim's status that says that its volume grows on this node; none if it says so.
#[must_use]
pub fn begun(claim: &PersistentVolumeClaim) -> Option<Value> {
    let stage =
        claim.status.as_ref().and_then(|status| status.allocated_resource_statuses.as_ref()?.get(STORAGE));
    let says = stage.is_some_and(|stage| stage == IN_PROGRESS);
    (!says).then(|| patch(claim, json!({"allocatedResourceStatuses": {STORAGE: IN_PROGRESS}})))
}

/// The patch of the claim's status that says that its volume has the size `size`.
#[must_use]
pub fn grown(claim: &PersistentVolumeClaim, size: Quantity) -> Value {
    let mut status = json!({"capacity": {STORAGE: size.to_string()}});
    let present = claim.status.as_ref();
    if present.is_some_and(|status| status.allocated_resource_statuses.is_some()) {
        status["allocatedResourceStatuses"] = json!({STORAGE: null});
    }
    let conditions = present.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let over: Vec<_> = conditions
        .filter(|condition| CONDITIONS.contains(&&*condition.type_))
        .map(|condition| json!({"$patch": "delete", "type": condition.type_}))
        .collect();
    if !over.is_empty() {
        status["conditions"] = over.into();
    }
    patch(claim, status)
}

/// The patch of the claim's status that says that its volume could not grow on this node, at `now` (RFC 3339), and if it never
/// will, that too; none if it says so.
#[must_use]
pub fn failed(claim: &PersistentVolumeClaim, error: &str, for_good: bool, now: &str) -> Option<Value> {
    let present = claim.status.as_ref();
    let stage = present.and_then(|status| status.allocated_resource_statuses.as_ref()?.get(STORAGE));
    let conditions = present.and_then(|status| status.conditions.as_ref());
    let says_error = conditions.into_iter().flatten().any(|one| one.type_ == ERROR && one.status == "True");
    let mut status = json!({});
    if for_good && stage.is_none_or(|stage| stage != INFEASIBLE) {
        status["allocatedResourceStatuses"] = json!({STORAGE: INFEASIBLE});
    }
    if !says_error {
        let message = format!("failed to expand pvc with {error}");
        status["conditions"] =
            json!([{"type": ERROR, "status": "True", "lastTransitionTime": now, "message": message}]);
    }
    (status != json!({})).then(|| patch(claim, status))
}

/// Only of the claim as it was seen.
fn patch(claim: &PersistentVolumeClaim, status: Value) -> Value {
    json!({"metadata": {"resourceVersion": claim.metadata.resource_version}, "status": status})
}

#[cfg(test)]
mod tests;
