//! A cluster of one node: the API server of `berth solo` in the test's own process, and a berth that joins it.

use std::path::PathBuf;
use std::time::Duration;

use kubeapi::{Client, Deletion, Kubeconfig, Limits, Object, Options};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solo::{Settings, Solo};
use testkit::pod::PodBuilder;
use tokio_util::sync::{CancellationToken, DropGuard};
use types::Pod;

use crate::rig::{DEADLINE, Rig, full};

/// The namespace of all that tests make.
pub(crate) const NAMESPACE: &str = "default";

/// A server with its one node. Dropping it ends both.
pub(crate) struct Cluster {
    pub(crate) rig: Rig,
    /// Somebody who may do everything.
    pub(crate) admin: Client,
    _dir: tempfile::TempDir,
    _serving: DropGuard,
}

impl Cluster {
    /// A server, and a berth that has joined it. `more` is for its configuration.
    pub(crate) async fn start(more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("berth-solo").tempdir().unwrap();
        let listen = ([127, 0, 0, 1], 0).into();
        let settings = Settings { dir: dir.path().join("solo"), listen, node: "node".to_owned() };
        let solo = Solo::open(&settings).await.unwrap();
        let admin = client(solo.admin_kubeconfig().to_owned());
        let mut rig = Rig::prepare(more).await;
        rig.flag(format!("--kubeconfig={}", solo.node_kubeconfig().display()));
        let stop = CancellationToken::new();
        tokio::spawn(solo.serve(stop.clone()));
        rig.launch();
        Self { rig, admin, _dir: dir, _serving: stop.drop_guard() }
    }

    /// Creates `pod`, under the name that static pods have here, which the rig looks for.
    pub(crate) async fn run(&self, pod: &PodBuilder) -> Pod {
        let mut object = Pod::clone(&pod.build());
        object.metadata.name = object.metadata.name.map(|name| full(&name));
        object.metadata.uid = None;
        self.admin.create(Some(NAMESPACE), &object).await.unwrap()
    }

    /// Creates an object from its JSON.
    pub(crate) async fn create<K: Object + DeserializeOwned>(&self, object: Value) -> K {
        let object: K = serde_json::from_value(object).unwrap();
        self.admin.create(Some(NAMESPACE), &object).await.unwrap()
    }

    /// Merges `patch` into an object.
    pub(crate) async fn patch<K: Object>(&self, name: &str, patch: Value) {
        self.admin.patch::<K>(Some(NAMESPACE), name, None, &patch).await.unwrap();
    }

    /// Deletes an object.
    pub(crate) async fn delete<K: Object>(&self, name: &str) {
        self.admin.delete::<K>(Some(NAMESPACE), name, &Deletion::default()).await.unwrap();
    }

    /// The directory of a volume of the pod `name`.
    pub(crate) async fn volume(&self, name: &str, plugin: &str, volume: &str) -> PathBuf {
        let pod = self.rig.until_pod(name, "known", |pod| pod["metadata"]["uid"].is_string()).await;
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        self.rig
            .root()
            .join("pods")
            .join(uid)
            .join("volumes")
            .join(format!("kubernetes.io~{plugin}"))
            .join(volume)
    }

    /// Waits until the file at `path` has the content `expected`.
    pub(crate) async fn until_file(&self, path: &std::path::Path, expected: Option<&str>) {
        let shown = || async { std::fs::read_to_string(path).ok().map_or(Value::Null, Value::String) };
        let wanted = expected.map_or(Value::Null, |text| json!(text));
        self.rig
            .until(&format!("{} is {expected:?}", path.display()), DEADLINE, shown, |now| *now == wanted)
            .await;
    }

    /// Waits until the events of the pod `name` have one with this reason whose message contains `text`.
    pub(crate) async fn until_event(&self, name: &str, reason: &str, text: &str) {
        let has = |why: &Value| {
            let events = why["events"].as_array().map_or(&[][..], Vec::as_slice);
            let told = |event: &Value| {
                event
                    .as_str()
                    .is_some_and(|event| event.contains(&format!(" {reason}: ")) && event.contains(text))
            };
            events.iter().any(told)
        };
        self.rig.until_why(name, &format!("the event {reason} with {text:?}"), has).await;
    }
}

fn client(kubeconfig: PathBuf) -> Client {
    let limits = Limits { qps: 0.0, burst: 0, deadline: Duration::from_secs(10) };
    let options = Options { user_agent: "test".to_owned(), limits };
    let metrics = kubeapi::Metrics::register(&telemetry::metrics::Registry::new());
    Client::new(Kubeconfig::read(&kubeconfig).unwrap(), options, &metrics).unwrap()
}
