//! Secrets and ConfigMaps that pods refer to, by the three strategies of `configMapAndSecretChangeDetectionStrategy`.
//! (Kubernetes: "ConfigMaps", mounted ConfigMaps are updated automatically.)

mod kept;
mod references;
mod watched;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret};
use tokio::sync::mpsc;
use types::PodUid;

use crate::{ApiError, Client, Object, ObjectKey};
use kept::Kept;
use references::References;
use watched::Watched;

/// A kind of object that pods refer to.
pub trait Referenced: Object {
    /// `immutable: true`: it cannot change any more, so there is nothing to watch.
    fn is_immutable(&self) -> bool;
}

impl Referenced for Secret {
    fn is_immutable(&self) -> bool {
        self.immutable.unwrap_or_default()
    }
}

impl Referenced for ConfigMap {
    fn is_immutable(&self) -> bool {
        self.immutable.unwrap_or_default()
    }
}

/// How changes of objects are noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// One watch for each object that a pod refers to. One that nobody asked for during `idle` pauses until it is asked
    /// for again; the kubelet's `idle` is a minute, and five times `syncFrequency` if that is more.
    Watch {
        /// After how long a watch pauses.
        idle: Duration,
    },
    /// What was read is good for the node's time to live ([`ttl_of`]), or until another pod refers to it.
    Cache,
    /// Read each time.
    Get,
}

/// How long the Cache strategy goes by what it read, unless the node says otherwise.
const TTL: Duration = Duration::from_secs(60);

/// How long objects may be kept on `node`: its annotation `node.alpha.kubernetes.io/ttl`, which the control plane raises
/// on large clusters; else a minute.
#[must_use]
pub fn ttl_of(node: &Node) -> Duration {
    let annotations = node.metadata.annotations.as_ref();
    let seconds = annotations.and_then(|all| all.get("node.alpha.kubernetes.io/ttl"));
    seconds.and_then(|seconds| seconds.parse().ok()).map_or(TTL, Duration::from_secs)
}

/// An object has changed that pods refer to. Only with [`Strategy::Watch`]; else pods see changes when they are synced
/// the next time anyway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// Which one.
    pub key: ObjectKey,
    /// The pods that refer to it.
    pub pods: Vec<PodUid>,
}

/// Objects of one kind that pods refer to. Clones share them.
pub struct ObjectCache<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for ObjectCache<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<K> {
    client: Client,
    references: Arc<Mutex<References>>,
    by: By<K>,
}

enum By<K> {
    Watch(Watched<K>),
    Cache(Kept<K>),
    Get,
}

impl<K: Referenced> ObjectCache<K> {
    /// No objects yet. `changed` hears of changes; it is waited for when it is full.
    #[must_use]
    pub fn new(client: &Client, strategy: Strategy, changed: mpsc::Sender<Changed>) -> Self {
        let references = Arc::default();
        let by = match strategy {
            Strategy::Watch { idle } => {
                By::Watch(Watched::new(client.clone(), idle, Arc::clone(&references), changed))
            }
            Strategy::Cache => By::Cache(Kept::new(client.clone(), TTL)),
            Strategy::Get => By::Get,
        };
        Self { shared: Arc::new(Shared { client: client.clone(), references, by }) }
    }

    /// Says which objects `pod` refers to, in place of what was said of it before.
    pub fn register(&self, pod: &PodUid, keys: impl IntoIterator<Item = ObjectKey>) {
        let keys = keys.into_iter().collect();
        // Held to the end: of two pods that come and go, the later one decides.
        let mut references = lock(&self.shared.references);
        let delta = references.register(pod, keys);
        match &self.shared.by {
            By::Watch(watched) => {
                delta.added.iter().for_each(|key| watched.start(key));
                delta.unused.iter().for_each(|key| watched.stop(key));
            }
            By::Cache(kept) => {
                // A new pod may have been made with what has just been changed.
                delta.added.iter().chain(&delta.unused).for_each(|key| kept.forget(key));
            }
            By::Get => {}
        }
    }

    /// Says that `pod` is gone. What no other pod refers to is forgotten.
    pub fn unregister(&self, pod: &PodUid) {
        self.register(pod, []);
    }

    /// The object. With [`Strategy::Watch`] as it is known; if nothing is known within a second, as the server has it.
    ///
    /// # Errors
    /// [`ApiError`]; `NotFound` if there is no such object.
    pub async fn get(&self, key: &ObjectKey) -> Result<Arc<K>, ApiError> {
        let registered = lock(&self.shared.references).is_used(key);
        match &self.shared.by {
            By::Watch(watched) if registered => watched.get(key).await,
            By::Cache(kept) if registered => kept.get(key).await,
            _ => live(&self.shared.client, key).await.map(Arc::new),
        }
    }

    /// Sets how long [`Strategy::Cache`] goes by what it read ([`ttl_of`]).
    pub fn set_ttl(&self, ttl: Duration) {
        if let By::Cache(kept) = &self.shared.by {
            kept.set_ttl(ttl);
        }
    }

    /// How many objects are known or waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.shared.by {
            By::Watch(watched) => watched.len(),
            By::Cache(kept) => kept.len(),
            By::Get => 0,
        }
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The object as the server has it.
async fn live<K: Object>(client: &Client, key: &ObjectKey) -> Result<K, ApiError> {
    client.get(Some(&key.namespace), &key.name).await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_live_is_the_nodes() {
        let node = |ttl: &str| {
            let value =
                serde_json::json!({"metadata": {"annotations": {"node.alpha.kubernetes.io/ttl": ttl}}});
            ttl_of(&serde_json::from_value(value).unwrap()).as_secs()
        };
        assert_eq!((node("300"), node("0"), node("soon")), (300, 0, 60));
        assert_eq!(ttl_of(&Node::default()), TTL);
    }
}
