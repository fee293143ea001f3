//! Calls to a driver that is really there, and what is learned when it fails in the middle of one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pluginapi::PluginErrorKind;
use pluginapi::csi::{
    AccessMode, AccessType, Capabilities, Driver, Expand, Metrics, Publish, Secrets, Stage, Usage,
    VolumeAccess,
};
use telemetry::metrics::Registry;
use testkit::csi::{Capability, DriverOptions, Mounting, TestDriver};
use testkit::plugin::{Code, Fault, Moment, Strike};

const LONG: Duration = Duration::from_secs(30);

struct World {
    dir: tempfile::TempDir,
    fake: TestDriver,
    driver: Driver,
    registry: Registry,
}

impl World {
    fn start() -> Self {
        Self::with(DriverOptions::new("d.example", Mounting::Pretended))
    }

    fn with(options: DriverOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = TestDriver::start(dir.path(), options).unwrap();
        let registry = Registry::new();
        let metrics = Metrics::register(&registry);
        let driver = Driver::new("d.example".into(), fake.socket().to_owned(), metrics);
        Self { dir, fake, driver, registry }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn stage(&self) -> Stage {
        std::fs::create_dir_all(self.path("staging")).unwrap();
        Stage {
            volume: "v1".into(),
            staging_path: self.path("staging"),
            access: access(Some(7)),
            publish_context: BTreeMap::from([("lun".into(), "3".into())]),
            volume_context: BTreeMap::from([("pool".into(), "fast".into())]),
            secrets: Secrets::from_iter([("password".to_owned(), "hunter2".to_owned())]),
        }
    }

    fn publish(&self) -> Publish {
        let stage = self.stage();
        Publish {
            volume: stage.volume,
            staging_path: Some(stage.staging_path),
            target_path: self.path("target"),
            access: stage.access,
            read_only: true,
            publish_context: stage.publish_context,
            volume_context: stage.volume_context,
            secrets: stage.secrets,
        }
    }
}

fn access(group: Option<u32>) -> VolumeAccess {
    let as_type = AccessType::Mount { fs_type: "ext4".into(), flags: vec!["noatime".into()], group };
    VolumeAccess { mode: AccessMode::ReadWriteOnce, as_type }
}

fn stages() -> Capabilities {
    Capabilities::from_iter([Capability::StageUnstage])
}

#[tokio::test(start_paused = true)]
async fn who_it_is_and_what_it_can_do() {
    let mut options = DriverOptions::new("d.example", Mounting::Pretended);
    options.max_volumes = 12;
    options.topology = BTreeMap::from([("zone".into(), "a".into())]);
    let world = World::with(options);
    let info = world.driver.plugin_info().await.unwrap();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("d.example", "0.1"));
    assert!(world.driver.probe().await.unwrap());
    let node = world.driver.node_info().await.unwrap();
    assert_eq!((node.id.as_str(), node.max_volumes), ("node-of-the-driver", Some(12)));
    assert_eq!(node.topology["zone"], "a");
    let capabilities = world.driver.capabilities().await.unwrap();
    assert!(capabilities.has(Capability::StageUnstage) && !capabilities.has(Capability::VolumeMountGroup));
    assert_eq!(world.fake.authority().as_deref(), Some("localhost"), "what servers in Go and C++ take");
}

