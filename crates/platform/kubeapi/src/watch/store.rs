//! All objects of a watch, for types that have few.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Change, Health, Selection, Watch};
use crate::{Client, Object};

/// Namespace and name of an object; the namespace is empty for those that are in none.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ObjectKey {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of `object`.
    #[must_use]
    pub fn of<K: Object>(object: &K) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }
}

/// Shown as `namespace/name`, or as `name` alone.
impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Objects by key.
pub type Objects<K> = HashMap<ObjectKey, Arc<K>>;

/// All objects of a selection, as the server last told. Clones see the same; the last one dropped ends the watch.
#[derive(Clone, Debug)]
pub struct Store<K> {
    objects: watch::Receiver<Option<Arc<Objects<K>>>>,
    health: watch::Receiver<Health>,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl<K: Object> Store<K> {
    /// Begins to follow the objects of `selection`.
    #[must_use]
    pub fn start(client: &Client, selection: Selection) -> Self {
        let mut watch = Watch::<K>::start(client, selection);
        let health = watch.health();
        let (sender, objects) = watch::channel(None);
        let task = tokio::spawn(async move {
            while let Some(change) = watch.next().await {
                sender.send_modify(|objects| apply(objects, change));
            }
        });
        Self { objects, health, _task: Arc::new(AbortOnDropHandle::new(task)) }
    }

    /// The objects now; `None` as long as the server has not told. What was told stays while the server is away.
    #[must_use]
    pub fn objects(&self) -> Option<Arc<Objects<K>>> {
        self.objects.borrow().clone()
    }

    /// The object with this key, if there is one and the server has told.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.objects.borrow().as_ref()?.get(key).cloned()
    }

    /// Wakes whenever an object has changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Objects<K>>>> {
        self.objects.clone()
    }

    /// Returns when the server has told once.
    pub async fn synced(&self) {
        let mut objects = self.objects.clone();
        // It fails only if the task is gone, and then nothing will ever be told.
        if objects.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the server is heard.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

/// Brings `objects` up to date. A snapshot that somebody still reads is copied first, and stays as it is.
fn apply<K: Object>(objects: &mut Option<Arc<Objects<K>>>, change: Change<K>) {
    match change {
        Change::Listed(all) => {
            *objects =
                Some(Arc::new(all.into_iter().map(|object| (ObjectKey::of(&*object), object)).collect()));
        }
        Change::Applied(object) => {
            Arc::make_mut(objects.get_or_insert_default()).insert(ObjectKey::of(&*object), object);
        }
        Change::Deleted(object) => {
            Arc::make_mut(objects.get_or_insert_default()).remove(&ObjectKey::of(&*object));
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str, value: &str) -> Arc<ConfigMap> {
        let value = serde_json::json!({"metadata": {"namespace": "n", "name": name}, "data": {"k": value}});
        Arc::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn follows_changes_and_leaves_snapshots_alone() {
        let mut objects = None;
        apply(&mut objects, Change::Listed(vec![object("a", "1"), object("b", "1")]));
        let before = objects.clone().unwrap();
        apply(&mut objects, Change::Applied(object("a", "2")));
        apply(&mut objects, Change::Deleted(object("b", "1")));
        assert_eq!(before.len(), 2);
        let now = objects.clone().unwrap();
        assert_eq!((now.len(), &now[&ObjectKey::new("n", "a")]), (1, &object("a", "2")));
        apply(&mut objects, Change::Listed(vec![object("c", "1")]));
        assert_eq!(objects.unwrap().keys().next().unwrap().to_string(), "n/c");
    }
}
