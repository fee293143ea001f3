//! Volumes that the control plane attaches, which is the test itself, and what the cluster is told of drivers.

use std::collections::BTreeMap;

use csi::VolumeId;
use csi::announce::{MIGRATED, NODE_ID};
use http::Method;
use kubeapi::Deletion;
use serde_json::{Value, json};
use testkit::csi::{DriverOptions, Mounting};
use testkit::plugin::{Fault, Moment, Strike};
use testkit::pod::pod;
use types::corev1::{PersistentVolume, PersistentVolumeClaim};
use types::k8s::api::storage::v1::{CSIDriver, CSINode, VolumeAttachment};

use crate::csi::{DRIVER, World, by_claim};
use crate::rig::DEADLINE;

/// More pods than can be started at once.
const MANY: usize = 9;

fn options() -> DriverOptions {
    DriverOptions {
        max_volumes: 3,
        topology: BTreeMap::from([("topology.d.example/zone".to_owned(), "z1".to_owned())]),
        ..DriverOptions::new(DRIVER, Mounting::Pretended)
    }
}

fn volume() -> VolumeId {
    VolumeId { driver: DRIVER.to_owned(), handle: "handle-1".to_owned() }
}

/// The control plane as far as it attaches volumes: `solo` makes VolumeAttachments and lists what is attached by itself, where
/// another API server leaves both to the test.
impl World {
    async fn attaching() -> Self {
        Self::attaching_with(options()).await
    }

    async fn attaching_with(options: DriverOptions) -> Self {
        // Room is asked for only when a volume has none.
        let spec = json!({"nodeAllocatableUpdatePeriodSeconds": 3600, "podInfoOnMount": true});
        let mut world = Self::with(spec, options, "").await;
        world.register().await;
        world
    }

    /// Says of the attaching of the volume what `status` says.
    async fn attachment(&self, status: Value) {
        self.attachment_of(&volume(), "pv-1", status).await;
    }

    /// The same of another volume, which is that of `persistent`.
    async fn attachment_of(&self, volume: &VolumeId, persistent: &str, status: Value) {
        let (client, name) = (&self.api.server.client, volume.attachment("node"));
        let object = json!({
            "metadata": {"name": name},
            "spec": {"attacher": DRIVER, "nodeName": "node", "source": {"persistentVolumeName": persistent}},
        });
        let object: VolumeAttachment = serde_json::from_value(object).unwrap();
        // It may be there from before.
        let _ = client.create(None, &object).await;
        let patch = json!({"status": status});
        client.patch::<VolumeAttachment>(None, &name, Some("status"), &patch).await.unwrap();
    }

    /// Says on the Node which volumes are attached.
    async fn attached(&self, names: &[String]) {
        let attached: Vec<_> = names.iter().map(|name| json!({"name": name, "devicePath": ""})).collect();
        let patch = json!({"status": {"volumesAttached": attached}});
        self.api.server.client.patch_node_status("node", &patch).await.unwrap();
    }

    /// Says that the volume is attached no longer.
    async fn detached(&self) {
        self.attachment(json!({"attached": false})).await;
        self.attached(&[]).await;
    }

    async fn until_in_use(&self, is: bool) {
        let name = json!(volume().unique_name());
        let seen = |node: &Value| {
            let mut used = node["status"]["volumesInUse"].as_array().into_iter().flatten();
            used.any(|used| *used == name) == is
        };
        self.api.server.until_node("in use as it should", seen).await;
    }

    async fn until_csi_node(&self, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        let ask = || self.api.server.object::<CSINode>(None);
        self.api.rig.until(what, DEADLINE, ask, seen).await
    }

    async fn until_waiting(&self, name: &str, text: &str) {
        let waits = |why: &Value| why["waitingFor"].to_string().contains(text);
        self.api.rig.until_why(name, text, waits).await;
    }

