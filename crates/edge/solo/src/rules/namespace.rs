//! Namespaces, and what every one of them has.

use serde_json::{Value, json};

use super::{Outcome, Scene};
use crate::object;
use crate::store::{Snapshot, Txn};

/// The namespaces that there always are.
pub(crate) const DEFAULTS: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The label with the namespace's name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn create(namespace: &mut Value, _: &Scene<'_>) -> Outcome {
    let name = object::name(namespace).to_owned();
    object::map_mut(namespace, "spec").insert("finalizers".to_owned(), json!(["kubernetes"]));
    object::as_map(namespace).insert("status".to_owned(), json!({"phase": "Active"}));
    object::map_in(object::meta_mut(namespace), "labels").insert(NAME_LABEL.to_owned(), name.into());
    Ok(())
}

pub(super) fn update(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    if scene.subresource != "finalize" {
        object::carry(old, object::as_map(new), "spec");
    }
    let name = object::name(new).to_owned();
    object::map_in(object::meta_mut(new), "labels").insert(NAME_LABEL.to_owned(), name.into());
    Ok(())
}

/// The service account and the ConfigMap that every namespace has.
const ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";

/// Whether a namespace has what every one has.
pub(crate) fn is_furnished(objects: &Snapshot, namespace: &str, ca: &str) -> bool {
    objects.get("serviceaccounts", namespace, ACCOUNT).is_some() && has_root(objects, namespace, ca)
}

fn has_root(objects: &Snapshot, namespace: &str, ca: &str) -> bool {
    objects.get("configmaps", namespace, ROOT_CA).is_some_and(|root| object::text(root, "/data/ca.crt") == ca)
}

/// Gives a namespace what every one has and this one lacks: its default ServiceAccount, and the certificate of the
/// authority that signs for this server.
pub(crate) fn furnish(txn: &mut Txn, namespace: &str, ca: &str) {
    let meta = |name: &str| json!({"name": name, "namespace": namespace, "uid": crate::random::uid(), "creationTimestamp": crate::time::now()});
    if txn.get("serviceaccounts", namespace, ACCOUNT).is_none() {
        txn.put(
            "serviceaccounts",
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(ACCOUNT)}),
        );
    }
    if !has_root(txn, namespace, ca) {
        txn.put(
            "configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(ROOT_CA), "data": {"ca.crt": ca}}),
        );
    }
}
