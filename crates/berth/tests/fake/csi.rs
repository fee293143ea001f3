//! Volumes of a CSI driver that really speaks gRPC, by claims and inline.

use std::path::PathBuf;

use pluginapi::proto::csi::volume_capability::AccessType;
use serde_json::{Value, json};
use testkit::csi::{DriverOptions, Mounting, TestDriver};
use testkit::disk::Disk;
use testkit::plugin::{Call, Code, Fault, Moment, Strike};
use testkit::pod::{PodBuilder, pod};
use types::corev1::{PersistentVolume, PersistentVolumeClaim};
use types::k8s::api::storage::v1::CSIDriver;

use crate::api_server::ApiRig;
use crate::rig::DEADLINE;

pub(crate) const DRIVER: &str = "d.example";

pub(crate) struct World {
    pub(crate) api: ApiRig,
    pub(crate) driver: TestDriver,
    _dir: tempfile::TempDir,
}

impl World {
    /// A node with a driver that registers, and a claim that is bound to a volume of it.
    async fn start() -> Self {
        Self::with(no_attach(), options(), "").await
    }

    /// The same with this CSIDriver object, a driver that does so, and `more` in the node's configuration.
    pub(crate) async fn with(spec: Value, options: DriverOptions, more: &str) -> Self {
        let mut api = ApiRig::prepare(more).await;
        api.rig.launch();
        api.server.until_node("registered", |node| !node.is_null()).await;
        let dir = tempfile::tempdir().unwrap();
        let mode = if options.device.is_some() { "Block" } else { "Filesystem" };
        let driver = TestDriver::start(dir.path(), options).unwrap();
        let object = json!({"metadata": {"name": DRIVER}, "spec": spec});
        let object: CSIDriver = serde_json::from_value(object).unwrap();
        api.server.client.create(None, &object).await.unwrap();
        let volume = json!({
            "metadata": {"name": "pv-1"},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "volumeMode": mode,
                "storageClassName": "", "persistentVolumeReclaimPolicy": "Retain",
                "csi": {"driver": DRIVER, "volumeHandle": "handle-1", "volumeAttributes": {"pool": "fast"}},
            },
        });
        let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
        api.server.client.create(None, &volume).await.unwrap();
        api.server
            .make::<PersistentVolumeClaim>(json!({
                "metadata": {"name": "data", "namespace": "default"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "pv-1",
                    "volumeMode": mode,
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }))
            .await;
        bind(&api).await;
        Self { api, driver, _dir: dir }
    }

    /// The driver's registrar starts. The directory of plugins is there as soon as berth looks at it.
    pub(crate) async fn register(&mut self) {
        let dir = self.api.rig.root().join("plugins_registry");
        std::fs::create_dir_all(&dir).unwrap();
        self.driver.register(&dir).unwrap();
        let registration = self.driver.registration().unwrap();
        assert_eq!(registration.wait_verdicts(1, DEADLINE).await.unwrap(), ["registered"]);
    }

    /// Waits until the driver was asked `call`.
    pub(crate) async fn asked(&self, call: &str) {
        let asked = |calls: &[Call]| calls.iter().any(|seen| seen.name == call);
        self.driver.wait(DEADLINE * 3, asked).await.unwrap();
    }

    /// The controller has made the volume larger, and tells the node.
    async fn enlarge(&self, size: &str) {
        let client = &self.api.server.client;
        let capacity = json!({"spec": {"capacity": {"storage": size}}});
        client.patch::<PersistentVolume>(None, "pv-1", None, &capacity).await.unwrap();
        let status = json!({"status": {
            "allocatedResources": {"storage": size},
            "allocatedResourceStatuses": {"storage": "NodeResizePending"},
            "conditions": [{"type": "FileSystemResizePending", "status": "True"}],
        }});
        let claim = client.patch::<PersistentVolumeClaim>(Some("default"), "data", Some("status"), &status);
        claim.await.unwrap();
    }

