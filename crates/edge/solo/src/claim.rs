//! The claims by which pods have volumes (Kubernetes: "Persistent Volumes"; KEP-1698 for those that are made for a pod).

use serde_json::Value;

use crate::object::{self, text};

/// The name of the claim by which `pod` has `volume`, in the pod's namespace; none if it has it by no claim.
#[must_use]
pub(crate) fn name(pod: &Value, volume: &Value) -> Option<String> {
    let named = text(volume, "/persistentVolumeClaim/claimName");
    if !named.is_empty() {
        return Some(named.to_owned());
    }
    is_ephemeral(volume).then(|| format!("{}-{}", object::name(pod), text(volume, "/name")))
}

/// Whether the claim of `volume` is made for its pod, and lives with it.
#[must_use]
pub(crate) fn is_ephemeral(volume: &Value) -> bool {
    volume.get("ephemeral").is_some_and(Value::is_object)
}

/// Whether `pod` has a volume by the claim `wanted` of its namespace.
#[must_use]
pub(crate) fn names(pod: &Value, wanted: &str) -> bool {
    object::list(pod, "/spec/volumes").iter().any(|volume| name(pod, volume).as_deref() == Some(wanted))
}

/// Whether `claim` was made for `pod`.
#[must_use]
pub(crate) fn is_made_for(claim: &Value, pod: &Value) -> bool {
    object::list(claim, "/metadata/ownerReferences")
        .iter()
        .any(|owner| owner["controller"] == true && text(owner, "/uid") == object::uid(pod))
}

/// Whether `pod` has a volume by `claim`. What others made under the name of a claim of the pod's own is not the pod's.
#[must_use]
pub(crate) fn has(pod: &Value, claim: &Value) -> bool {
    object::namespace(pod) == object::namespace(claim)
        && object::list(pod, "/spec/volumes").iter().any(|volume| {
            name(pod, volume).as_deref() == Some(object::name(claim))
                && (!is_ephemeral(volume) || is_made_for(claim, pod))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_under_the_name_of_a_pods_own_is_not_the_pods() {
        let pod = json!({"metadata": {"namespace": "a", "name": "p", "uid": "1"}, "spec": {"volumes": [
            {"name": "x", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "y", "ephemeral": {}}, {"name": "z", "emptyDir": {}}]}});
        let claim = |namespace: &str, name: &str, owners: Value| json!({"metadata": {"namespace": namespace, "name": name, "ownerReferences": owners}});
        for (namespace, name, owners, has_it) in [
            ("a", "data", json!([]), true),
            ("b", "data", json!([]), false),
            ("a", "other", json!([]), false),
            ("a", "p-y", json!([]), false),
            ("a", "p-y", json!([{"uid": "1", "controller": true}]), true),
            ("a", "p-y", json!([{"uid": "1"}]), false),
            ("a", "p-y", json!([{"uid": "2", "controller": true}]), false),
            ("a", "p-z", json!([{"uid": "1", "controller": true}]), false),
        ] {
            assert_eq!(
                has(&pod, &claim(namespace, name, owners.clone())),
                has_it,
                "{namespace}/{name} {owners}"
            );
        }
        assert!(names(&pod, "p-y") && !names(&pod, "p-z"));
    }
}
