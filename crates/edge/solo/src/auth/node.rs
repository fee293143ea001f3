//! What a node may do (Kubernetes: "Using Node Authorization", and the role `system:node`): what concerns itself, the
//! pods bound to it, and the objects that these refer to.

use serde_json::Value;

use super::attributes::{Attributes, Decision};
use super::references;
use crate::store::Snapshot;
use crate::{claim, object};

/// The namespace of the leases of nodes.
const LEASES: &str = "kube-node-lease";

/// Whether `node` may do what is asked.
pub(super) fn may(objects: &Snapshot, node: &str, asked: &Attributes<'_>) -> Decision {
    let unrelated = format!("no relationship found between node '{node}' and this object");
    let reads = matches!(asked.verb, "get" | "list" | "watch");
    let changes = matches!(asked.verb, "update" | "patch");
    let refers = |test: &dyn Fn(&Value) -> bool| {
        !asked.name.is_empty() && pods_of(objects, node).any(|pod| in_namespace(pod, asked) && test(pod))
    };
    let own = asked.name == node;
    match (asked.group, asked.resource, asked.subresource) {
        ("", "secrets", "") => {
            Decision::of(reads && refers(&|pod| references::secret(pod, asked.name)), &unrelated)
        }
        ("", "configmaps", "") => {
            Decision::of(reads && refers(&|pod| references::config_map(pod, asked.name)), &unrelated)
        }
        ("", "persistentvolumeclaims", "") => {
            Decision::of(asked.verb == "get" && refers(&|pod| claim::names(pod, asked.name)), &unrelated)
        }
        ("", "persistentvolumeclaims", "status") => {
            Decision::of(changes && refers(&|pod| claim::names(pod, asked.name)), &unrelated)
        }
        ("", "persistentvolumes", "") => {
            Decision::of(asked.verb == "get" && has_volume(objects, node, asked.name), &unrelated)
        }
        ("", "serviceaccounts", "") => {
            Decision::of(asked.verb == "get" && refers(&|pod| has_account(pod, asked)), &unrelated)
        }
        ("", "serviceaccounts", "token") => {
            Decision::of(asked.verb == "create" && refers(&|pod| has_account(pod, asked)), &unrelated)
        }
        ("", "nodes", "") => {
            Decision::of(asked.verb == "create" || ((reads || changes) && own), "node may only touch itself")
        }
        ("", "nodes", "status") => Decision::of(changes && own, "node may only touch itself"),
        ("", "pods", "") => {
            let own_pod = objects
                .get("pods", asked.namespace, asked.name)
                .is_some_and(|pod| object::text(pod, "/spec/nodeName") == node);
            let allowed = match asked.verb {
                "get" => own_pod,
                "list" | "watch" => asked.node == node || (!asked.name.is_empty() && own_pod),
                "create" | "delete" => true,
                _ => false,
            };
            Decision::of(
                allowed,
                &format!("can only list/watch pods with spec.nodeName field selector {node}"),
            )
        }
        ("", "pods", "status") => Decision::of(changes, ""),
        ("", "pods", "eviction") => Decision::of(asked.verb == "create", ""),
        ("coordination.k8s.io", "leases", "") => {
            let verb =
                matches!(asked.verb, "get" | "update" | "patch" | "delete") && own || asked.verb == "create";
            Decision::of(
                verb && asked.namespace == LEASES,
                "can only access node lease with the same name as the requesting node",
            )
        }
        ("storage.k8s.io", "csinodes", "") => {
            let verb =
                matches!(asked.verb, "get" | "update" | "patch" | "delete") && own || asked.verb == "create";
            Decision::of(verb, "can only access CSINode with the same name as the requesting node")
        }
        ("storage.k8s.io", "volumeattachments", "") => {
            let attached = objects
                .get("volumeattachments.storage.k8s.io", "", asked.name)
                .is_some_and(|attachment| object::text(attachment, "/spec/nodeName") == node);
            Decision::of(asked.verb == "get" && attached, &unrelated)
        }
        ("certificates.k8s.io", "podcertificaterequests", "") => {
            let own_request = || {
                let store = "podcertificaterequests.certificates.k8s.io";
                let request = objects.get(store, asked.namespace, asked.name);
                request.is_some_and(|request| object::text(request, "/spec/nodeName") == node)
            };
            let allowed = match asked.verb {
                "create" => true,
                "get" => own_request(),
                "list" | "watch" => asked.node == node,
                _ => false,
            };
            Decision::of(allowed, "can only list/watch podcertificaterequests with nodeName field selector")
        }
        (group, resource, subresource) => {
            Decision::of(has_role(group, resource, subresource, asked.verb), "")
        }
    }
}

/// What every node may, whatever runs on it.
fn has_role(group: &str, resource: &str, subresource: &str, verb: &str) -> bool {
    let reads = matches!(verb, "get" | "list" | "watch");
    match (group, resource, subresource) {
        ("", "services" | "endpoints", "")
        | ("node.k8s.io", "runtimeclasses", "")
        | ("storage.k8s.io", "csidrivers", "")
        | ("certificates.k8s.io", "clustertrustbundles", "") => reads,
        ("" | "events.k8s.io", "events", "") => matches!(verb, "create" | "update" | "patch"),
        ("certificates.k8s.io", "certificatesigningrequests", "") => reads || verb == "create",
        ("authentication.k8s.io", "tokenreviews", "")
        | ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews", "") => {
            verb == "create"
        }
        _ => false,
    }
}

