//! Which pods refer to which objects.

use std::collections::{BTreeSet, HashMap};

use types::PodUid;

use crate::ObjectKey;

/// Pods by object, and objects by pod.
#[derive(Default, Debug)]
pub(super) struct References {
    objects: HashMap<PodUid, BTreeSet<ObjectKey>>,
    pods: HashMap<ObjectKey, BTreeSet<PodUid>>,
}

/// What has become different.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Delta {
    /// Objects that the pod did not refer to before.
    pub(super) added: Vec<ObjectKey>,
    /// Objects that no pod refers to any more.
    pub(super) unused: Vec<ObjectKey>,
}

impl References {
    /// Takes `keys` for all that `pod` refers to.
    pub(super) fn register(&mut self, pod: &PodUid, keys: BTreeSet<ObjectKey>) -> Delta {
        let before = self.objects.remove(pod).unwrap_or_default();
        let mut delta = Delta::default();
        for key in keys.difference(&before) {
            self.pods.entry(key.clone()).or_default().insert(pod.clone());
            delta.added.push(key.clone());
        }
        for key in before.difference(&keys) {
            if let Some(pods) = self.pods.get_mut(key) {
                pods.remove(pod);
                if pods.is_empty() {
                    self.pods.remove(key);
                    delta.unused.push(key.clone());
                }
            }
        }
        if !keys.is_empty() {
            self.objects.insert(pod.clone(), keys);
        }
        delta
    }

    /// Whether a pod refers to it.
    pub(super) fn is_used(&self, key: &ObjectKey) -> bool {
        self.pods.contains_key(key)
    }

    /// The pods that refer to it.
    pub(super) fn pods(&self, key: &ObjectKey) -> Vec<PodUid> {
        self.pods.get(key).into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(names: &[u8]) -> BTreeSet<ObjectKey> {
        names.iter().map(|name| ObjectKey::new("n", &name.to_string())).collect()
    }

    #[test]
    fn counts_pods() {
        let mut references = References::default();
        let (a, b): (PodUid, PodUid) = ("a".into(), "b".into());
        assert_eq!(references.register(&a, keys(&[1, 2])).added.len(), 2);
        assert_eq!(references.register(&a, keys(&[1, 2])), Delta::default());
        assert_eq!(references.register(&b, keys(&[2])).added.len(), 1);
        assert_eq!(references.pods(&ObjectKey::new("n", "2")), [a.clone(), b.clone()]);
        let delta = references.register(&a, keys(&[3]));
        assert_eq!((delta.added.len(), delta.unused), (1, vec![ObjectKey::new("n", "1")]));
        assert_eq!(references.register(&b, keys(&[])).unused.len(), 1);
    }

    proptest! {
        /// What is used is what some pod refers to, and what became unused is what was used before.
        #[test]
        fn both_sides_agree(steps in prop::collection::vec((0..4u8, prop::collection::vec(0..5u8, 0..5)), 0..40)) {
            let mut references = References::default();
            let mut model: HashMap<u8, BTreeSet<ObjectKey>> = HashMap::new();
            for (pod, names) in steps {
                let used = |model: &HashMap<u8, BTreeSet<ObjectKey>>| model.values().flatten().cloned().collect::<BTreeSet<_>>();
                let before = used(&model);
                model.insert(pod, keys(&names));
                let now = used(&model);
                let delta = references.register(&pod.to_string().into(), keys(&names));
                prop_assert_eq!(delta.unused.into_iter().collect::<BTreeSet<_>>(), &before - &now);
                for name in 0..5 {
                    let key = ObjectKey::new("n", &name.to_string());
                    prop_assert_eq!(references.is_used(&key), now.contains(&key));
                    prop_assert_eq!(references.pods(&key).is_empty(), !now.contains(&key));
                }
            }
        }
    }
}
