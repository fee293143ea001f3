//! Claims that pods have, and volumes that claims have, wait with their end until nobody has them any more (Kubernetes:
//! "Storage Object in Use Protection").

use serde_json::{Value, json};

use super::{Scope, claims};
use crate::claim;
use crate::object;
use crate::rest::is_over;
use crate::store::{Snapshot, Txn};

/// The finalizer of claims.
const OF_CLAIMS: &str = "kubernetes.io/pvc-protection";
/// The finalizer of volumes.
const OF_VOLUMES: &str = "kubernetes.io/pv-protection";

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    changed(objects).next().is_some()
}

pub(super) fn work(txn: &mut Txn, _: &Scope) {
    let all: Vec<(&'static str, Value)> = changed(txn).collect();
    for (store, object) in all {
        let kept = txn.put(store, object);
        if is_over(&kept) {
            txn.remove(store, object::namespace(&kept), object::name(&kept));
        }
    }
}

fn changed(objects: &Snapshot) -> impl Iterator<Item = (&'static str, Value)> {
    let claims = objects.list("persistentvolumeclaims", None).filter_map(|(key, claim)| {
        let has = |pod: &Value| !object::text(pod, "/spec/nodeName").is_empty() && claim::has(pod, claim);
        let in_use = || objects.list("pods", Some(&key.namespace)).any(|(_, pod)| has(pod));
        Some(("persistentvolumeclaims", protected(claim, OF_CLAIMS, in_use)?))
    });
    let volumes = objects.list("persistentvolumes", None).filter_map(|(_, volume)| {
        let in_use = || claims::phase(volume, objects) == "Bound";
        Some(("persistentvolumes", protected(volume, OF_VOLUMES, in_use)?))
    });
    claims.chain(volumes)
}

/// The object with its finalizer, or without it if it is to go and not in use; none if it is as it should be.
fn protected(object: &Value, finalizer: &str, in_use: impl Fn() -> bool) -> Option<Value> {
    let has = object::list(object, "/metadata/finalizers").iter().any(|one| one == finalizer);
    let wanted = !object::is_deleting(object) || has && in_use();
    if wanted == has {
        return None;
    }
    let mut object = object.clone();
    let mut finalizers = object::list(&object, "/metadata/finalizers").to_vec();
    if wanted {
        finalizers.push(json!(finalizer));
    } else {
        finalizers.retain(|one| one != finalizer);
    }
    object::meta_mut(&mut object).insert("finalizers".to_owned(), finalizers.into());
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_kept_until_it_is_not() {
        for (deleting, before, in_use, expected) in [
            (false, &[][..], false, Some(&["f"][..])),
            (false, &["g"], true, Some(&["g", "f"])),
            (false, &["f"], false, None),
            (true, &["f"], true, None),
            (true, &["f", "g"], false, Some(&["g"])),
            (true, &["g"], true, None),
        ] {
            let mut object = json!({"metadata": {"name": "o", "finalizers": before}});
            if deleting {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            let found =
                protected(&object, "f", || in_use).map(|object| object["metadata"]["finalizers"].clone());
            assert_eq!(found, expected.map(|list| json!(list)), "{deleting} {before:?} {in_use}");
        }
    }
}