fn pods_of<'a>(objects: &'a Snapshot, node: &'a str) -> impl Iterator<Item = &'a Value> {
    objects
        .list("pods", None)
        .map(|(_, pod)| &**pod)
        .filter(move |pod| object::text(pod, "/spec/nodeName") == node)
        // A mirror pod was made by the node itself: it opens nothing.
        .filter(|pod| pod["metadata"]["annotations"].get(types::labels::CONFIG_MIRROR).is_none())
}

fn in_namespace(pod: &Value, asked: &Attributes<'_>) -> bool {
    object::namespace(pod) == asked.namespace
}

fn has_account(pod: &Value, asked: &Attributes<'_>) -> bool {
    object::text(pod, "/spec/serviceAccountName") == asked.name
}

/// Whether a claim of one of the node's pods is bound to the volume.
fn has_volume(objects: &Snapshot, node: &str, volume: &str) -> bool {
    let Some(volume) = objects.get("persistentvolumes", "", volume) else { return false };
    let (namespace, bound) =
        (object::text(volume, "/spec/claimRef/namespace"), object::text(volume, "/spec/claimRef/name"));
    pods_of(objects, node).any(|pod| object::namespace(pod) == namespace && claim::names(pod, bound))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::User;
    use crate::store::Store;

    #[tokio::test]
    async fn a_node_may_what_concerns_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let pod = |name: &str, node: &str| {
            json!({"metadata": {"namespace": "a", "name": name}, "spec": {"nodeName": node, "serviceAccountName": "sa",
                "volumes": [{"secret": {"secretName": format!("s-{node}")}},
                    {"name": "v", "persistentVolumeClaim": {"claimName": format!("c-{node}")}}]}})
        };
        store
            .write(move |txn| {
                txn.put("pods", pod("mine", "n"));
                txn.put("pods", pod("other", "m"));
                Ok(())
            })
            .await
            .unwrap();
        let objects = store.snapshot();
        let user = User::of_certificate("system:node:n".to_owned(), vec!["system:nodes".to_owned()]);
        let may = |verb, group, resource, subresource, namespace, name| {
            let asked =
                Attributes { verb, group, resource, subresource, namespace, name, ..Attributes::default() };
            crate::auth::authorize(&objects, &user, &asked) == Decision::Allow
        };
        for (allowed, verb, group, resource, subresource, namespace, name) in [
            (true, "get", "", "secrets", "", "a", "s-n"),
            (true, "watch", "", "secrets", "", "a", "s-n"),
            (false, "get", "", "secrets", "", "a", "s-m"),
            (false, "get", "", "secrets", "", "b", "s-n"),
            (false, "list", "", "secrets", "", "a", ""),
            (false, "update", "", "secrets", "", "a", "s-n"),
            (true, "get", "", "persistentvolumeclaims", "", "a", "c-n"),
            (false, "get", "", "persistentvolumeclaims", "", "a", "c-m"),
            (false, "patch", "", "persistentvolumeclaims", "", "a", "c-n"),
            (true, "patch", "", "persistentvolumeclaims", "status", "a", "c-n"),
            (false, "patch", "", "persistentvolumeclaims", "status", "a", "c-m"),
            (false, "patch", "", "persistentvolumeclaims", "status", "b", "c-n"),
            (true, "get", "", "pods", "", "a", "mine"),
            (false, "get", "", "pods", "", "a", "other"),
            (false, "list", "", "pods", "", "", ""),
            (false, "update", "", "pods", "", "a", "mine"),
            (true, "patch", "", "pods", "status", "a", "mine"),
            (true, "get", "", "nodes", "", "", "n"),
            (false, "get", "", "nodes", "", "", "m"),
            (false, "delete", "", "nodes", "", "", "n"),
            (true, "patch", "", "nodes", "status", "", "n"),
            (true, "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "n"),
            (false, "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "m"),
            (false, "update", "coordination.k8s.io", "leases", "", "default", "n"),
            (true, "create", "", "serviceaccounts", "token", "a", "sa"),
            (false, "create", "", "serviceaccounts", "token", "b", "sa"),
            (true, "create", "", "events", "", "a", ""),
            (false, "delete", "", "events", "", "a", "x"),
            (true, "list", "", "services", "", "", ""),
            (false, "create", "", "services", "", "a", ""),
            (true, "create", "certificates.k8s.io", "certificatesigningrequests", "", "", ""),
            (true, "list", "certificates.k8s.io", "clustertrustbundles", "", "", ""),
            (false, "create", "certificates.k8s.io", "clustertrustbundles", "", "", ""),
            (true, "create", "certificates.k8s.io", "podcertificaterequests", "", "a", ""),
            (false, "list", "certificates.k8s.io", "podcertificaterequests", "", "a", ""),
            (false, "patch", "certificates.k8s.io", "podcertificaterequests", "status", "a", "x"),
            (false, "update", "certificates.k8s.io", "certificatesigningrequests", "approval", "", "x"),
        ] {
            assert_eq!(
                may(verb, group, resource, subresource, namespace, name),
                allowed,
                "{verb} {resource}/{subresource} {namespace}/{name}"
            );
        }
        let asked = Attributes { verb: "list", resource: "pods", node: "n", ..Attributes::default() };
        assert_eq!(crate::auth::authorize(&objects, &user, &asked), Decision::Allow);
    }
}