    /// Waits until the claim's status is as `wanted` says.
    async fn until_claim(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        let client = &self.api.server.client;
        let status = async || {
            let claim: PersistentVolumeClaim = client.get(Some("default"), "data").await.unwrap();
            json!(claim.status)
        };
        self.api.rig.until(what, DEADLINE, status, wanted).await;
    }

    /// The volume grows after the pod `last` had it, and before the pod "next" gets it.
    async fn grows_before(&self, last: &str, next: &PodBuilder) {
        self.api.server.delete(last, Some(0)).await;
        self.api.server.until_gone(last).await;
        self.asked("NodeUnstageVolume").await;
        self.enlarge("3Gi").await;
        self.api.server.create(next).await;
        self.api.server.until_ready("next").await;
        assert_eq!(self.driver.size("handle-1"), 3 << 30, "before it is ready");
        self.until_claim("grown before", is_done("3Gi")).await;
    }

    /// Waits until that many volumes of the driver are to be there, and are.
    async fn until_counted(&self, count: usize) {
        let counted = |page: &Value| {
            let of =
                format!("volume_manager_total_volumes{{plugin_name=\"kubernetes.io/csi:{DRIVER}\",state=");
            ["actual", "desired"].iter().all(|state| {
                page.as_str()
                    .unwrap_or_default()
                    .contains(&format!("{of}\"{state}_state_of_world\"}} {count}"))
            })
        };
        let page = || async { json!(self.api.rig.ask("/metrics").await.unwrap_or_default()) };
        self.api.rig.until("the volumes are counted", DEADLINE, page, counted).await;
    }

    async fn path(&self, name: &str, spec_name: &str) -> PathBuf {
        let pod = self.api.server.pod(name).await;
        let dir = self.api.rig.root().join("pods").join(pod["metadata"]["uid"].as_str().unwrap());
        dir.join("volumes/kubernetes.io~csi").join(spec_name).join("mount")
    }

    /// Where the directory of the container's volume is on the node.
    fn mounted(&self, name: &str) -> String {
        self.api.rig.runtime.read(|store| {
            let mounts = &store.container(name, "app").unwrap().config.mounts;
            mounts.iter().find(|mount| mount.container_path == "/data").unwrap().host_path.clone()
        })
    }
}

fn options() -> DriverOptions {
    DriverOptions::new(DRIVER, Mounting::Pretended)
}

/// A CSIDriver object for volumes that are not attached.
fn no_attach() -> Value {
    json!({
        "attachRequired": false, "podInfoOnMount": true, "volumeLifecycleModes": ["Persistent", "Ephemeral"],
    })
}

/// Binds the claim to the volume where no controller does.
pub(crate) async fn bind(api: &ApiRig) {
    if !api.server.is_real() {
        return;
    }
    let client = &api.server.client;
    let claim: PersistentVolumeClaim = client.get(Some("default"), "data").await.unwrap();
    let reference = json!({"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data", "uid": claim.metadata.uid});
    let patch = json!({"spec": {"claimRef": reference}});
    client.patch::<PersistentVolume>(None, "pv-1", None, &patch).await.unwrap();
    let patch = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    client.patch::<PersistentVolumeClaim>(Some("default"), "data", Some("status"), &patch).await.unwrap();
}

fn with(name: &str, volume: Value) -> PodBuilder {
    let mut volume = volume;
    volume["name"] = json!("data");
    pod(name)
        .container("app", &["run"])
        .with_container("app", &json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}))
        .with_spec(&json!({"volumes": [volume]}))
}

pub(crate) fn by_claim(name: &str) -> PodBuilder {
    with(name, json!({"persistentVolumeClaim": {"claimName": "data"}}))
}