    fn assert_unasked(&self) {
        assert_eq!(self.driver.changes(), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn a_pod_whose_time_is_over_waits_for_no_volume() {
    let world = World::attaching().await;
    world.api.server.create(&by_claim("web").with_spec(&json!({"activeDeadlineSeconds": 1}))).await;
    let failed = world.api.server.until_pod("web", "over", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(failed["status"]["reason"], "DeadlineExceeded", "{failed}");
    world.assert_unasked();
}

#[tokio::test]
async fn a_volume_is_in_use_before_it_is_staged_and_until_it_is_unstaged() {
    let mut world = World::attaching().await;
    world.api.server.create(&by_claim("web")).await;
    world.until_in_use(true).await;
    world.until_waiting("web", "\\\"pv-1\\\" to be attached to this node").await;
    world.assert_unasked();
    world.api.rig.kill();
    world.api.server.forget_requests();
    world.api.rig.launch();
    world.until_waiting("web", "to be attached to this node").await;
    world.until_in_use(true).await;
    let requests = world.api.server.requests();
    let told = requests.iter().any(|request| request.contains("PATCH") && request.contains("/nodes/"));
    assert!(!told, "a restart takes nothing back: {requests:?}");

    world.assert_unasked();
    let hang = world.driver.raise(Strike::new("NodeStageVolume", Moment::After, Fault::Hang));
    world.attachment(json!({"attached": true, "attachmentMetadata": {"lun": "7"}})).await;
    world.attached(&[volume().unique_name()]).await;
    world.asked("NodeStageVolume").await;
    world.api.rig.kill();
    drop(hang);
    world.api.rig.launch();
    world.api.server.until_ready("web").await;
    assert_eq!(world.driver.last_stage().unwrap().publish_context["lun"], "7");
    assert_eq!(world.driver.last_publish().unwrap().publish_context["lun"], "7");

    // What is mounted stays, whatever is said of it.
    world.driver.forget_calls();
    world.api.rig.kill();
    world.detached().await;
    world.api.rig.launch();
    world.api.server.create(&by_claim("other")).await;
    world.until_waiting("other", "to be attached to this node").await;
    world.api.server.delete("other", Some(0)).await;
    world.api.server.until_gone("other").await;
    world.until_in_use(true).await;
    world.api.server.until_ready("web").await;
    world.assert_unasked();

    let hang = world.driver.raise(Strike::new("NodeUnstageVolume", Moment::Before, Fault::Hang));
    world.api.server.delete("web", Some(0)).await;
    world.asked("NodeUnstageVolume").await;
    world.until_in_use(true).await;
    world.api.rig.kill();
    drop(hang);
    world.api.rig.launch();
    world.until_in_use(false).await;
    assert_eq!(world.driver.changes().last(), Some(&"NodeUnstageVolume"));
    assert_eq!(world.driver.damage(), Vec::<String>::new());
    world.api.rig.assert_proper();
}

#[tokio::test]
async fn real_what_is_mounted_needs_neither_its_attachment_nor_the_api_server_nor_its_driver() {
    let options = DriverOptions { mounting: Mounting::Real, ..options() };
    let mut world = World::attaching_with(options).await;
    world.api.server.create(&by_claim("web")).await;
    world.until_in_use(true).await;
    world.attachment(json!({"attached": true})).await;
    world.attached(&[volume().unique_name()]).await;
    world.api.server.until_ready("web").await;

    world.api.rig.kill();
    world.detached().await;
    world.driver.deregister().unwrap();
    world.driver.forget_calls();
    world.api.rig.launch();
    world.api.rig.until_why("web", "runs", |why| why["step"] == "Running").await;
    world.api.server.stop().await;
    world.api.rig.runtime.exit_container("web", "app", 1);
    let again = world.api.rig.runtime.wait_for("a second start", DEADLINE, |store| {
        store.journal_of("web").iter().filter(|entry| entry.contains("StartContainer")).count() == 2
    });
    again.await.unwrap();
    world.assert_unasked();

    world.api.server.come_back().await;
    world.until_in_use(true).await;
    world.register().await;
    world.api.server.delete("web", Some(0)).await;
    world.until_in_use(false).await;
    assert_eq!(world.driver.changes(), ["NodeUnpublishVolume", "NodeUnstageVolume"]);
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn a_volume_is_in_use_no_longer_than_it_is_here_while_the_driver_hangs_with_another_one() {
    let mut world = World::attaching().await;
    let more = VolumeId { driver: DRIVER.to_owned(), handle: "handle-2".to_owned() };
    let object = json!({"metadata": {"name": "pv-2"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
        "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": DRIVER, "volumeHandle": more.handle},
    }});
    let object: PersistentVolume = serde_json::from_value(object).unwrap();
    world.api.server.client.create(None, &object).await.unwrap();
    let claim = json!({"metadata": {"name": "more", "namespace": "default"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "pv-2",
        "resources": {"requests": {"storage": "1Gi"}},
    }});
    world.api.server.make::<PersistentVolumeClaim>(claim).await;
    let other = pod("other")
        .container("app", &["run"])
        .with_container("app", &json!({"volumeMounts": [{"name": "more", "mountPath": "/more"}]}))
        .with_spec(&json!({"volumes": [{"name": "more", "persistentVolumeClaim": {"claimName": "more"}}]}));
    for pod in [by_claim("web"), other] {
        world.api.server.create(&pod).await;
    }
    world.attachment(json!({"attached": true})).await;
    world.attachment_of(&more, "pv-2", json!({"attached": true})).await;
    world.attached(&[volume().unique_name(), more.unique_name()]).await;
    for name in ["web", "other"] {
        world.api.server.until_ready(name).await;
    }

    let hang = Strike::new("NodeUnstageVolume", Moment::Before, Fault::Hang).volume("handle-1");
    let hang = world.driver.raise(hang);
    world.api.server.delete("web", Some(0)).await;
    world.asked("NodeUnstageVolume").await;
    // berth finds something staged that nobody has, and asks again.
    world.api.rig.kill();
    world.driver.restart().unwrap();
    world.driver.forget_calls();
    world.api.rig.launch();
    world.asked("NodeUnstageVolume").await;
    world.api.server.delete("other", Some(0)).await;
    let left = json!([volume().unique_name()]);
    world.api.server.until_node("one in use", |node| node["status"]["volumesInUse"] == left).await;
    drop(hang);
    world.until_in_use(false).await;
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn pods_that_wait_hold_up_no_others_and_are_told_why_a_volume_is_not_attached() {
    let world = World::attaching().await;
    for n in 0..MANY {
        world.api.server.create(&by_claim(&format!("waits-{n}"))).await;
    }
    world.until_waiting(&format!("waits-{}", MANY - 1), "to be attached to this node").await;
    world.api.server.create(&pod("free").container("app", &["run"])).await;
    world.api.server.until_ready("free").await;

    world
        .until_csi_node("with room for 3", |node| node["spec"]["drivers"][0]["allocatable"]["count"] == 3)
        .await;
    world.driver.set_max_volumes(2);
    let error = json!({"message": "rpc error: no slot left", "errorCode": 8});
    world.attachment(json!({"attached": false, "attachError": error})).await;
    world.until_waiting("waits-0", "failed so far: rpc error: no slot left").await;
    world.api.server.until_event("Pod", "FailedAttachVolume").await;
    world
        .until_csi_node("with room for 2", |node| node["spec"]["drivers"][0]["allocatable"]["count"] == 2)
        .await;
    world.assert_unasked();

    // Said to be attached, by a VolumeAttachment that is not to be seen: nothing is staged.
    world.api.server.fail(Method::GET, "volumeattachments", 404, usize::MAX);
    world.attachment(json!({"attached": true})).await;
    world.attached(&[volume().unique_name()]).await;
    world.api.server.until_event("Pod", "FailedMount").await;
    world.assert_unasked();
}

#[tokio::test]
async fn a_pod_waits_no_longer_when_its_driver_turns_out_not_to_attach() {
    let world = World::attaching().await;
    world.api.server.create(&by_claim("web")).await;
    world.until_waiting("web", "to be attached to this node").await;
    let client = &world.api.server.client;
    client.delete::<CSIDriver>(None, DRIVER, &Deletion::default()).await.unwrap();
    let object =
        json!({"metadata": {"name": DRIVER}, "spec": {"attachRequired": false, "podInfoOnMount": true}});
    let object: CSIDriver = serde_json::from_value(object).unwrap();
    client.create(None, &object).await.unwrap();
    world.api.server.until_ready("web").await;
    let sent = world.driver.last_publish().unwrap();
    assert_eq!(sent.volume_context["csi.storage.k8s.io/pod.name"], "web");
    world.until_in_use(false).await;
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn the_cluster_is_told_of_drivers_and_of_their_end() {
    let mut world = World::with(json!({}), options(), "").await;
    let node = world.api.server.node().await;
    let owned = |csi_node: &Value, node: &Value| {
        csi_node["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
    };
    let without = |csi_node: &Value| csi_node["spec"]["drivers"] == json!([]);
    let empty = world.until_csi_node("there", without).await;
    assert!(owned(&empty, &node));
    assert!(empty["metadata"]["annotations"][MIGRATED].to_string().contains("kubernetes.io/aws-ebs,"));

    for method in [Method::PATCH, Method::GET] {
        world.api.server.fail(method, "csinodes", 500, 1);
    }
    world.register().await;
    let entry = json!([{
        "name": DRIVER, "nodeID": "node-of-the-driver", "topologyKeys": ["topology.d.example/zone"],
        "allocatable": {"count": 3},
    }]);
    let with = |csi_node: &Value| csi_node["spec"]["drivers"] == entry;
    world.until_csi_node("with the driver", with).await;
    let node = world.api.server.node().await;
    assert_eq!(node["metadata"]["annotations"][NODE_ID], format!("{{\"{DRIVER}\":\"node-of-the-driver\"}}"));
    assert_eq!(node["metadata"]["labels"]["topology.d.example/zone"], "z1");

    // A restart writes nothing of it.
    world.api.rig.kill();
    world.api.server.forget_requests();
    world.driver.forget_calls();
    world.api.rig.launch();
    world.asked("NodeGetInfo").await;
    // A Node that is made anew gets all of it.
    world.api.server.delete_node().await;
    let remade = |now: &Value| !now.is_null() && now["metadata"]["uid"] != node["metadata"]["uid"];
    let remade = world.api.server.until_node("made anew", remade).await;
    world.until_csi_node("of the new node", |csi_node| with(csi_node) && owned(csi_node, &remade)).await;
    world.api.server.until_node("told", |node| node["metadata"]["annotations"][NODE_ID].is_string()).await;

    world.driver.deregister().unwrap();
    world.until_csi_node("without the driver", without).await;
    world
        .api
        .server
        .until_node("without it", |node| node["metadata"]["annotations"][NODE_ID].is_null())
        .await;
}
