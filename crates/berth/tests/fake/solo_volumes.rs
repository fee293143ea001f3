//! Volumes in `berth solo`: claims are bound there, and volumes attached by whoever attaches those of a driver, which is the
//! test.

use csi::VolumeId;
use kubeapi::{ApiErrorKind, Object};
use serde_json::{Value, json};
use testkit::csi::{DriverOptions, Mounting, TestDriver};
use testkit::plugin::{Fault, Moment, Strike};
use testkit::pod::pod;
use types::corev1::{PersistentVolume, PersistentVolumeClaim};
use types::k8s::api::storage::v1::{CSIDriver, VolumeAttachment};

use crate::api_server::Server;
use crate::csi::{DRIVER, by_claim};
use crate::rig::{DEADLINE, Rig};

/// What whoever attaches a volume puts on its VolumeAttachment until it is detached.
const ATTACHER: &str = "external-attacher/d-example";

/// A machine of its own with a driver that attaches.
struct Machine {
    rig: Rig,
    server: Server,
    command: Vec<String>,
}

impl Machine {
    async fn start() -> (Self, TestDriver, tempfile::TempDir) {
        let mut server = Server::start().await;
        server.stop().await;
        let mut rig = Rig::prepare("").await;
        let (dir, address) = (server.dir().display().to_string(), server.address().to_string());
        let command = ["solo", "--dir", &dir, "--listen", &address, "--"].map(str::to_owned).to_vec();
        rig.launch_as(&command.iter().map(String::as_str).collect::<Vec<_>>());
        let this = Self { rig, server, command };
        this.rig.until("the node is there", DEADLINE, || this.server.node(), |node| !node.is_null()).await;
        let sockets = tempfile::tempdir().unwrap();
        let mut driver =
            TestDriver::start(sockets.path(), DriverOptions::new(DRIVER, Mounting::Pretended)).unwrap();
        let plugins = this.rig.root().join("plugins_registry");
        std::fs::create_dir_all(&plugins).unwrap();
        driver.register(&plugins).unwrap();
        let object: CSIDriver =
            serde_json::from_value(json!({"metadata": {"name": DRIVER}, "spec": {}})).unwrap();
        this.server.client.create(None, &object).await.unwrap();
        (this, driver, sockets)
    }

    /// Kills both, and starts them again.
    fn crash(&mut self) {
        self.rig.kill();
        self.rig.launch_as(&self.command.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// A volume that was made for the claim `claim`.
    async fn volume(&self, name: &str, claim: &str) {
        let volume: PersistentVolume = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "claimRef": {"namespace": "default", "name": claim}, "csi": {"driver": DRIVER, "volumeHandle": name}},
        }))
        .unwrap();
        self.server.client.create(None, &volume).await.unwrap();
    }

    /// An object; null if it is not there, or while the server is away.
    async fn object<K: Object>(&self, namespace: Option<&str>, name: &str) -> Value {
        match self.server.client.get::<K>(namespace, name).await {
            Ok(object) => json!(object),
            Err(error) if error.kind == ApiErrorKind::NotFound || error.is_transient() => Value::Null,
            Err(error) => panic!("{error}"),
        }
    }

    async fn until<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        seen: impl Fn(&Value) -> bool,
    ) -> Value {
        self.rig.until(name, DEADLINE, || self.object::<K>(namespace, name), seen).await
    }

    async fn until_attachment(&self, volume: &str, seen: impl Fn(&Value) -> bool) -> Value {
        self.until::<VolumeAttachment>(None, &attachment(volume), seen).await
    }

    async fn until_listed(&self, volumes: &[&str]) {
        let names = |node: &Value| -> Vec<Value> {
            let listed = node["status"]["volumesAttached"].as_array().into_iter().flatten();
            listed.map(|one| one["name"].clone()).collect()
        };
        let wanted: Vec<Value> = volumes.iter().map(|volume| id(volume).unique_name().into()).collect();
        self.rig
            .until("what is attached", DEADLINE, || self.server.node(), |node| names(node) == wanted)
            .await;
    }

    /// Attaches the volume that is to be attached, or detaches it.
    async fn attach(&self, volume: &str, attached: bool) {
        let (client, name) = (&self.server.client, attachment(volume));
        let finalizers = if attached { json!([ATTACHER]) } else { Value::Null };
        let patch = json!({"metadata": {"finalizers": finalizers}});
        client.patch::<VolumeAttachment>(None, &name, None, &patch).await.unwrap();
        if attached {
            let patch = json!({"status": {"attached": true}});
            client.patch::<VolumeAttachment>(None, &name, Some("status"), &patch).await.unwrap();
        }
    }
}

fn id(volume: &str) -> VolumeId {
    VolumeId { driver: DRIVER.to_owned(), handle: volume.to_owned() }
}

fn attachment(volume: &str) -> String {
    id(volume).attachment("node")
}

#[tokio::test]
async fn volumes_are_attached_before_pods_get_them_and_until_they_are_through_with_them() {
    let (mut machine, driver, _sockets) = Machine::start().await;
    machine.volume("disk", "data").await;
    machine.volume("scratch", "web-own").await;
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    machine.server.make::<PersistentVolumeClaim>(claim.clone()).await;
    let own = json!({"volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": claim["spec"]}}},
    ]});
    let mounts = json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "own", "mountPath": "/own"}]});
    let web = pod("web").container("app", &["run"]).with_container("app", &mounts).with_spec(&own);
    machine.server.create(&web).await;
    for volume in ["disk", "scratch"] {
        machine.until_attachment(volume, |attachment| attachment["spec"]["attacher"] == DRIVER).await;
    }
    machine.attach("scratch", true).await;
    machine.crash();
    machine.until_listed(&["scratch"]).await;
    assert_eq!(driver.staged().get("disk"), None);
    machine.attach("disk", true).await;
    machine.server.until_ready("web").await;
    machine.until_listed(&["scratch", "disk"]).await;

    let hang = driver.raise(Strike::new("NodeUnstageVolume", Moment::Before, Fault::Hang));
    machine.server.delete("web", Some(0)).await;
    driver.wait(DEADLINE, |calls| calls.iter().any(|call| call.name == "NodeUnstageVolume")).await.unwrap();
    // Nobody has the pod's own claim any more. Its volume is on the node still.
    machine
        .until::<PersistentVolume>(None, "scratch", |volume| volume["status"]["phase"] == "Released")
        .await;
    for volume in ["disk", "scratch"] {
        let attachment = machine.object::<VolumeAttachment>(None, &attachment(volume)).await;
        assert!(attachment["metadata"]["deletionTimestamp"].is_null(), "{attachment}");
    }
    machine.crash();
    drop(hang);
    for volume in ["disk", "scratch"] {
        machine
            .until_attachment(volume, |attachment| attachment["metadata"]["deletionTimestamp"].is_string())
            .await;
    }
    machine.until_listed(&[]).await;
    assert!(driver.staged().is_empty());

    // A pod that comes while the volume is being detached waits until it is, and attached again.
    machine.server.create(&by_claim("next")).await;
    machine.attach("disk", false).await;
    machine
        .until_attachment("disk", |attachment| {
            attachment["metadata"]["deletionTimestamp"].is_null() && !attachment.is_null()
        })
        .await;
    assert!(driver.staged().is_empty());
    machine.attach("disk", true).await;
    machine.server.until_ready("next").await;
    assert_eq!(driver.damage(), Vec::<String>::new());
    machine.rig.assert_proper();
}