#[tokio::test]
async fn a_claim_of_a_driver_from_its_pods_start_to_their_end() {
    let mut world = World::start().await;
    world.api.server.create(&by_claim("web")).await;
    let waits = |why: &Value| why.to_string().contains("not found in the list of registered CSI drivers");
    world.api.rig.until_why("web", "waits for its driver", waits).await;
    world.register().await;
    world.api.server.until_ready("web").await;
    assert_eq!(world.mounted("web"), world.path("web", "pv-1").await.display().to_string());
    let sent = world.driver.last_publish().unwrap();
    assert_eq!(sent.volume_context["csi.storage.k8s.io/pod.name"], "web");
    assert_eq!(sent.volume_context["pool"], "fast");
    // A driver that answers late is in the next page.
    let page = || async { json!(world.api.rig.ask("/metrics").await.unwrap_or_default()) };
    let used = "kubelet_volume_stats_used_bytes{namespace=\"default\",persistentvolumeclaim=\"data\"} 1.048576e+06\n";
    let shown = |page: &Value| page.as_str().is_some_and(|page| page.contains(used));
    world.api.rig.until("what is used is shown", DEADLINE, page, shown).await;
    world.until_counted(1).await;
    let node = world.api.server.node().await;
    assert_eq!(node["status"]["volumesInUse"], Value::Null, "nobody attaches it");

    world.api.server.create(&by_claim("other")).await;
    world.api.server.until_ready("other").await;
    assert_eq!(world.driver.changes(), ["NodeStageVolume", "NodePublishVolume", "NodePublishVolume"]);
    world.driver.forget_calls();
    world.api.rig.kill();
    world.api.rig.launch();
    world.until_counted(2).await;
    for name in ["web", "other"] {
        world.api.server.delete(name, Some(0)).await;
        world.api.server.until_gone(name).await;
    }
    world.asked("NodeUnstageVolume").await;
    assert_eq!(world.driver.changes(), ["NodeUnpublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"]);
    assert_eq!(world.driver.damage(), Vec::<String>::new());
    world.api.rig.assert_proper();
}

/// Whether a claim has grown to `size`, and owes nothing.
fn is_done(size: &str) -> impl Fn(&Value) -> bool {
    move |status| {
        status["capacity"]["storage"] == size
            && status["allocatedResourceStatuses"]["storage"].is_null()
            && status["conditions"].as_array().is_none_or(Vec::is_empty)
    }
}

