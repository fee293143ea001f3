use std::path::Path;
use std::time::Duration;

use pluginapi::csi::{AccessMode, Capability, Metrics, Secrets};
use registry::{Handler, Plugin};
use task::events::Recorder;
use telemetry::metrics::Registry;
use testkit::csi::{DriverOptions, Mounting, TestDriver};
use testkit::plugin::{Code, Fault, Moment, Strike};
use volume::ownership::ChangePolicy;

use super::*;
use crate::drivers::Drivers;
use crate::note::Lifecycle;
use crate::wanted::{Group, PodContext};

mod devices;
mod expand;
mod faults;
mod hostile;
mod label;
mod real;
mod usage;

const LONG: Duration = Duration::from_secs(60);
const DRIVER: &str = "d.example";

struct World {
    dir: tempfile::TempDir,
    fake: TestDriver,
    drivers: Drivers,
    volumes: Volumes,
}

impl World {
    async fn start() -> Self {
        Self::with(DriverOptions::new(DRIVER, Mounting::Pretended)).await
    }

    async fn with(options: DriverOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = TestDriver::start(dir.path(), options).unwrap();
        let drivers = Drivers::new(Metrics::register(&Registry::new()));
        let volumes = Self::volumes(&dir, &drivers);
        let world = Self { dir, fake, drivers, volumes };
        world.register().await;
        world
    }

    fn volumes(dir: &tempfile::TempDir, drivers: &Drivers) -> Volumes {
        let layout = Layout::new(dir.path().join("root"));
        let (node, drivers) = ("node-1".to_owned(), drivers.clone());
        let (recorder, _) = Recorder::channel(8);
        Volumes::new(VolumesConfig { layout, node, drivers, recorder, deadline: LONG })
    }

    /// berth starts anew: what it knew is gone.
    fn restart(&mut self) {
        self.volumes = Self::volumes(&self.dir, &self.drivers);
    }

    fn plugin(&self) -> Plugin {
        Plugin {
            kind: "CSIPlugin".into(),
            name: DRIVER.into(),
            endpoint: self.fake.socket().to_owned(),
            versions: vec!["1.0.0".into()],
        }
    }

    async fn register(&self) {
        self.drivers.register(&self.plugin()).await.unwrap();
    }

    async fn deregister(&self) {
        self.drivers.deregister(&self.plugin()).await;
    }

    async fn take_down(&self, pod: &str) -> Result<(), TakeDownError> {
        self.volumes.take_down(&PodUid::from(pod), &()).await.map(drop)
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The files and directories that CSI volumes have left below the root directory.
    fn left(&self) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, all: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                let shown = path.strip_prefix(root).unwrap().display().to_string();
                let is_ours = shown.split('/').any(|part| part == "kubernetes.io~csi" || part == DRIVER);
                let is_base = shown.ends_with("kubernetes.io~csi") || shown.ends_with(DRIVER);
                if is_ours && !is_base {
                    all.push(shown);
                }
                if path.is_dir() {
                    walk(&path, root, all);
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.root(), &self.root(), &mut all);
        all.sort();
        all
    }
}

#[tokio::test]
async fn a_volumes_group_is_known_after_a_restart_and_goes_with_it() {
    let mut world = World::start().await;
    let pod = PodUid::from("u1");
    world.volumes.prepare(&Wanted { gid: Some(1234), ..wanted("u1", "v1") }).await.unwrap();
    world.volumes.prepare(&wanted("u1", "v2")).await.unwrap();
    assert_eq!(world.volumes.groups(&pod).await, [1234]);
    world.restart();
    assert_eq!(world.volumes.groups(&pod).await, [1234]);
    world.take_down("u1").await.unwrap();
    assert_eq!((world.volumes.groups(&pod).await, world.left()), (Vec::new(), Vec::new()));
}

fn wanted(pod: &str, volume: &str) -> Wanted {
    Wanted {
        volume_mode: VolumeMode::Filesystem,
        volume: VolumeId { driver: DRIVER.into(), handle: volume.into() },
        pod: PodUid::from(pod),
        pod_name: types::PodName::new("default", pod),
        spec_name: format!("pv-{volume}"),
        name: format!("the-{volume}"),
        lifecycle: Lifecycle::Persistent,
        mode: AccessMode::ReadWriteOnce,
        by_one_pod: false,
        fs_type: "ext4".into(),
        mount_options: Vec::new(),
        read_only: false,
        publish_context: BTreeMap::new(),
        volume_context: BTreeMap::from([("pool".into(), "fast".into())]),
        pod_context: PodContext(BTreeMap::from([("csi.storage.k8s.io/pod.name".into(), pod.into())])),
        stage_secrets: Secrets::default(),
        publish_secrets: Secrets::default(),
        group: None,
        gid: None,
        label: None,
    }
}

