//! `affinity`, and the selectors it is made of.

use types::corev1::{
    Affinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, WeightedPodAffinityTerm,
};
use types::k8s::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::metadata;
use crate::field::{Errors, Path, list};
use crate::names;

const WEIGHTS: std::ops::RangeInclusive<i64> = 1..=100;
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn validate(errors: &mut Errors, path: &Path, affinity: &Affinity) {
    if let Some(node) = &affinity.node_affinity {
        let path = path.key("nodeAffinity");
        if let Some(selector) = &node.required_during_scheduling_ignored_during_execution {
            let path = path.key(REQUIRED).key("nodeSelectorTerms");
            if selector.node_selector_terms.is_empty() {
                errors.required(&path, "must have at least one node selector term");
            }
            for (index, term) in selector.node_selector_terms.iter().enumerate() {
                node_term(errors, &path.index(index), term);
            }
        }
        let preferred = list(&node.preferred_during_scheduling_ignored_during_execution);
        for (index, term) in preferred.iter().enumerate() {
            let path = path.key(PREFERRED).index(index);
            errors.in_range(&path.key("weight"), term.weight.into(), WEIGHTS);
            node_term(errors, &path.key("preference"), &term.preference);
        }
    }
    if let Some(pods) = &affinity.pod_affinity {
        let required = list(&pods.required_during_scheduling_ignored_during_execution);
        let preferred = list(&pods.preferred_during_scheduling_ignored_during_execution);
        pod_terms(errors, &path.key("podAffinity"), required, preferred);
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let required = list(&pods.required_during_scheduling_ignored_during_execution);
        let preferred = list(&pods.preferred_during_scheduling_ignored_during_execution);
        pod_terms(errors, &path.key("podAntiAffinity"), required, preferred);
    }
}

fn node_term(errors: &mut Errors, path: &Path, term: &NodeSelectorTerm) {
    for (index, requirement) in list(&term.match_expressions).iter().enumerate() {
        let path = path.key("matchExpressions").index(index);
        node_requirement(errors, &path, requirement);
        errors.rule(&path.key("key"), &requirement.key, names::qualified_name);
    }
    for (index, requirement) in list(&term.match_fields).iter().enumerate() {
        let path = path.key("matchFields").index(index);
        errors.one_of(&path.key("key"), Some(&requirement.key), &["metadata.name"]);
        errors.one_of(&path.key("operator"), Some(&requirement.operator), &["In", "NotIn"]);
        if list(&requirement.values).len() != 1 {
            errors.required(&path.key("values"), "must have exactly one value for a field");
        }
    }
}

fn node_requirement(errors: &mut Errors, path: &Path, requirement: &NodeSelectorRequirement) {
    let values = list(&requirement.values);
    let path_values = path.key("values");
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(&path_values, "must be set when operator is In or NotIn");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.forbidden(&path_values, "may not be set when operator is Exists or DoesNotExist");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.required(&path_values, "must have exactly one value when operator is Lt or Gt");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.one_of(
            &path.key("operator"),
            Some(other),
            &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"],
        ),
    }
}

fn pod_terms(
    errors: &mut Errors,
    path: &Path,
    required: &[PodAffinityTerm],
    preferred: &[WeightedPodAffinityTerm],
) {
    for (index, term) in required.iter().enumerate() {
        pod_term(errors, &path.key(REQUIRED).index(index), term);
    }
    for (index, term) in preferred.iter().enumerate() {
        let path = path.key(PREFERRED).index(index);
        errors.in_range(&path.key("weight"), term.weight.into(), WEIGHTS);
        pod_term(errors, &path.key("podAffinityTerm"), &term.pod_affinity_term);
    }
}

fn pod_term(errors: &mut Errors, path: &Path, term: &PodAffinityTerm) {
    errors.name(&path.key("topologyKey"), &term.topology_key, names::qualified_name);
    label_selector(errors, &path.key("labelSelector"), term.label_selector.as_ref());
    label_selector(errors, &path.key("namespaceSelector"), term.namespace_selector.as_ref());
    for (index, namespace) in list(&term.namespaces).iter().enumerate() {
        errors.rule(&path.key("namespaces").index(index), namespace, names::dns_label);
    }
    label_keys(errors, &path.key("matchLabelKeys"), list(&term.match_label_keys));
    label_keys(errors, &path.key("mismatchLabelKeys"), list(&term.mismatch_label_keys));
    let both =
        list(&term.match_label_keys).iter().filter(|key| list(&term.mismatch_label_keys).contains(key));
    for key in both {
        errors.invalid(&path.key("mismatchLabelKeys"), key, "is in matchLabelKeys too");
    }
}

pub(super) fn label_keys(errors: &mut Errors, path: &Path, keys: &[String]) {
    for (index, key) in keys.iter().enumerate() {
        errors.rule(&path.index(index), key, names::qualified_name);
    }
}

pub(super) fn label_selector(errors: &mut Errors, path: &Path, selector: Option<&LabelSelector>) {
    let Some(selector) = selector else { return };
    metadata::label_map(errors, &path.key("matchLabels"), selector.match_labels.iter().flatten());
    for (index, requirement) in list(&selector.match_expressions).iter().enumerate() {
        let path = path.key("matchExpressions").index(index);
        errors.rule(&path.key("key"), &requirement.key, names::qualified_name);
        let values = list(&requirement.values);
        match requirement.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&path.key("values"), "must be set when operator is In or NotIn");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors
                    .forbidden(&path.key("values"), "may not be set when operator is Exists or DoesNotExist");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let known = ["In", "NotIn", "Exists", "DoesNotExist"];
                errors.one_of(&path.key("operator"), Some(other), &known);
            }
        }
        for (index, value) in values.iter().enumerate() {
            errors.rule(&path.key("values").index(index), value, names::label_value);
        }
    }
}