#[tokio::test]
async fn a_device_grows_in_use_and_before_a_pod_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("disk.img");
    std::fs::write(&file, [0; 1 << 12]).unwrap();
    let Some(disk) = Disk::on(&file) else {
        println!("skipped: this kernel has no loop device");
        return;
    };
    let options =
        DriverOptions { device: Some(disk.0.clone()), ..DriverOptions::new(DRIVER, Mounting::Real) };
    let mut world = World::with(no_attach(), options, "syncFrequency: 1s\n").await;
    world.register().await;
    let device = json!({"volumeDevices": [{"name": "data", "devicePath": "/dev/xvda"}]});
    let volumes = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
    let of = |name| pod(name).container("app", &["run"]).with_container("app", &device).with_spec(&volumes);
    world.api.server.create(&of("db")).await;
    let db = world.api.server.until_ready("db").await;
    world.enlarge("2Gi").await;
    world.until_claim("grown in use", is_done("2Gi")).await;
    let sent = world.driver.last_expand().unwrap();
    let devices = world.api.rig.root().join("plugins/kubernetes.io/csi/volumeDevices");
    let published = devices.join("publish/pv-1").join(db["metadata"]["uid"].as_str().unwrap());
    assert_eq!(sent.volume_path, published.display().to_string());
    assert_eq!(sent.staging_target_path, devices.join("staging/pv-1").display().to_string());
    assert!(matches!(sent.volume_capability.unwrap().access_type, Some(AccessType::Block(_))));
    world.grows_before("db", &of("next")).await;
    world.api.server.delete("next", Some(0)).await;
    world.api.server.until_gone("next").await;
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn a_volume_grows_in_use_and_before_a_pod_gets_it() {
    let mut world = World::with(no_attach(), options(), "syncFrequency: 1s\n").await;
    world.register().await;
    world.api.server.create(&by_claim("web")).await;
    world.api.server.until_ready("web").await;
    world.enlarge("2Gi").await;
    world.until_claim("grown in use", is_done("2Gi")).await;
    let sent = world.driver.last_expand().unwrap();
    assert_eq!(sent.volume_path, world.path("web", "pv-1").await.display().to_string());
    assert_eq!(world.driver.size("handle-1"), 2 << 30);
    for kind in ["Pod", "PersistentVolumeClaim"] {
        world.api.server.until_event(kind, "FileSystemResizeSuccessful").await;
    }
    world.grows_before("web", &by_claim("next")).await;

    let fault = Fault::Fail(Code::OutOfRange, "no room".into());
    let _full = world.driver.raise(Strike::new("NodeExpandVolume", Moment::Before, fault));
    world.enlarge("4Gi").await;
    let is_given_up = |status: &Value| {
        let conditions = status["conditions"].to_string();
        status["allocatedResourceStatuses"]["storage"] == "NodeResizeInfeasible"
            && conditions.contains("NodeResizeError")
            && conditions.contains("no room")
    };
    world.until_claim("given up", is_given_up).await;
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn a_driver_that_wants_to_publish_again_does_so_with_each_resync() {
    let mut spec = no_attach();
    spec["requiresRepublish"] = json!(true);
    let mut world = World::with(spec, options(), "syncFrequency: 1s\n").await;
    world.register().await;
    world.api.server.create(&by_claim("web")).await;
    world.api.server.until_ready("web").await;
    let published = |calls: &[Call]| calls.iter().filter(|call| call.name == "NodePublishVolume").count();
    world.driver.wait(DEADLINE, |calls| published(calls) >= 3).await.unwrap();
    // A failure is told, and the volume stays as it is.
    let fault = Fault::Fail(Code::Internal, "no token".into());
    let _fails = world.driver.raise(Strike::new("NodePublishVolume", Moment::Before, fault));
    world.api.server.until_event("Pod", "FailedMount").await;
    let pod = world.api.server.pod("web").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true, "{pod}");
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn an_inline_volume() {
    let mut world = World::start().await;
    world.register().await;
    world.api.server.create(&with("web", json!({"csi": {"driver": DRIVER, "readOnly": true}}))).await;
    world.api.server.until_ready("web").await;
    assert_eq!(world.mounted("web"), world.path("web", "data").await.display().to_string());
    let sent = world.driver.last_publish().unwrap();
    assert!(sent.readonly && sent.volume_id.starts_with("csi-"));
    assert_eq!(sent.volume_context["csi.storage.k8s.io/ephemeral"], "true");
    world.api.server.delete("web", Some(0)).await;
    world.asked("NodeUnpublishVolume").await;
    assert_eq!(world.driver.changes(), ["NodePublishVolume", "NodeUnpublishVolume"]);
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_driver_did_not_do_is_tried_again_soon_and_less_and_less_often() {
    let mut world = World::start().await;
    world.register().await;
    let fault = |text: &str| Fault::Fail(Code::Internal, text.into());
    let stages = Strike::new("NodeStageVolume", Moment::Before, fault("not yet")).times(2);
    let _twice = world.driver.raise(stages);
    world.api.server.create(&by_claim("web")).await;
    // Ten seconds after each failure this would be late.
    world.api.server.until_ready("web").await;
    let stages = "NodeStageVolume";
    assert_eq!(world.driver.changes(), [stages, stages, stages, "NodePublishVolume"]);

    let unpublishes = Strike::new("NodeUnpublishVolume", Moment::Before, fault("it is in use"));
    let fails = world.driver.raise(unpublishes);
    world.api.server.delete("web", Some(0)).await;
    let rests = |why: &Value| {
        let failures = why["failures"].as_array().into_iter().flatten();
        let mut rests = failures.filter(|failure| failure["retryAt"].is_string());
        rests.any(|failure| failure.to_string().contains("it is in use"))
    };
    world.api.rig.until_why("web", "is tried again", rests).await;
    drop(fails);
    // A driver that comes is asked at once.
    world.driver.deregister().unwrap();
    world.register().await;
    world.api.server.until_gone("web").await;
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn a_driver_that_hangs_holds_up_its_own_pods_alone_and_a_kill_loses_nothing() {
    let mut world = World::start().await;
    world.register().await;
    let hang = world.driver.raise(Strike::new("NodePublishVolume", Moment::After, Fault::Hang));
    world.api.server.create(&by_claim("stuck")).await;
    world.asked("NodePublishVolume").await;
    world.api.server.create(&pod("free").container("app", &["run"])).await;
    world.api.server.until_ready("free").await;

    world.api.rig.kill();
    drop(hang);
    world.api.rig.launch();
    world.api.server.until_ready("stuck").await;
    // A pod that is deleted while berth is away, and its driver with it.
    world.api.rig.kill();
    world.driver.deregister().unwrap();
    world.api.server.delete("stuck", Some(0)).await;
    world.api.rig.launch();
    world.driver.forget_calls();
    let stopped = |calls: &Value| calls.to_string().contains("StopContainer");
    let calls = || async { json!(world.api.rig.runtime.read(|store| store.journal_of("stuck"))) };
    world.api.rig.until("the pod is stopped", DEADLINE, calls, stopped).await;
    world.register().await;
    world.asked("NodeUnstageVolume").await;
    assert_eq!(world.driver.changes(), ["NodeUnpublishVolume", "NodeUnstageVolume"]);
    assert_eq!(world.driver.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn however_many_pods_wait_for_a_driver_that_hangs_another_one_starts() {
    let mut world = World::start().await;
    world.register().await;
    let _hang = world.driver.raise(Strike::new("NodeStageVolume", Moment::Before, Fault::Hang));
    // With places that are held for 5 s, four at a time, these would hold up another one for a minute.
    for index in 0..48 {
        world.api.server.create(&by_claim(&format!("stuck-{index}"))).await;
    }
    world.asked("NodeStageVolume").await;
    let waits = |why: &Value| why["waitingFor"].to_string().contains("volumes");
    world.api.rig.until_why("stuck-47", "waits for volumes", waits).await;
    world.api.server.create(&pod("free").container("app", &["run"])).await;
    world.api.server.until_ready("free").await;
}

#[tokio::test]
async fn a_driver_that_hangs_while_its_volume_is_taken_away_is_named() {
    let mut world = World::start().await;
    world.register().await;
    // An earlier pod's call still goes on: another one is not made before it has ended.
    let stages = world.driver.raise(Strike::new("NodeStageVolume", Moment::After, Fault::Hang));
    world.api.server.create(&by_claim("web")).await;
    world.asked("NodeStageVolume").await;
    world.api.server.delete("web", Some(0)).await;
    let waits = |text: &'static str| move |why: &Value| why["waitingFor"].to_string().contains(text);
    let earlier = "what CSI driver d.example was asked earlier about volume";
    world.api.rig.until_why("web", "waits for the earlier call", waits(earlier)).await;
    drop(stages);
    world.api.server.until_gone("web").await;

    world.api.server.create(&by_claim("web")).await;
    world.api.server.until_ready("web").await;
    let _unpublishes = world.driver.raise(Strike::new("NodeUnpublishVolume", Moment::Before, Fault::Hang));
    world.api.server.delete("web", Some(0)).await;
    let now = "CSI driver d.example to take volume";
    world.api.rig.until_why("web", "waits for its driver", waits(now)).await;
}