#[tokio::test]
async fn staged_once_and_published_to_each_pod() {
    let world = World::start().await;
    let path = world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    assert_eq!(path, world.root().join("pods/a/volumes/kubernetes.io~csi/pv-v/mount"));
    world.volumes.prepare(&wanted("b", "v")).await.unwrap();
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    assert_eq!(world.fake.changes(), ["NodeStageVolume", "NodePublishVolume", "NodePublishVolume"]);
    let sent = world.fake.last_publish().unwrap();
    assert_eq!(sent.volume_context["csi.storage.k8s.io/pod.name"], "b");
    assert_eq!(sent.volume_context["pool"], "fast");
    assert!(!world.fake.last_stage().unwrap().volume_context.contains_key("csi.storage.k8s.io/pod.name"));

    world.fake.forget_calls();
    world.take_down("a").await.unwrap();
    assert_eq!(world.fake.changes(), ["NodeUnpublishVolume"]);
    world.take_down("b").await.unwrap();
    assert_eq!(world.fake.changes(), ["NodeUnpublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"]);
    world.take_down("b").await.unwrap();
    assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]));
}

#[tokio::test]
async fn notes_are_where_other_kubelets_look_for_them() {
    let world = World::start().await;
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    let staged = world.volumes.config.layout.staging_dir(&wanted("a", "v").volume).join("vol_data.json");
    assert_eq!(
        std::fs::read_to_string(staged).unwrap(),
        "{\"driverName\":\"d.example\",\"volumeHandle\":\"v\"}\n"
    );
    let published = world.root().join("pods/a/volumes/kubernetes.io~csi/pv-v/vol_data.json");
    let text = std::fs::read_to_string(published).unwrap();
    let attachment = wanted("a", "v").volume.attachment("node-1");
    assert_eq!(
        text,
        format!(
            "{{\"attachmentID\":\"{attachment}\",\"driverName\":\"d.example\",\"nodeName\":\"node-1\",\
             \"specVolID\":\"pv-v\",\"volumeHandle\":\"v\",\"volumeLifecycleMode\":\"Persistent\"}}\n"
        )
    );
}

#[tokio::test]
async fn a_driver_that_does_not_stage_and_a_volume_that_goes_with_its_pod() {
    let options = DriverOptions::new(DRIVER, Mounting::Pretended);
    let world = World::with(options.clone().with_capabilities([])).await;
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!(world.fake.changes(), ["NodePublishVolume", "NodeUnpublishVolume"]);
    assert_eq!(world.left(), Vec::<String>::new());

    let world = World::with(options).await;
    let handle = VolumeId::ephemeral_handle(&PodUid::from("a"), "scratch");
    let inline = Wanted {
        volume: VolumeId { driver: DRIVER.into(), handle },
        spec_name: "scratch".into(),
        lifecycle: Lifecycle::Ephemeral,
        ..wanted("a", "v")
    };
    world.volumes.prepare(&inline).await.unwrap();
    assert_eq!(world.fake.last_publish().unwrap().staging_target_path, "");
    world.take_down("a").await.unwrap();
    assert_eq!(world.fake.changes(), ["NodePublishVolume", "NodeUnpublishVolume"]);
    assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]));
}

#[tokio::test]
async fn the_kubelet_gives_the_files_to_the_group_unless_the_driver_does() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let grouped = |by_kubelet| Wanted {
        group: Some(Group { id: 4242, policy: ChangePolicy::Always, by_kubelet }),
        ..wanted("a", "v")
    };
    for by_kubelet in [true, false] {
        let world = World::start().await;
        let path = world.volumes.prepare(&grouped(by_kubelet)).await.unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().gid() == 4242, by_kubelet);
    }
    let options = DriverOptions::new(DRIVER, Mounting::Pretended);
    let world = World::with(options.with_capabilities([Capability::VolumeMountGroup])).await;
    let path = world.volumes.prepare(&grouped(true)).await.unwrap();
    assert_ne!(std::fs::metadata(path).unwrap().gid(), 4242);
}

#[tokio::test]
async fn a_volume_for_one_pod_is_not_given_to_a_second_one() {
    let mut world = World::start().await;
    let alone = |pod| Wanted { by_one_pod: true, ..wanted(pod, "v") };
    world.volumes.prepare(&alone("a")).await.unwrap();
    world.volumes.prepare(&alone("a")).await.unwrap();
    world.restart();
    let error = world.volumes.prepare(&alone("b")).await.unwrap_err();
    assert!(matches!(error, VolumeError::InUse), "{error}");
    world.take_down("a").await.unwrap();
    world.volumes.prepare(&alone("b")).await.unwrap();
}

