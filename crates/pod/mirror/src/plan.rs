//! Which mirror pods are to be created, and which deleted. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kubeapi::{ObjectKey, Objects};
use types::{PodName, PodRef, labels, pod};

/// The static pods of the node.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StaticPods {
    /// Those that are wanted, one for each name.
    pub wanted: BTreeMap<PodName, Arc<Pod>>,
    /// Names of pods that are being stopped and are not quite gone. Their mirrors stay until then.
    pub stopping: BTreeSet<PodName>,
    /// Whether these are all: every source has been read whole. Until then a mirror may be of a pod that comes yet.
    pub complete: bool,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Action {
    /// The static pod of this name needs its mirror.
    Create(PodName),
    /// This object is nobody's mirror any more, or is of an older manifest, or somebody else deletes it.
    Delete(PodRef),
}

/// What is to be done so that `objects` has the mirrors of `pods`. A mirror that has to be replaced goes first; the new
/// one follows when it is gone.
#[must_use]
pub fn plan(pods: &StaticPods, objects: &Objects<Pod>) -> Vec<Action> {
    let mut actions = Vec::new();
    for (name, wanted) in pods.wanted.iter().filter(|(name, _)| !pods.stopping.contains(*name)) {
        let key = ObjectKey { namespace: name.namespace.clone(), name: name.name.clone() };
        match objects.get(&key) {
            None => actions.push(Action::Create(name.clone())),
            Some(object) if !pod::is_mirror(object) || is_mirror_of(object, wanted) => {}
            Some(object) => actions.push(Action::Delete(PodRef::of(object))),
        }
    }
    let known = |name: &PodName| pods.wanted.contains_key(name) || pods.stopping.contains(name);
    let orphans = objects.values().filter(|object| pod::is_mirror(object)).map(|object| PodRef::of(object));
    let mut orphans: Vec<_> = orphans.filter(|object| pods.complete && !known(&object.name)).collect();
    orphans.sort();
    actions.extend(orphans.into_iter().map(Action::Delete));
    actions
}

/// Whether `object` is, and stays, the mirror of this very manifest.
fn is_mirror_of(object: &Pod, fixed: &Pod) -> bool {
    let hash = pod::annotation(object, labels::CONFIG_MIRROR);
    !pod::is_deleting(object) && hash == pod::annotation(fixed, labels::CONFIG_HASH)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fixed(name: &str, hash: &str) -> Arc<Pod> {
        let annotations = json!({"kubernetes.io/config.hash": hash, "kubernetes.io/config.source": "file"});
        let meta = json!({"namespace": "n", "name": name, "uid": hash, "annotations": annotations});
        Arc::new(serde_json::from_value(json!({ "metadata": meta })).unwrap())
    }

    fn object(name: &str, mirrors: Option<&str>, deleting: bool) -> (ObjectKey, Arc<Pod>) {
        let mut meta = json!({"namespace": "n", "name": name, "uid": format!("uid-{name}")});
        if let Some(hash) = mirrors {
            meta["annotations"] = json!({"kubernetes.io/config.mirror": hash});
        }
        if deleting {
            meta["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        (ObjectKey::new("n", name), Arc::new(serde_json::from_value(json!({ "metadata": meta })).unwrap()))
    }

    #[test]
    fn one_mirror_for_each_static_pod() {
        for (case, objects, wanted, stopping, complete, expected) in [
            ("missing", vec![], Some("h"), false, false, "create a"),
            ("there", vec![object("a", Some("h"), false)], Some("h"), false, true, ""),
            ("of an older manifest", vec![object("a", Some("g"), false)], Some("h"), false, true, "delete a"),
            ("deleted by a user", vec![object("a", Some("h"), true)], Some("h"), false, true, "delete a"),
            ("somebody else's pod", vec![object("a", None, false)], Some("h"), false, true, ""),
            ("an orphan", vec![object("a", Some("h"), false)], None, false, true, "delete a"),
            ("not known yet", vec![object("a", Some("h"), false)], None, false, false, ""),
            ("still stopping", vec![object("a", Some("h"), false)], None, true, true, ""),
            ("the next one waits", vec![object("a", Some("g"), false)], Some("h"), true, true, ""),
            ("nothing for what stops", vec![], Some("h"), true, true, ""),
            ("no business of ours", vec![object("b", None, false)], None, false, true, ""),
        ] {
            let name = PodName::new("n", "a");
            let pods = StaticPods {
                wanted: wanted.map(|hash| (name.clone(), fixed("a", hash))).into_iter().collect(),
                stopping: stopping.then_some(name).into_iter().collect(),
                complete,
            };
            let words = plan(&pods, &objects.into_iter().collect())
                .iter()
                .map(|action| match action {
                    Action::Create(name) => format!("create {}", name.name),
                    Action::Delete(pod) => {
                        assert_eq!(pod.uid.as_str(), format!("uid-{}", pod.name.name));
                        format!("delete {}", pod.name.name)
                    }
                })
                .collect::<Vec<_>>();
            assert_eq!(words.join(" "), expected, "{case}");
        }
    }
}