#[tokio::test(start_paused = true)]
async fn all_that_a_volume_goes_through() {
    let world = World::start();
    let (stage, publish, capabilities) = (world.stage(), world.publish(), stages());
    world.driver.stage(&stage, &capabilities).await.unwrap();
    world.driver.publish(&publish, &capabilities).await.unwrap();
    let expand = Expand {
        volume: "v1".into(),
        volume_path: publish.target_path.clone(),
        staging_path: Some(stage.staging_path.clone()),
        bytes: 1 << 30,
        access: access(None),
        secrets: Secrets::default(),
    };
    assert_eq!(world.driver.expand(&expand, &capabilities).await.unwrap(), Some(1 << 30));
    let usage = world.driver.usage("v1", &publish.target_path).await.unwrap();
    assert_eq!(usage.inodes, Some(Usage { available: 300, total: 400, used: 100 }));
    world.driver.unpublish("v1", &publish.target_path).await.unwrap();
    world.driver.unstage("v1", &stage.staging_path).await.unwrap();
    assert_eq!(
        world.fake.changes(),
        [
            "NodeStageVolume",
            "NodePublishVolume",
            "NodeExpandVolume",
            "NodeUnpublishVolume",
            "NodeUnstageVolume"
        ]
    );
    assert_eq!(world.fake.damage(), Vec::<String>::new());
    let sent = world.fake.last_stage().unwrap();
    assert_eq!((sent.publish_context["lun"].as_str(), sent.secrets["password"].as_str()), ("3", "hunter2"));
    let sent = world.fake.last_publish().unwrap();
    assert!(sent.readonly && sent.staging_target_path.ends_with("/staging"));
    let metrics = world.registry.encode();
    let labels = "driver_name=\"d.example\",grpc_status_code=\"OK\",\
                  method_name=\"/csi.v1.Node/NodePublishVolume\",migrated=\"false\"";
    assert!(metrics.contains(&format!("csi_operations_seconds_count{{{labels}}} 1")), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_does_not_stage_is_not_told_of_staging() {
    let world = World::with(DriverOptions::new("d.example", Mounting::Pretended).with_capabilities([]));
    world.driver.publish(&world.publish(), &Capabilities::default()).await.unwrap();
    assert_eq!(world.fake.last_publish().unwrap().staging_target_path, "");
    let error = world.driver.stage(&world.stage(), &Capabilities::default()).await.unwrap_err();
    assert_eq!(error.kind, PluginErrorKind::Unimplemented);
}

#[tokio::test(start_paused = true)]
async fn what_a_failure_says() {
    let world = World::start();
    let stage = world.stage();
    let failing = async |moment, fault| {
        let _up = world.fake.raise(Strike::new("NodeStageVolume", moment, fault));
        let error = world.driver.stage(&stage, &stages()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("NodeStageVolume of CSI driver d.example for volume v1: "), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        error
    };
    let said = failing(Moment::Before, Fault::Fail(Code::Internal, "mkfs failed".into())).await;
    assert_eq!((said.kind.is_uncertain(), said.message.as_str()), (false, "mkfs failed"));
    let pending = failing(Moment::Before, Fault::Fail(Code::Aborted, "pending".into())).await;
    assert!(pending.kind.is_uncertain());
    for moment in [Moment::Before, Moment::After] {
        let hung = failing(moment, Fault::Hang).await;
        assert_eq!(hung.kind, PluginErrorKind::Timeout);
        let crashed = failing(moment, Fault::Crash).await;
        assert!(crashed.kind.is_uncertain(), "{crashed:?}");
        world.fake.restart().unwrap();
    }
    world.fake.crash();
    let away = world.driver.stage(&stage, &stages()).await.unwrap_err();
    assert_eq!(away.kind, PluginErrorKind::Unavailable);
    assert!(away.message.contains("csi.sock"), "{away}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_holds_up_no_other() {
    let world = World::start();
    let _up = world.fake.raise(Strike::new("NodeGetVolumeStats", Moment::Before, Fault::Hang));
    let hanging = tokio::spawn({
        let driver = world.driver.clone();
        async move { driver.usage("v1", Path::new("/x")).await }
    });
    world.fake.wait(LONG, |calls| calls.iter().any(|c| c.name == "NodeGetVolumeStats")).await.unwrap();
    assert!(world.driver.probe().await.unwrap());
    assert!(!hanging.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_was_replaced_is_asked_anew() {
    let world = World::start();
    assert!(world.driver.probe().await.unwrap());
    world.fake.restart().unwrap();
    assert!(world.driver.probe().await.unwrap());
}
