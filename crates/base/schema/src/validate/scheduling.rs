//! What the scheduler reads: tolerations, topology spread, gates and readiness gates, resource claims.

use std::collections::BTreeSet;

use types::corev1::{PodResourceClaim, PodSpec, Toleration, TopologySpreadConstraint};

use super::{affinity, metadata};
use crate::field::{Errors, Path, list};
use crate::names;

pub(super) fn validate(errors: &mut Errors, path: &Path, spec: &PodSpec) {
    metadata::label_map(errors, &path.key("nodeSelector"), spec.node_selector.iter().flatten());
    for (index, found) in list(&spec.tolerations).iter().enumerate() {
        toleration(errors, &path.key("tolerations").index(index), found);
    }
    if let Some(found) = &spec.affinity {
        affinity::validate(errors, &path.key("affinity"), found);
    }
    let mut pairs = BTreeSet::new();
    for (index, constraint) in list(&spec.topology_spread_constraints).iter().enumerate() {
        let path = path.key("topologySpreadConstraints").index(index);
        topology_spread(errors, &path, constraint);
        if !pairs.insert((&constraint.topology_key, &constraint.when_unsatisfiable)) {
            let pair = format!("{{{}, {}}}", constraint.topology_key, constraint.when_unsatisfiable);
            errors.duplicate(&path, &pair);
        }
    }
    for (index, gate) in list(&spec.readiness_gates).iter().enumerate() {
        let path = path.key("readinessGates").index(index).key("conditionType");
        errors.name(&path, &gate.condition_type, names::qualified_name);
    }
    gates(errors, path, spec);
    claims(errors, &path.key("resourceClaims"), list(&spec.resource_claims));
    errors.optional_one_of(
        &path.key("preemptionPolicy"),
        spec.preemption_policy.as_deref(),
        &["Never", "PreemptLowerPriority"],
    );
}

fn gates(errors: &mut Errors, path: &Path, spec: &PodSpec) {
    let gates = list(&spec.scheduling_gates);
    if !gates.is_empty() && spec.node_name.as_deref().is_some_and(|name| !name.is_empty()) {
        errors.forbidden(&path.key("nodeName"), "may not be set until all schedulingGates have been cleared");
    }
    let mut seen = BTreeSet::new();
    for (index, gate) in gates.iter().enumerate() {
        let path = path.key("schedulingGates").index(index).key("name");
        errors.name(&path, &gate.name, names::qualified_name);
        if !seen.insert(&gate.name) {
            errors.duplicate(&path, &gate.name);
        }
    }
}

fn claims(errors: &mut Errors, path: &Path, claims: &[PodResourceClaim]) {
    let mut seen = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        errors.name(&path.key("name"), &claim.name, names::dns_label);
        if !seen.insert(&claim.name) {
            errors.duplicate(&path.key("name"), &claim.name);
        }
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (Some(name), None) => errors.name(&path.key("resourceClaimName"), name, names::dns_subdomain),
            (None, Some(name)) => {
                errors.name(&path.key("resourceClaimTemplateName"), name, names::dns_subdomain);
            }
            (Some(_), Some(_)) => {
                errors.invalid(
                    &path,
                    "",
                    "may not have both resourceClaimName and resourceClaimTemplateName",
                );
            }
            (None, None) => {
                errors.required(&path, "must specify one of resourceClaimName and resourceClaimTemplateName");
            }
        }
    }
}

fn toleration(errors: &mut Errors, path: &Path, toleration: &Toleration) {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (key, operator, value) = (text(&toleration.key), text(&toleration.operator), text(&toleration.value));
    let effect = text(&toleration.effect);
    if !key.is_empty() {
        errors.rule(&path.key("key"), &key, names::qualified_name);
    } else if operator != "Exists" {
        errors.invalid(
            &path.key("operator"),
            &operator,
            "must be Exists when key is empty, which means all keys",
        );
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        errors.invalid(&path.key("effect"), &effect, "must be NoExecute when tolerationSeconds is set");
    }
    match operator.as_str() {
        "" | "Equal" => errors.rule(&path.key("value"), &value, names::label_value),
        "Exists" if !value.is_empty() => {
            errors.invalid(&path.key("value"), &value, "must be empty when operator is Exists");
        }
        "Gt" | "Lt" if value.parse::<i64>().is_err() => {
            errors.invalid(&path.key("value"), &value, "must be an integer when operator is Lt or Gt");
        }
        "Exists" | "Gt" | "Lt" => {}
        _ => errors.unsupported(&path.key("operator"), &operator, &["Equal", "Exists", "Gt", "Lt"]),
    }
    errors.optional_one_of(
        &path.key("effect"),
        Some(effect.as_str()).filter(|effect| !effect.is_empty()),
        &["NoExecute", "NoSchedule", "PreferNoSchedule"],
    );
}

fn topology_spread(errors: &mut Errors, path: &Path, constraint: &TopologySpreadConstraint) {
    if constraint.max_skew <= 0 {
        errors.invalid(&path.key("maxSkew"), &constraint.max_skew, "must be greater than zero");
    }
    errors.name(&path.key("topologyKey"), &constraint.topology_key, names::qualified_name);
    errors.one_of(
        &path.key("whenUnsatisfiable"),
        Some(&constraint.when_unsatisfiable),
        &["DoNotSchedule", "ScheduleAnyway"],
    );
    if let Some(domains) = constraint.min_domains {
        let path = path.key("minDomains");
        if domains <= 0 {
            errors.invalid(&path, &domains, "must be greater than zero");
        }
        if constraint.when_unsatisfiable != "DoNotSchedule" {
            errors.invalid(&path, &domains, "may only be set when whenUnsatisfiable is DoNotSchedule");
        }
    }
    for (field, policy) in [
        ("nodeAffinityPolicy", &constraint.node_affinity_policy),
        ("nodeTaintsPolicy", &constraint.node_taints_policy),
    ] {
        errors.optional_one_of(&path.key(field), policy.as_deref(), &["Honor", "Ignore"]);
    }
    affinity::label_keys(errors, &path.key("matchLabelKeys"), list(&constraint.match_label_keys));
    affinity::label_selector(errors, &path.key("labelSelector"), constraint.label_selector.as_ref());
}
