//! What changed between two sets of pods.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use types::{Pod, PodChange, PodName, PodRef, PodUid, labels};

/// A pod, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The file or URL, for messages.
    pub(crate) place: String,
    pub(crate) pod: Pod,
}

/// Pods by UID.
pub(crate) type Set = BTreeMap<PodUid, Arc<Pod>>;

/// A pod that is left out because another one came before it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Dropped {
    pub(crate) place: String,
    pub(crate) pod: PodRef,
    /// Where the other one is written.
    pub(crate) first: String,
    /// Whether they share the UID; otherwise it is the name.
    pub(crate) same_uid: bool,
}

/// The pods without those whose name or UID an earlier one has.
pub(crate) fn without_duplicates(found: Vec<Found>) -> (Vec<Pod>, Vec<Dropped>) {
    let mut names: HashMap<PodName, String> = HashMap::new();
    let mut uids: HashMap<PodUid, String> = HashMap::new();
    let (mut pods, mut dropped) = (Vec::new(), Vec::new());
    for Found { place, pod } in found {
        let who = PodRef::of(&pod);
        let (by_name, by_uid) = (names.get(&who.name), uids.get(&who.uid));
        if let Some(first) = by_name.or(by_uid) {
            let same_uid = by_name.is_none();
            dropped.push(Dropped { place, pod: who, first: first.clone(), same_uid });
            continue;
        }
        names.insert(who.name, place.clone());
        uids.insert(who.uid, place);
        pods.push(pod);
    }
    (pods, dropped)
}

/// The set that `pods` (of different UIDs) make, and what leads from `old` to it: first what goes, then what comes,
/// then what is another now. A pod that was there keeps the time when it was first seen; one that is new has `now`.
pub(crate) fn diff(old: &Set, pods: Vec<Pod>, now: &str) -> (Set, Vec<PodChange>) {
    let (mut new, mut added, mut updated) = (Set::new(), Vec::new(), Vec::new());
    for mut pod in pods {
        let uid = PodRef::of(&pod).uid;
        let known = old.get(&uid);
        if let Some(known) = known.filter(|known| same(known, &pod)) {
            new.insert(uid, Arc::clone(known));
            continue;
        }
        let seen = known.and_then(|known| types::pod::annotation(known, labels::CONFIG_SEEN)).unwrap_or(now);
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(labels::CONFIG_SEEN.to_owned(), seen.to_owned());
        let pod = Arc::new(pod);
        let list = if known.is_some() { &mut updated } else { &mut added };
        list.push(PodChange::Set(Arc::clone(&pod)));
        new.insert(uid, pod);
    }
    let gone = old.iter().filter(|(uid, _)| !new.contains_key(*uid));
    let mut changes: Vec<PodChange> = gone.map(|(_, pod)| PodChange::Remove(PodRef::of(pod))).collect();
    changes.append(&mut added);
    changes.append(&mut updated);
    (new, changes)
}

/// Whether nothing that matters to the node is different.
pub(crate) fn same(a: &Pod, b: &Pod) -> bool {
    let (old, new) = (&a.metadata, &b.metadata);
    a.spec == b.spec
        && PodRef::of(a) == PodRef::of(b)
        && old.labels == new.labels
        && old.deletion_timestamp == new.deletion_timestamp
        && old.deletion_grace_period_seconds == new.deletion_grace_period_seconds
        && annotations(a) == annotations(b)
}

/// The annotations that are not the node's own.
fn annotations(pod: &Pod) -> BTreeSet<(&String, &String)> {
    let local = [labels::CONFIG_SOURCE, labels::CONFIG_MIRROR, labels::CONFIG_SEEN];
    let all = pod.metadata.annotations.iter().flatten();
    all.filter(|(key, _)| !local.contains(&key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, label: &str) -> Pod {
        serde_json::from_value(json!({"metadata":
            {"name": uid, "namespace": "default", "uid": uid, "labels": {"l": label}}}))
        .unwrap()
    }

    fn words(changes: &[PodChange]) -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                PodChange::Set(pod) => {
                    format!(
                        "set {} {}",
                        PodRef::of(pod).uid,
                        types::pod::annotation(pod, labels::CONFIG_SEEN).unwrap()
                    )
                }
                PodChange::Remove(pod) => format!("remove {}", pod.uid),
                PodChange::Seen { source, .. } => format!("seen {source}"),
            })
            .collect()
    }

    #[test]
    fn removals_then_additions_then_updates() {
        let (set, changes) = diff(&Set::new(), vec![pod("a", "1"), pod("b", "1"), pod("c", "1")], "t1");
        assert_eq!(words(&changes), ["set a t1", "set b t1", "set c t1"]);
        let (set, changes) = diff(&set, vec![pod("a", "2"), pod("c", "1"), pod("d", "1")], "t2");
        assert_eq!(words(&changes), ["remove b", "set d t2", "set a t1"]);
        assert!(diff(&set, vec![pod("d", "1"), pod("c", "1"), pod("a", "2")], "t3").1.is_empty());
    }

    #[test]
    fn the_first_of_duplicates_stays() {
        let found = |place: &str, pod| Found { place: place.to_owned(), pod };
        let mut other_uid = pod("a", "1");
        other_uid.metadata.uid = Some("z".into());
        let mut other_name = pod("a", "1");
        other_name.metadata.name = Some("z".into());
        let (pods, dropped) = without_duplicates(vec![
            found("1", pod("a", "1")),
            found("2", other_uid),
            found("3", other_name),
        ]);
        assert_eq!(pods.len(), 1);
        let dropped: Vec<_> =
            dropped.iter().map(|d| (d.place.as_str(), d.first.as_str(), d.same_uid)).collect();
        assert_eq!(dropped, [("2", "1", false), ("3", "1", true)]);
    }

    proptest! {
        /// Whoever applies the changes to the old set has the new one, and a second look finds nothing to do.
        #[test]
        fn changes_lead_to_the_new_set(
            old in prop::collection::btree_map("[a-e]", "[xy]", 0..5),
            new in prop::collection::btree_map("[a-e]", "[xy]", 0..5),
        ) {
            let pods = |set: &BTreeMap<String, String>| set.iter().map(|(uid, label)| pod(uid, label)).collect::<Vec<_>>();
            let (before, _) = diff(&Set::new(), pods(&old), "t1");
            let (after, changes) = diff(&before, pods(&new), "t2");
            let mut applied = before;
            for change in changes {
                match change {
                    PodChange::Remove(pod) => prop_assert!(applied.remove(&pod.uid).is_some()),
                    PodChange::Set(pod) => {
                        prop_assert_ne!(applied.insert(PodRef::of(&pod).uid, pod.clone()), Some(pod));
                    }
                    PodChange::Seen { .. } => prop_assert!(false),
                }
            }
            prop_assert_eq!(&applied, &after);
            prop_assert_eq!(after.keys().map(ToString::to_string).collect::<Vec<_>>(), new.keys().cloned().collect::<Vec<_>>());
            prop_assert!(diff(&after, pods(&new), "t3").1.is_empty());
        }
    }
}
