//! An API server with one node, and the bench as its only user.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kubeapi::{Client, Deletion, Kubeconfig, Limits, Options};
use lab::apiserver::{ApiServer, Kind};
use lab::containerd::Instance;
use serde_json::json;
use testkit::pod::PodBuilder;
use tokio::time::{Instant, sleep};
use types::Pod;
use types::corev1::{ConfigMap, Namespace};

use super::seen::Seen;
use crate::calls::Calls;
use crate::process;

/// How long the server may take until it answers: `kube-apiserver` takes its time, and more on a busy machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// Requests of the bench that are under way at once.
const AT_ONCE: usize = 16;

const NAMESPACE: &str = "default";

/// The API server and the bench's connection to it.
pub(super) struct Cluster {
    server: ApiServer,
    node: String,
    client: Client,
    pub(super) seen: Seen,
}

impl Cluster {
    /// Starts the server, with its files in the instance's directory and a node of the instance's name, and waits until
    /// pods can be created.
    pub(super) async fn start(kind: &Kind, instance: &Instance) -> Result<Self> {
        let node = instance.name();
        let mut server = ApiServer::start(kind, &instance.dir().join("api"), &node).await?;
        let kubeconfig = Kubeconfig::read(&server.admin_kubeconfig()).context("use the API server")?;
        let limits = Limits { qps: 0.0, burst: 0, ..Limits::default() };
        let metrics = kubeapi::Metrics::register(&telemetry::metrics::Registry::new());
        let client = Client::new(kubeconfig, Options { user_agent: "bench".to_owned(), limits }, &metrics)
            .context("use the API server")?;
        let give_up = Instant::now() + ANSWERS_WITHIN;
        while let Err(error) = client.get::<Namespace>(None, NAMESPACE).await {
            server.check_alive()?;
            if Instant::now() > give_up {
                return Err(error).context("the API server does not become ready");
            }
            sleep(ASKED_EVERY).await;
        }
        let seen = Seen::watch(&client).await?;
        Ok(Self { server, node, client, seen })
    }

    /// The kubeconfig of the node.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.server.node_kubeconfig()
    }

    /// The server's processes: what they are called, and their numbers.
    pub(super) fn processes(&self) -> Vec<(&'static str, u32)> {
        self.server.processes().collect()
    }

    /// The CPU time that each of them has used.
    pub(super) fn cpu_times(&self) -> Result<Vec<Duration>> {
        self.server.processes().map(|(_, pid)| process::cpu_time(pid)).collect()
    }

    /// What the node has asked for so far.
    #[allow(clippy::cast_precision_loss, reason = "numbers of requests")]
    pub(super) fn requests(&self) -> Result<Calls> {
        Ok(self.server.requests()?.into_iter().map(|(what, count)| (what, count as f64)).collect())
    }

    /// The pod as [`Cluster::create`] takes it.
    pub(super) fn pod(&self, pod: PodBuilder) -> Result<Pod> {
        crate::pods::created(pod, &self.node)
    }

    /// Creates a pod and returns it as the server has it.
    pub(super) async fn create(&self, pod: &Pod) -> Result<Pod> {
        self.client.create(Some(NAMESPACE), pod).await.context("create a pod")
    }

    /// Creates many, some at once.
    pub(super) async fn create_all(&self, pods: &[Pod]) -> Result<()> {
        let created = stream::iter(pods).map(|pod| self.create(pod)).buffer_unordered(AT_ONCE);
        created.try_for_each(async |_| Ok(())).await
    }

    /// Asks for the pod's deletion, with the grace period that it has.
    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        let deletion = Deletion::default();
        let deleted = self.client.delete::<Pod>(Some(NAMESPACE), name, &deletion);
        deleted.await.with_context(|| format!("delete {name}"))
    }

    /// Asks for the deletion of many, some at once.
    pub(super) async fn delete_all(&self, names: &[String]) -> Result<()> {
        let deleted = stream::iter(names).map(|name| self.delete(name)).buffer_unordered(AT_ONCE);
        deleted.try_for_each(async |()| Ok(())).await
    }

    /// Creates a ConfigMap with one key.
    pub(super) async fn create_config_map(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let object = json!({"metadata": {"name": name}, "data": {key: value}});
        let object: ConfigMap = serde_json::from_value(object).context("make a ConfigMap")?;
        let created = self.client.create(Some(NAMESPACE), &object);
        created.await.map(drop).with_context(|| format!("create the ConfigMap {name}"))
    }

    /// Changes it.
    pub(super) async fn change_config_map(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let patch = json!({"data": {key: value}});
        let changed = self.client.patch::<ConfigMap>(Some(NAMESPACE), name, None, &patch);
        changed.await.map(drop).with_context(|| format!("change the ConfigMap {name}"))
    }
}
