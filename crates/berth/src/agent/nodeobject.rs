//! The Node object, as admission goes by it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kubeapi::Client;
use tokio::sync::watch;
use tokio::time::timeout;
use types::PodUid;
use types::corev1::Node;

use super::cluster::Cluster;

/// How long the API server has for a look at the Node object.
const LOOK: Duration = Duration::from_secs(5);

/// The Node object as others see it.
pub(super) struct NodeObject {
    client: Client,
    name: String,
    watched: watch::Receiver<Option<Arc<Node>>>,
    /// As a look found it.
    found: Arc<watch::Sender<Option<Arc<Node>>>>,
    /// Pods that were looked for already.
    looked: Mutex<HashSet<PodUid>>,
}

impl NodeObject {
    /// The object of the node `name`.
    pub(super) fn new(cluster: &Cluster, name: &str) -> Self {
        Self {
            client: cluster.client.clone(),
            name: name.to_owned(),
            watched: cluster.node.clone(),
            found: Arc::default(),
            looked: Mutex::default(),
        }
    }

    /// The newest that is known.
    pub(super) fn newest(&self) -> Option<Arc<Node>> {
        let (watched, found) = (self.watched.borrow().clone(), self.found.borrow().clone());
        let version =
            |node: &Option<Arc<Node>>| node.as_ref()?.metadata.resource_version.as_ref()?.parse::<u64>().ok();
        let same = |one: &Arc<Node>| watched.as_ref().is_some_and(|two| one.metadata.uid == two.metadata.uid);
        if found.as_ref().is_some_and(same) && version(&found) > version(&watched) { found } else { watched }
    }

    /// Looks at the object as it is now: the watch may be a little behind the one that showed the pod.
    pub(super) fn look(&self) -> impl Future<Output = ()> + Send + 'static {
        let (client, name, found) = (self.client.clone(), self.name.clone(), Arc::clone(&self.found));
        async move {
            if let Ok(Ok(node)) = timeout(LOOK, client.get_node(&name, false)).await {
                found.send_replace(Some(Arc::new(node)));
            }
        }
    }

    /// Whether nobody has looked for this pod yet. From now on somebody has.
    pub(super) fn is_first(&self, pod: &PodUid) -> bool {
        self.looked().insert(pod.clone())
    }

    /// The pod is gone.
    pub(super) fn forget(&self, pod: &PodUid) {
        self.looked().remove(pod);
    }

    fn looked(&self) -> MutexGuard<'_, HashSet<PodUid>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
