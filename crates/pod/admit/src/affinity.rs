//! Node name, node selector and required node affinity (Kubernetes: "Assigning Pods to Nodes").

use types::corev1::{NodeSelectorRequirement, NodeSelectorTerm};
use types::pod;

use crate::{AdmitInput, Node, Reject};

pub(crate) fn check(input: &AdmitInput<'_>) -> Result<(), Reject> {
    let spec = pod::spec(input.pod);
    let node = input.node;
    if let Some(name) = spec.node_name.as_deref().filter(|name| !name.is_empty() && *name != node.name) {
        let why = format!("the pod is meant for node {name:?}, and this is {:?}", node.name);
        return Err(Reject::predicate("NodeName", why));
    }
    for (key, value) in spec.node_selector.iter().flatten() {
        if node.labels.get(key) != Some(value) {
            let why = format!("the node has no label {key}={value}, which the pod's nodeSelector asks for");
            return Err(Reject::predicate("NodeAffinity", why));
        }
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    if required.is_some_and(|required| !required.node_selector_terms.iter().any(|term| matches(term, node))) {
        let why = "no term of the pod's required node affinity matches the node's labels";
        return Err(Reject::predicate("NodeAffinity", why));
    }
    Ok(())
}

/// Whether all requirements of a term hold. A term without any matches nothing.
fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let label = |requirement: &NodeSelectorRequirement| node.labels.get(&requirement.key).map(String::as_str);
    let field =
        |requirement: &NodeSelectorRequirement| (requirement.key == "metadata.name").then_some(&*node.name);
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|requirement| holds(requirement, label(requirement)))
        && fields.iter().all(|requirement| holds(requirement, field(requirement)))
}

fn holds(requirement: &NodeSelectorRequirement, actual: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = actual.is_some_and(|actual| values.iter().any(|value| value == actual));
    let numbers = || {
        let [value] = values else { return None };
        Some((actual?.parse::<i64>().ok()?, value.parse::<i64>().ok()?))
    };
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => numbers().is_some_and(|(actual, value)| actual > value),
        "Lt" => numbers().is_some_and(|(actual, value)| actual < value),
        _ => false,
    }
}
