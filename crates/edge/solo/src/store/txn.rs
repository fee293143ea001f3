//! One write in the making.

use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use super::{Change, ChangeKind, Key, Snapshot};
use crate::object;

/// The objects as a write sees them, with what it changed so far. Reads go through to the [`Snapshot`].
#[derive(Debug)]
pub(crate) struct Txn {
    pub(super) snapshot: Snapshot,
    pub(super) changes: Vec<Change>,
}

impl Deref for Txn {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Txn {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, changes: Vec::new() }
    }

    /// Writes an object and answers it as it is kept, with its new revision. An object that is just the same as the
    /// one before is not written.
    pub(crate) fn put(&mut self, resource: &'static str, mut object: Value) -> Arc<Value> {
        let key = Key::new(resource, object::namespace(&object), object::name(&object));
        let previous = self.snapshot.objects.get(&key).cloned();
        if let Some(previous) = &previous {
            object::carry(&previous["metadata"], object::meta_mut(&mut object), "resourceVersion");
            if **previous == object {
                return previous.clone();
            }
        }
        self.snapshot.revision += 1;
        let object = Arc::new(at_revision(object, self.snapshot.revision));
        self.snapshot.objects.insert_mut(key.clone(), object.clone());
        let kind = if previous.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        self.record(kind, resource, key, object.clone(), previous);
        object
    }

    /// Removes an object and answers it as it was, with the revision of its removal.
    pub(crate) fn remove(
        &mut self,
        resource: &'static str,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let key = Key::new(resource, namespace, name);
        let previous = self.snapshot.objects.get(&key)?.clone();
        self.snapshot.objects.remove_mut(&key);
        self.snapshot.revision += 1;
        let last = Arc::new(at_revision((*previous).clone(), self.snapshot.revision));
        self.record(ChangeKind::Deleted, resource, key, last.clone(), Some(previous));
        Some(last)
    }

    fn record(
        &mut self,
        kind: ChangeKind,
        resource: &'static str,
        key: Key,
        object: Arc<Value>,
        previous: Option<Arc<Value>>,
    ) {
        let revision = self.snapshot.revision;
        self.changes.push(Change { revision, kind, resource, key, object, previous });
    }
}

fn at_revision(mut object: Value, revision: u64) -> Value {
    object::meta_mut(&mut object).insert("resourceVersion".to_owned(), revision.to_string().into());
    object
}