#[tokio::test]
async fn published_once_more_for_drivers_that_want_it() {
    let world = World::start().await;
    assert!(!world.volumes.republish(&wanted("a", "v")).await.unwrap());
    assert_eq!(world.fake.changes(), Vec::<&str>::new(), "what a pod does not have is not given to it so");
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    world.fake.forget_calls();
    assert!(world.volumes.republish(&wanted("a", "v")).await.unwrap());
    assert_eq!(world.fake.changes(), ["NodePublishVolume"]);
    let fail = Fault::Fail(Code::Internal, "no token".into());
    let _up = world.fake.raise(Strike::new("NodePublishVolume", Moment::Before, fail));
    world.volumes.republish(&wanted("a", "v")).await.unwrap_err();
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_staged_is_unstaged_unless_wanted() {
    let mut world = World::start().await;
    for volume in ["used", "wanted", "left"] {
        world.volumes.prepare(&wanted("a", volume)).await.unwrap();
    }
    for volume in ["wanted", "left"] {
        // berth was killed after it had forgotten what was published.
        let target = wanted("a", volume).target();
        let path = world.volumes.config.published_path(&target).unwrap();
        let (driver, _) = world.volumes.config.driver(&wanted("a", volume).volume).await.unwrap();
        driver.unpublish(volume, &path).await.unwrap();
        disk::forget_target(&world.volumes.config.layout, &target).unwrap();
    }
    world.restart();
    world.fake.forget_calls();
    let failed = world.volumes.reclaim(&BTreeSet::from([wanted("a", "wanted").volume])).await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    let calls = world.fake.calls();
    let unstaged: Vec<_> = calls.iter().filter(|call| call.name == "NodeUnstageVolume").collect();
    assert_eq!(unstaged.len(), 1);
    assert_eq!(unstaged[0].volume.as_deref(), Some("left"));
    assert_eq!(world.fake.staged().keys().collect::<Vec<_>>(), ["used", "wanted"]);
    assert_eq!(world.fake.damage(), Vec::<String>::new());
}

/// An operator has helped a pod go that hung.
#[tokio::test]
async fn what_was_removed_by_hand_is_unpublished_all_the_same() {
    let world = World::start().await;
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    let fail = Fault::Fail(Code::Internal, "it is in use".into());
    let fails = world.fake.raise(Strike::new("NodeUnpublishVolume", Moment::Before, fail));
    world.take_down("a").await.unwrap_err();
    std::fs::remove_dir_all(world.root().join("pods/a/volumes/kubernetes.io~csi/pv-v")).unwrap();
    drop(fails);
    world.fake.forget_calls();
    world.take_down("a").await.unwrap();
    assert_eq!(world.fake.changes(), ["NodeUnpublishVolume", "NodeUnstageVolume"]);
    let alone = Wanted { by_one_pod: true, ..wanted("b", "v") };
    world.volumes.prepare(&alone).await.unwrap();
    world.take_down("b").await.unwrap();
    assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]));
}

#[tokio::test]
async fn hostile_names_and_links_lead_nowhere() {
    let world = World::start().await;
    let plugin = world.root().join("pods/a/volumes/kubernetes.io~csi");
    let outside = world.dir.path().join("outside");
    std::fs::create_dir_all(outside.join("mount")).unwrap();
    std::fs::create_dir_all(&plugin).unwrap();
    std::os::unix::fs::symlink(&outside, plugin.join("pv-v")).unwrap();
    let error = world.volumes.prepare(&wanted("a", "v")).await.unwrap_err();
    assert!(matches!(error, VolumeError::Disk(_)), "{error}");
    assert_eq!(world.fake.changes(), Vec::<&str>::new());
    for name in ["..", "a/b", ""] {
        let odd = Wanted { spec_name: name.into(), ..wanted("a", "v") };
        assert!(world.volumes.prepare(&odd).await.is_err(), "{name:?}");
        let volume = VolumeId { driver: name.into(), handle: "v".into() };
        let odd = Wanted { volume, ..wanted("b", "v") };
        assert!(world.volumes.prepare(&odd).await.is_err(), "{name:?}");
    }
    world.take_down("a").await.unwrap();
    assert!(outside.join("mount").exists(), "what a link leads to is left");
}

#[tokio::test]
async fn a_directory_of_another_volume_is_left_alone() {
    let world = World::start().await;
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    let other = Wanted { spec_name: "pv-v".into(), ..wanted("a", "other") };
    let error = world.volumes.prepare(&other).await.unwrap_err();
    assert!(error.to_string().contains("belongs to volume v of CSI driver d.example"), "{error}");
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]));
}

#[tokio::test]
async fn a_volume_that_hangs_is_not_waited_for_when_others_are_unstaged() {
    let mut world = World::start().await;
    for volume in ["v", "w"] {
        world.volumes.prepare(&wanted("a", volume)).await.unwrap();
        std::fs::remove_dir_all(world.root().join("pods")).unwrap();
    }
    world.restart();
    let config = VolumesConfig { deadline: Duration::from_secs(1), ..(*world.volumes.config).clone() };
    let volumes = Volumes { config: Arc::new(config), ..world.volumes.clone() };
    let id = wanted("a", "v").volume;
    let _hangs = volumes.owners.turn(&id).await;
    let left = volumes.reclaim(&BTreeSet::new()).await.unwrap();
    let hung: Vec<_> = left.iter().filter(|(_, error)| matches!(error, VolumeError::Hung { .. })).collect();
    assert!(matches!(&hung[..], [(volume, _)] if *volume == id), "{left:?}");
    assert_eq!(world.fake.changes().last(), Some(&"NodeUnstageVolume"), "of the other one");
}
