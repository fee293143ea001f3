//! All objects at one revision.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use serde_json::Value;

use super::Key;

/// All objects as they were at one revision. A clone shares everything with its original.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(super) revision: u64,
    pub(super) objects: RedBlackTreeMapSync<Key, Arc<Value>>,
}

impl Snapshot {
    /// These objects, each with its resource.
    #[cfg(test)]
    pub(crate) fn of(objects: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let mut txn = super::Txn::new(Self::default());
        for (resource, object) in objects {
            txn.put(resource, object);
        }
        txn.snapshot
    }

    /// The revision of the latest change in it.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// An object.
    #[must_use]
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(&Key::new(resource, namespace, name))
    }

    /// The objects of a resource, of one namespace or of all, by namespace and name.
    pub(crate) fn list<'a>(
        &'a self,
        resource: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        self.list_after(Key::new(resource, namespace.unwrap_or_default(), ""), namespace.is_some())
    }

    /// The objects after `key` in its resource (and in its namespace, if `within`).
    pub(crate) fn list_after(&self, key: Key, within: bool) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let start = key.clone();
        self.objects
            .range(key..)
            .skip_while({
                let start = start.clone();
                move |(key, _)| **key == start
            })
            .take_while(move |(key, _)| {
                key.resource == start.resource && (!within || key.namespace == start.namespace)
            })
    }
}
