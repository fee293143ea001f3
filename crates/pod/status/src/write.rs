//! What is to be done with a pod's object at the API server. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodStatus;
use kubeapi::{ObjectKey, Objects};
use serde_json::Value;
use types::{Pod, PodRef, labels, pod};

use crate::Latest;
use crate::patch::patch;

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// Nothing: the server knows all.
    Nothing,
    /// The status is to be patched so.
    Patch(Value),
    /// The object is to be deleted, at once.
    Delete,
}

/// The object in which the server shows the pod: its own, or for a static pod the mirror of this very manifest, by its
/// `hash`. `None` if there is none, or another one that took the name.
#[must_use]
pub fn object_of<'a>(objects: &'a Objects<Pod>, who: &PodRef, hash: Option<&str>) -> Option<&'a Arc<Pod>> {
    let key = ObjectKey { namespace: who.name.namespace.clone(), name: who.name.name.clone() };
    let object = objects.get(&key)?;
    let mirrored = pod::annotation(object, labels::CONFIG_MIRROR);
    let same = match hash {
        Some(hash) => mirrored == Some(hash),
        None => mirrored.is_none() && PodRef::of(object).uid == who.uid,
    };
    same.then_some(object)
}

/// What is to be done so that `object` says what is known of its pod, but for what the server did not take over when it was
/// told (`unheard`). The object goes when it is being deleted, says that the pod has ended, and nothing of the pod is left on
/// the node. Mirror pods are not ours to judge here.
#[must_use]
pub fn decide(object: &Pod, latest: &Latest, unheard: Option<&Value>) -> Write {
    let none = PodStatus::default();
    let news = patch(object.status.as_ref().unwrap_or(&none), &latest.status);
    if let Some(patch) = news.filter(|patch| unheard != Some(patch)) {
        return Write::Patch(patch);
    }
    let goes = pod::is_deleting(object) && pod::is_terminal(object) && latest.over;
    if goes && latest.hash.is_none() { Write::Delete } else { Write::Nothing }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;

    fn object(uid: &str, phase: &str, deleting: bool, mirror: Option<&str>) -> Pod {
        let mut value =
            json!({"metadata": {"namespace": "n", "name": "p", "uid": uid}, "status": {"phase": phase}});
        if deleting {
            value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        if let Some(hash) = mirror {
            value["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": hash});
        }
        serde_json::from_value(value).unwrap()
    }

    fn latest(uid: &str, phase: &str, over: bool, hash: Option<&str>) -> Latest {
        Latest {
            pod: PodRef::of(&object(uid, "", false, None)),
            hash: hash.map(Arc::from),
            status: Arc::new(PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() }),
            over,
            since: Instant::now(),
        }
    }

    #[test]
    fn an_object_goes_when_all_is_said_and_done() {
        for (phase, deleting, over, ours, goes) in [
            ("Failed", true, true, "Failed", true),
            ("Failed", true, false, "Failed", false),
            ("Failed", false, true, "Failed", false),
            ("Running", true, true, "Running", false),
            ("Running", true, true, "Failed", false),
        ] {
            let write = decide(&object("1", phase, deleting, None), &latest("1", ours, over, None), None);
            assert_eq!(write == Write::Delete, goes, "{phase} {deleting} {over} {ours}: {write:?}");
            assert_eq!(matches!(write, Write::Patch(_)), phase != ours);
        }
        let mirror = object("1", "Failed", true, Some("h"));
        assert_eq!(decide(&mirror, &latest("h", "Failed", true, Some("h")), None), Write::Nothing);
        // A server that does not know one of the fields.
        let mut told = latest("1", "Failed", true, None);
        Arc::make_mut(&mut told.status).qos_class = Some("Burstable".to_owned());
        let unheard = json!({"status": {"qosClass": "Burstable"}});
        let goes = object("1", "Failed", true, None);
        assert_eq!(decide(&goes, &told, Some(&unheard)), Write::Delete);
        assert!(matches!(decide(&goes, &told, None), Write::Patch(_)));
    }

    #[test]
    fn each_pod_has_its_own_object() {
        let objects = |object: Pod| Objects::from([(ObjectKey::new("n", "p"), Arc::new(object))]);
        let found = |object: Pod, latest: &Latest| {
            object_of(&objects(object), &latest.pod, latest.hash.as_deref()).is_some()
        };
        let (api, fixed) = (latest("1", "", false, None), latest("h", "", false, Some("h")));
        assert!(found(object("1", "", false, None), &api));
        assert!(!found(object("2", "", false, None), &api));
        assert!(!found(object("1", "", false, Some("h")), &api), "a mirror is of no pod of the server's");
        assert!(found(object("9", "", false, Some("h")), &fixed));
        assert!(!found(object("9", "", false, Some("other")), &fixed));
        assert!(!found(object("h", "", false, None), &fixed));
    }
}
