//! The objects that the API server has of this node's pods: where pods come from, where their statuses go, and the mirrors
//! of static pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubeapi::{Client, Health, Selection, Store};
use mirror::{Mirrors, StaticPods};
use schema::Feature;
use source::ApiSource;
use status::{StatusStore, StatusWriter, object_of};
use task::supervisor::Supervisor;
use telemetry::metrics::Registry;
use tokio::sync::{mpsc, watch};
use types::corev1::Node;
use types::{Failure, Pod, PodChange, PodName, PodRef, PodUid, labels, pod};
use worker::{Table, Target};

use super::cluster::Cluster;

/// The objects, as a watch shows them.
#[derive(Clone)]
pub(super) struct PodObjects {
    client: Client,
    store: Store<Pod>,
    node: watch::Receiver<Option<Arc<Node>>>,
    node_health: watch::Receiver<Health>,
}

/// The metrics of what works with them. They are registered with an API server and without.
#[derive(Clone)]
pub(super) struct Metrics {
    status: status::Metrics,
    mirror: mirror::Metrics,
}

impl Metrics {
    /// The families, registered.
    pub(super) fn register(registry: &Registry) -> Self {
        Self { status: status::Metrics::register(registry), mirror: mirror::Metrics::register(registry) }
    }
}

impl PodObjects {
    /// Begins to follow the pods that are bound to `node`.
    pub(super) fn follow(cluster: &Cluster, node: &str) -> Self {
        Self {
            client: cluster.client.clone(),
            store: Store::start(&cluster.client, Selection::field("spec.nodeName", node)),
            node: cluster.node.clone(),
            node_health: cluster.health.clone(),
        }
    }

    /// The object in which the API server shows `pod`, as far as it is known.
    pub(super) fn of(&self, pod: &Pod) -> Option<Arc<Pod>> {
        let hash = pod::annotation(pod, labels::CONFIG_HASH).filter(|_| pod::is_static(pod));
        object_of(&*self.store.objects()?, &PodRef::of(pod), hash).cloned()
    }

    /// Begins to hand on the pods as changes, to write their statuses, and to keep the mirrors of static pods.
    pub(super) fn serve(
        self,
        off: &[Feature],
        statuses: StatusStore,
        table: watch::Receiver<Arc<Table>>,
        changes: mpsc::Sender<PodChange>,
        metrics: &Metrics,
        supervisor: &mut Supervisor,
    ) -> ObjectTroubles {
        let (client, objects) = (self.client, self.store.subscribe());
        let source = ApiSource::new(off).run(objects.clone(), changes);
        let node_known = known(self.node_health);
        supervisor.spawn("pods of the API server", async move {
            // Pods are admitted by what the Node object says.
            node_known.await;
            source.await;
        });
        let health = self.store.health();
        let writer = StatusWriter::new(client.clone(), statuses, objects.clone(), health, &metrics.status);
        let unwritten = writer.failures();
        supervisor.spawn("pod statuses", writer.run());

        let fixed = watch::Sender::new(Arc::default());
        let metrics = metrics.mirror.clone();
        let mirrors = Mirrors::new(client, fixed.subscribe(), objects, self.node, metrics);
        let unmirrored = mirrors.failures();
        supervisor.spawn("mirror pods", mirrors.run());
        supervisor.spawn("static pods", tell_static_pods(table, fixed));
        ObjectTroubles { unwritten, unmirrored }
    }
}

/// What the API server does not show as it ought to.
pub(super) struct ObjectTroubles {
    unwritten: watch::Receiver<Arc<BTreeMap<PodUid, Failure>>>,
    unmirrored: watch::Receiver<Arc<BTreeMap<PodName, Failure>>>,
}

impl ObjectTroubles {
    /// Why the API server does not show `pod` as it is.
    pub(super) fn of(&self, pod: &PodRef) -> Vec<Failure> {
        let unwritten = self.unwritten.borrow().get(&pod.uid).cloned();
        let unmirrored = self.unmirrored.borrow().get(&pod.name).cloned();
        unwritten.into_iter().chain(unmirrored).collect()
    }
}

/// Returns when the server has told what it has once.
async fn known(mut health: watch::Receiver<Health>) {
    if health.wait_for(Health::is_connected).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn tell_static_pods(mut table: watch::Receiver<Arc<Table>>, told: watch::Sender<Arc<StaticPods>>) {
    loop {
        let now = static_pods(&table.borrow_and_update());
        told.send_if_modified(|before| {
            let news = **before != now;
            if news {
                *before = Arc::new(now);
            }
            news
        });
        if table.changed().await.is_err() {
            return;
        }
    }
}

/// The static pods of the table. A pod that only the runtime has may be one, too, until it is gone.
fn static_pods(table: &Table) -> StaticPods {
    let mut pods = StaticPods { complete: table.complete && table.whole, ..StaticPods::default() };
    for entry in table.pods.values() {
        let name = entry.cell.pod.name.clone();
        match &entry.target {
            Target::RuntimeOnly(_) => drop(pods.stopping.insert(name)),
            Target::Configured(pod) if !pod::is_static(pod) => {}
            Target::Configured(_) if entry.removed => drop(pods.stopping.insert(name)),
            Target::Configured(pod) => drop(pods.wanted.insert(name, Arc::clone(pod))),
        }
    }
    pods
}
