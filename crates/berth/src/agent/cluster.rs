//! What there is only with a kubeconfig: the API server's client, the Node object as others see it, and the way of
//! events to the API server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::{KubeletConfiguration, Loaded};
use kubeapi::{Change, Client, EventPublisher, Health, Kubeconfig, Limits, Options, Selection, Watch};
use task::events::Recorder;
use task::supervisor::Supervisor;
use tokio::sync::watch;
use types::corev1::Node;

use super::here::arch;
use super::settings::KUBERNETES_VERSION;

/// How long an answer of the API server is waited for.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// Events that wait for the publisher, which is always about to read them.
const EVENTS: usize = 1024;

/// The cluster that this machine is a node of. The API server may be away for as long as it likes: nothing here waits
/// for it.
pub(super) struct Cluster {
    /// The API server.
    pub(super) client: Client,
    /// The Node object as a watch shows it; `None` while there is none, or nothing is known.
    pub(super) node: watch::Receiver<Option<Arc<Node>>>,
    /// How that watch fares: whether the API server is heard at all.
    pub(super) health: watch::Receiver<Health>,
    /// Where events go to the API server.
    pub(super) events: Recorder,
}

impl Cluster {
    /// The cluster of `--kubeconfig`, with its tasks begun; `None` without that flag. `metrics` are registered either way.
    ///
    /// # Errors
    /// The kubeconfig, or a file that it names, cannot be used. That the server does not answer is no error.
    pub(super) fn open(
        loaded: &Loaded,
        name: &str,
        metrics: &kubeapi::Metrics,
        supervisor: &mut Supervisor,
    ) -> anyhow::Result<Option<Self>> {
        let (config, path) = (&loaded.config, &loaded.flags.kubeconfig);
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let kubeconfig = Kubeconfig::read(path).context("the API server cannot be used")?;
        let limits = limits(config.kube_api_qps, config.kube_api_burst);
        let client = Client::new(kubeconfig, Options { user_agent: user_agent(), limits }, metrics)
            .with_context(|| format!("the API server of kubeconfig {} cannot be used", path.display()))?;
        tracing::info!(server = client.server(), node = name, "This machine is a node of a cluster");

        let watch = Watch::start(&client, Selection::object(None, name));
        let (health, sender) = (watch.health(), watch::Sender::new(None));
        let node = sender.subscribe();
        supervisor.spawn("node object", follow(watch, sender));

        let (events, queue) = Recorder::channel(EVENTS);
        let publisher = EventPublisher::new(client.with_limits(event_limits(config)), name);
        supervisor.spawn("publishing events", publisher.run(queue));
        Ok(Some(Self { client, node, health, events }))
    }
}

/// As kubelets call themselves, so that `managedFields` name the same manager on a node that changes its agent.
fn user_agent() -> String {
    format!("kubelet/{KUBERNETES_VERSION} (linux/{}) berth/{}", arch(), env!("CARGO_PKG_VERSION"))
}

fn limits(qps: i32, burst: i32) -> Limits {
    Limits { qps: qps.into(), burst: u32::try_from(burst).unwrap_or(0), ..Limits::default() }
}

fn event_limits(config: &KubeletConfiguration) -> Limits {
    limits(config.event_record_qps, config.event_burst)
}

/// Publishes the one Node object that `watch` is about.
async fn follow(mut watch: Watch<Node>, sender: watch::Sender<Option<Arc<Node>>>) {
    while let Some(change) = watch.next().await {
        let node = match change {
            Change::Listed(nodes) => nodes.into_iter().next(),
            Change::Applied(node) => Some(node),
            Change::Deleted(_) => None,
        };
        sender.send_if_modified(|known| {
            let news = *known != node;
            *known = node;
            news
        });
    }
}
