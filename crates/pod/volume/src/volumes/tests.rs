use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use linux::mount;
use serde_json::json;
use types::objects::ObjectError;

use super::*;
use crate::testing::{Ground, pod, uid, volumes};
use crate::{Attempt, DriverError, FoundVolume, MountSource, NotShown};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn path_of(prepared: &Prepared, name: &str) -> PathBuf {
    prepared.get(name).unwrap().source.host_path().unwrap().to_owned()
}

fn none() -> Arc<Objects> {
    Arc::default()
}

/// The ConfigMap `settings` with one key, or that there is none.
fn settings(value: Option<&str>) -> Arc<Objects> {
    let found = value
        .ok_or_else(|| ObjectError::no_config_map("settings"))
        .map(|value| Arc::new(serde_json::from_value(json!({"data": {"level": value}})).unwrap()));
    Arc::new(Objects { config_maps: [("settings".to_owned(), found)].into(), ..Objects::default() })
}

#[tokio::test]
async fn an_empty_directory_on_disk_keeps_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(json!([{"name": "cache", "emptyDir": {}}]));
    let path = path_of(&volumes(dir.path()).prepare(&pod, &none()).await.unwrap(), "cache");
    assert_eq!(path, dir.path().join("pods/u/volumes/kubernetes.io~empty-dir/cache"));
    assert_eq!((mode(&path), mode(&dir.path().join("pods/u"))), (0o777, 0o750));
    assert!(dir.path().join("pods/u/plugins/kubernetes.io~empty-dir/cache/ready").is_file());

    std::fs::write(path.join("data"), "kept").unwrap();
    linux::fs::chmod(&path, 0o700).unwrap();
    // As after a restart of berth: nothing is remembered but what is on disk.
    let again = volumes(dir.path());
    again.prepare(&pod, &none()).await.unwrap();
    assert_eq!(std::fs::read(path.join("data")).unwrap(), b"kept");
    assert_eq!(mode(&path), 0o700, "what the container set stays");

    again.remove_pod_dir(&uid(), &()).await.unwrap();
    assert!(!dir.path().join("pods/u").exists());
}

#[tokio::test]
async fn what_a_crash_left_half_made_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let half = dir.path().join("pods/u/volumes/kubernetes.io~empty-dir/cache");
    linux::fs::create_dir_all(&half, 0o700).unwrap();
    volumes(dir.path()).prepare(&pod(json!([{"name": "cache"}])), &none()).await.unwrap();
    assert_eq!(mode(&half), 0o777);
}

#[tokio::test]
async fn a_link_in_the_place_of_a_volume_is_refused() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plugin = dir.path().join("pods/u/volumes/kubernetes.io~empty-dir");
    linux::fs::create_dir_all(&plugin, 0o750).unwrap();
    std::os::unix::fs::symlink(outside.path(), plugin.join("cache")).unwrap();
    let before = mode(outside.path());
    let error = volumes(dir.path()).prepare(&pod(json!([{"name": "cache"}])), &none()).await.unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(mode(outside.path()), before);
}

#[tokio::test]
async fn failures_are_named_each_and_the_others_are_prepared() {
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(json!([
        {"name": "gone", "hostPath": {"path": "/no/such/path", "type": "Directory"}},
        {"name": "fine", "emptyDir": {}},
        {"name": "settings", "configMap": {"name": "c"}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "bad", "downwardAPI": {"items": [{"path": "f", "fieldRef": {"fieldPath": "spec.nope"}}]}},
    ]));
    let error = volumes(dir.path()).prepare(&pod, &none()).await.unwrap_err();
    let names: Vec<_> = error.failures.iter().map(|failure| failure.volume.as_str()).collect();
    assert_eq!(names, ["gone", "settings", "token", "bad"]);
    assert_eq!(error.reason(), "FailedMount");
    let text = error.to_string();
    for part in [
        "pod n/p",
        "volume \"gone\" (hostPath): hostPath type check failed: there is nothing at /no/such/path",
        "volume \"settings\" (configMap): configmap \"c\" not found",
        "volume \"token\" (projected): no token was asked for",
        "volume \"bad\" (downwardAPI): file \"f\": the field path \"spec.nope\" is not offered",
    ] {
        assert!(text.contains(part), "{part}\nin: {text}");
    }
    assert!(dir.path().join("pods/u/volumes/kubernetes.io~empty-dir/fine").is_dir());
}

#[tokio::test]
async fn a_config_map_is_shown_followed_and_kept_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = volumes(dir.path());
    let pod = pod(json!([{"name": "etc", "configMap": {"name": "settings", "defaultMode": 0o640}}]));
    let error = volumes.prepare(&pod, &settings(None)).await.unwrap_err();
    assert_eq!(
        error.failures[0].event_message(),
        "MountVolume.SetUp failed for volume \"etc\" : configmap \"settings\" not found"
    );
    assert!(!error.is_transient());

    let prepared = volumes.prepare(&pod, &settings(Some("info"))).await.unwrap();
    let path = path_of(&prepared, "etc");
    assert_eq!(path, dir.path().join("pods/u/volumes/kubernetes.io~configmap/etc"));
    assert!(prepared.get("etc").unwrap().read_only && prepared.behind.is_empty());
    let read = || std::fs::read_to_string(path.join("level")).unwrap();
    assert_eq!((read().as_str(), mode(&path.join("level"))), ("info", 0o640));

    // As after a restart of berth: what is the same is not written again.
    let version = std::fs::read_link(path.join("..data")).unwrap();
    self::volumes(dir.path()).prepare(&pod, &settings(Some("info"))).await.unwrap();
    assert_eq!(std::fs::read_link(path.join("..data")).unwrap(), version);

    assert!(volumes.refresh(&pod, &settings(Some("debug"))).await.unwrap().is_empty());
    assert_eq!(read(), "debug");
    let behind = volumes.refresh(&pod, &settings(None)).await.unwrap();
    assert_eq!((behind.len(), behind[0].volume.as_str(), read().as_str()), (1, "etc", "debug"));
    // A container that ends meanwhile can start again.
    let prepared = volumes.prepare(&pod, &settings(None)).await.unwrap();
    assert_eq!((path_of(&prepared, "etc"), prepared.behind.len()), (path.clone(), 1));
    volumes.remove_pod_dir(&uid(), &()).await.unwrap();
    assert!(!dir.path().join("pods/u").exists());
}

#[tokio::test]
async fn an_optional_config_map_comes_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = volumes(dir.path());
    let pod = pod(json!([{"name": "etc", "configMap": {"name": "settings", "optional": true}}]));
    let path = path_of(&volumes.prepare(&pod, &settings(None)).await.unwrap(), "etc");
    assert!(!path.join("level").exists());
    volumes.refresh(&pod, &settings(Some("info"))).await.unwrap();
    assert!(path.join("level").exists());
    assert!(volumes.refresh(&pod, &settings(None)).await.unwrap().is_empty());
    assert!(!path.join("level").exists());
}

#[tokio::test]
async fn real_tokens_and_secrets_are_in_memory_and_private() {
    let Some(ground) = Ground::new() else { return };
    let mut pod = pod(json!([
        {"name": "key", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]));
    let context = types::corev1::PodSecurityContext { run_as_user: Some(99), ..Default::default() };
    Arc::get_mut(&mut pod).unwrap().spec.as_mut().unwrap().security_context = Some(context);
    let secret = Arc::new(serde_json::from_value(json!({"data": {"k": "eA=="}})).unwrap());
    let with = |token: &str| {
        let token = types::objects::Token::new(token.to_owned(), jiff::Timestamp::MAX);
        Arc::new(Objects {
            secrets: [("s".to_owned(), Ok(Arc::clone(&secret)))].into(),
            tokens: [(TokenRequest::default(), Ok(token))].into(),
            ..Objects::default()
        })
    };
    let volumes = ground.volumes();
    let prepared = volumes.prepare(&pod, &with("one")).await.unwrap();
    let (key, token) = (path_of(&prepared, "key"), path_of(&prepared, "token").join("token"));
    assert_eq!(Ground::mounts(&key).len(), 1);
    assert_eq!((std::fs::read(key.join("k")).unwrap(), mode(&key.join("k"))), (b"x".to_vec(), 0o400));
    let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
    assert_eq!((mode(&token), owner(&token), owner(&key.join("k"))), (0o600, 99, 0));
    volumes.refresh(&pod, &with("two")).await.unwrap();
    assert_eq!((std::fs::read(&token).unwrap(), owner(&token)), (b"two".to_vec(), 99));
    volumes.teardown(&uid(), &()).await.unwrap();
}

#[tokio::test]
async fn images_are_passed_on_and_unused_volumes_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = pod(json!([{"name": "img", "image": {"reference": "r:1", "pullPolicy": "Never"}}]));
    let spec = Arc::get_mut(&mut pod).unwrap().spec.as_mut().unwrap();
    spec.volumes.as_mut().unwrap().push(Volume { name: "unused".into(), ..Volume::default() });
    let prepared = volumes(dir.path()).prepare(&pod, &none()).await.unwrap();
    assert_eq!(prepared.iter().count(), 1);
    let expected = MountSource::Image { reference: "r:1".into(), pull_policy: Some("Never".into()) };
    let mounted = prepared.get("img").unwrap();
    assert_eq!((&mounted.source, mounted.read_only), (&expected, true));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing to make on disk");
}

#[tokio::test]
async fn a_path_that_hangs_is_not_tried_twice_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = volumes(dir.path());
    let pod = pod(json!([{"name": "nfs", "hostPath": {"path": "/mnt/dead", "type": ""}}, {"name": "fine"}]));
    // Stands for an attempt whose thread hangs.
    volumes.busy.send_if_modified(|busy| busy.insert((uid(), "nfs".into())));
    let error = volumes.prepare(&pod, &none()).await.unwrap_err();
    assert_eq!(error.failures.len(), 1);
    assert!(matches!(&error.failures[0].problem, Problem::StillHung { path } if path == "/mnt/dead"));
    volumes.busy.send_modify(HashSet::clear);
    volumes.prepare(&pod, &none()).await.unwrap();
    volumes.busy.send_if_modified(|busy| busy.insert((uid(), String::new())));
    assert!(matches!(
        volumes.teardown(&uid(), &()).await,
        Err(NotTornDown { error: TeardownError::StillHung, .. })
    ));
    volumes.busy.send_modify(HashSet::clear);
    volumes.teardown(&uid(), &()).await.unwrap();
    assert!(volumes.busy.borrow().is_empty());
}

#[tokio::test]
async fn real_a_tmpfs_is_sized_given_to_the_group_and_kept() {
    let Some(ground) = Ground::new() else { return };
    let mut pod = pod(json!([{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]));
    let group = types::corev1::PodSecurityContext { fs_group: Some(77), ..Default::default() };
    Arc::get_mut(&mut pod).unwrap().spec.as_mut().unwrap().security_context = Some(group);
    let path = path_of(&ground.volumes().prepare(&pod, &none()).await.unwrap(), "m");
    assert_eq!(linux::statfs::usage(&path).unwrap().capacity_bytes, 1 << 20);
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!((meta.gid(), meta.mode() & 0o7777), (77, 0o3777));

    std::fs::write(path.join("data"), "kept").unwrap();
    ground.volumes().prepare(&pod, &none()).await.unwrap();
    assert_eq!(std::fs::read(path.join("data")).unwrap(), b"kept");
    assert_eq!(Ground::mounts(&path).len(), 1);

    // As after a restart of the machine: the mark is there, the mount is not.
    mount::unmount(&path).unwrap();
    ground.volumes().prepare(&pod, &none()).await.unwrap();
    assert_eq!(Ground::mounts(&path).len(), 1);
    ground.volumes().teardown(&uid(), &()).await.unwrap();
    assert!(Ground::mounts(&ground.path().join("pods")).is_empty());
}

#[tokio::test]
async fn real_labels_are_shown_and_refreshed() {
    let Some(ground) = Ground::new() else { return };
    let mut pod = pod(json!([
        {"name": "info", "downwardAPI": {"defaultMode": 0o400, "items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "res/memory", "mode": 0o644,
             "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}}]}},
        {"name": "all", "projected": {"sources": [
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
    ]));
    let volumes = ground.volumes();
    let prepared = volumes.prepare(&pod, &none()).await.unwrap();
    let (info, all) = (path_of(&prepared, "info"), path_of(&prepared, "all"));
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&info.join("labels")), "app=\"web\"");
    assert_eq!(read(&info.join("res/memory")), "64", "the node's, as the container has no limit");
    assert_eq!(read(&all.join("name")), "p");
    assert_eq!((mode(&info.join("labels")), mode(&info.join("res/memory"))), (0o400, 0o644));
    assert!(prepared.get("info").unwrap().read_only);
    assert!(ground.path().join("pods/u/plugins/kubernetes.io~empty-dir/wrapped_info/ready").is_file());

    let held = std::fs::File::open(info.join("labels")).unwrap();
    Arc::get_mut(&mut pod).unwrap().metadata.labels = Some([("app".to_owned(), "db".to_owned())].into());
    volumes.refresh(&pod, &none()).await.unwrap();
    assert_eq!(read(&info.join("labels")), "app=\"db\"");
    assert_eq!(std::io::read_to_string(held).unwrap(), "app=\"web\"", "who has it open reads on");
    volumes.remove_pod_dir(&uid(), &()).await.unwrap();
    assert!(!ground.path().join("pods/u").exists());
}

/// Drivers that make directories, and take note of what they are asked.
#[derive(Debug, Default)]
struct FakeDrivers {
    dir: PathBuf,
    asked: Mutex<Vec<String>>,
    fails: AtomicBool,
    fails_for_all: AtomicBool,
    depends_on: AtomicU64,
    arrivals: AtomicU64,
    /// Held by whom volumes are not taken down.
    turn: tokio::sync::Mutex<()>,
}

impl FakeDrivers {
    fn did(&self, what: String) -> Result<(), DriverError> {
        self.asked.lock().unwrap().push(what);
        let fails = self.fails.load(Relaxed);
        if fails { Err("the driver is away".into()) } else { Ok(()) }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn mounted(&self) -> Mounted {
        let source = MountSource::HostPath(self.dir.join("made"));
        Mounted { source, read_only: false, selinux_relabel: false }
    }
}

#[derive(Debug)]
struct FakeFound(Arc<FakeDrivers>, String);

#[async_trait::async_trait]
impl FoundVolume for FakeFound {
    async fn show(&self) -> Result<Mounted, NotShown> {
        let of_all = self.0.fails_for_all.load(Relaxed);
        let shown = self.0.did(format!("show {}", self.1));
        // What several pods want takes its time.
        tokio::time::sleep(Duration::from_millis(u64::from(of_all))).await;
        shown.map(|()| self.0.mounted()).map_err(|error| NotShown { error, of_all })
    }

    fn attempt(&self) -> Attempt {
        let own = self.0.depends_on.load(Relaxed);
        Attempt { shared: Some((self.1.clone(), own)), own }
    }
}

/// What is told while volumes are found.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Onlooker for Told {
    fn waits_for(&self, volume: &str, what: Option<String>) {
        self.0.lock().unwrap().push(format!("{volume} waits for {what:?}"));
    }

    fn warn(&self, reason: &'static str, message: String) {
        self.0.lock().unwrap().push(format!("{reason}: {message}"));
    }
}

#[derive(Debug)]
struct Shared(Arc<FakeDrivers>);

#[async_trait::async_trait]
impl Drivers for Shared {
    async fn find(
        &self,
        _: &Pod,
        volume: &Volume,
        onlooker: &dyn Onlooker,
    ) -> Result<Box<dyn FoundVolume>, Problem> {
        onlooker.waits_for(&volume.name, Some("its claim".to_owned()));
        self.0.did(format!("find {}", volume.name)).map_err(Problem::Driver)?;
        Ok(Box::new(FakeFound(Arc::clone(&self.0), volume.name.clone())))
    }

    async fn plugin(&self, _: &PodUid, _: &str) -> Option<String> {
        Some("kubernetes.io/csi:d".to_owned())
    }

    async fn groups(&self, _: &PodUid) -> Vec<i64> {
        Vec::new()
    }

    async fn take_down(&self, uid: &PodUid, _: &dyn Onlooker) -> Result<(), DriverError> {
        let done = self.0.did(format!("take down {uid}"));
        let _turn = self.0.turn.lock().await;
        done
    }

    fn arrivals(&self) -> u64 {
        self.0.arrivals.load(Relaxed)
    }
}

#[tokio::test]
async fn claims_and_inline_volumes_are_made_by_drivers() {
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(json!([
        {"name": "data", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "inline", "csi": {"driver": "d.example"}},
        {"name": "tmp", "emptyDir": {}},
    ]));
    let without = volumes(dir.path()).prepare(&pod, &none()).await.unwrap_err();
    assert_eq!(without.failures.len(), 2);

    let drivers = Arc::new(FakeDrivers { dir: dir.path().to_owned(), ..FakeDrivers::default() });
    let with = volumes(dir.path()).with_drivers(Arc::new(Shared(drivers.clone())));
    let told = Told::default();
    let found = with.find(&pod, &told).await.unwrap();
    assert_eq!(told.0.lock().unwrap()[0], "data waits for Some(\"its claim\")");
    assert_eq!(drivers.asked(), ["find data", "find inline"]);
    let prepared = with.prepare_found(&pod, &none(), &found).await.unwrap();
    assert_eq!(path_of(&prepared, "data"), dir.path().join("made"));
    assert_eq!(drivers.asked(), ["show data", "show inline"]);

    drivers.fails.store(true, Relaxed);
    assert_eq!(with.find(&pod, &told).await.unwrap_err().failures.len(), 2);
    let failed = with.prepare_found(&pod, &none(), &found).await.unwrap_err();
    assert_eq!(
        failed.failures[0].event_message(),
        "MountVolume.SetUp failed for volume \"data\" : the driver is away"
    );
    let kept = dir.path().join("pods/u/volumes/kubernetes.io~empty-dir/tmp");
    assert!(with.remove_pod_dir(&uid(), &()).await.is_err());
    assert!(kept.exists(), "nothing is removed before the drivers have taken theirs away");
    drivers.fails.store(false, Relaxed);
    with.remove_pod_dir(&uid(), &()).await.unwrap();
    assert!(!dir.path().join("pods/u").exists());
}

#[tokio::test]
async fn a_pod_that_comes_back_waits_until_nothing_of_it_is_removed_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let drivers = Arc::new(FakeDrivers { dir: dir.path().to_owned(), ..FakeDrivers::default() });
    let volumes = volumes(dir.path()).with_drivers(Arc::new(Shared(drivers.clone())));
    let pod = pod(json!([{"name": "cache", "emptyDir": {}}]));
    let data = path_of(&volumes.prepare(&pod, &none()).await.unwrap(), "cache").join("data");
    std::fs::write(&data, "old").unwrap();
    assert!(volumes.hold_orphan(&uid(), || true).is_none(), "it came back before");
    assert!(data.exists());

    let (turn, uid) = (drivers.turn.lock().await, uid());
    let mut removing = std::pin::pin!(async {
        let held = volumes.hold_orphan(&uid, || false);
        volumes.remove_pod_dir(&uid, &()).await.map(|()| held.is_some())
    });
    let asked = async {
        while drivers.asked().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        removed = &mut removing => panic!("{removed:?}"),
        () = asked => {}
    }
    let told = Told::default();
    let mut finding = std::pin::pin!(volumes.find(&pod, &told));
    assert!(futures::poll!(&mut finding).is_pending());
    assert!(told.0.lock().unwrap()[0].contains("an earlier pod of its UID"));
    drop(turn);
    assert!(removing.await.unwrap());
    let found = finding.await.unwrap();
    volumes.prepare_found(&pod, &none(), &found).await.unwrap();
    assert!(!data.exists() && data.parent().unwrap().is_dir());

    // Something else of it is removed.
    let held = volumes.hold_orphan(&uid, || false).unwrap();
    assert!(volumes.hold_orphan(&uid, || false).is_none());
    let mut finding = std::pin::pin!(volumes.find(&pod, &told));
    assert!(futures::poll!(&mut finding).is_pending());
    drop(held);
    finding.await.unwrap();

    // Nobody waits any more for a thread that hangs.
    volumes.busy.send_if_modified(|busy| busy.insert((uid.clone(), String::new())));
    let mut finding = std::pin::pin!(volumes.find(&pod, &told));
    assert!(futures::poll!(&mut finding).is_pending());
    volumes.busy.send_modify(HashSet::clear);
    finding.await.unwrap();
}

#[tokio::test]
async fn real_a_part_is_mounted_by_one_at_a_time() {
    let Some(ground) = Ground::new() else { return };
    let (volumes, paths, volume_path) = (ground.volumes(), ground.paths(), ground.dir("volume"));
    for index in 0..200 {
        let part = || SubPath {
            volume: "v".into(),
            volume_path: volume_path.clone(),
            container: "c".into(),
            index,
            path: "part".into(),
        };
        // The second one is that of the next round, when the first was given up because its file system did not answer.
        let (uid, point) = (uid(), paths.subpath("v", "c", index));
        let (one, _) = tokio::join!(volumes.mount_subpath(&uid, part()), volumes.mount_subpath(&uid, part()));
        assert!(one.is_ok());
        assert_eq!(Ground::mounts(&point).len(), 1, "round {index}");
        mount::unmount(&point).unwrap();
    }
}

#[tokio::test]
async fn a_part_that_hangs_is_not_tried_twice_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = volumes(dir.path());
    let part = || SubPath {
        volume: "v".into(),
        volume_path: dir.path().to_owned(),
        container: "c".into(),
        index: 0,
        path: "part".into(),
    };
    // Stands for an attempt whose thread hangs.
    volumes.busy.send_if_modified(|busy| busy.insert((uid(), "v/c/0".into())));
    let error = volumes.mount_subpath(&uid(), part()).await.unwrap_err();
    assert!(matches!(error.problem, SubPathProblem::StillHung), "{error}");
    volumes.busy.send_modify(HashSet::clear);
    let error = volumes.mount_subpath(&uid(), part()).await.unwrap_err();
    assert!(matches!(error.problem, SubPathProblem::Beneath(_)), "there is no directory of the pod: {error}");
    assert!(volumes.busy.borrow().is_empty());
}

#[tokio::test]
async fn a_file_that_hangs_is_not_read_twice_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = volumes(dir.path());
    std::fs::write(dir.path().join("env"), "K='x'").unwrap();
    volumes.busy.send_if_modified(|busy| busy.insert((uid(), "v//env".into())));
    let error = volumes.read_file(&uid(), "v", dir.path(), "env").await.unwrap_err();
    assert!(matches!(error, ReadError::StillHung), "{error}");
    volumes.busy.send_modify(HashSet::clear);
    let read = volumes.read_file(&uid(), "v", dir.path(), "env").await;
    assert_eq!(read.unwrap().as_deref(), Some("K='x'"));
    assert!(volumes.busy.borrow().is_empty());
}

const HALF: Duration = Duration::from_millis(500);

/// Keeps a paused clock where it is while threads are waited for.
fn hold_clock() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}

fn claims(uid: &str) -> Arc<Pod> {
    let mut pod = pod(json!([{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]));
    Arc::get_mut(&mut pod).unwrap().metadata.uid = Some(uid.to_owned());
    pod
}

#[tokio::test(start_paused = true)]
async fn what_failed_rests_until_it_is_due_or_something_changes() {
    hold_clock();
    let dir = tempfile::tempdir().unwrap();
    let drivers = Arc::new(FakeDrivers { dir: dir.path().to_owned(), ..FakeDrivers::default() });
    let volumes = volumes(dir.path()).with_drivers(Arc::new(Shared(drivers.clone())));
    let pod = claims("u");
    let found = volumes.find(&pod, &Told::default()).await.unwrap();
    drivers.fails.store(true, Relaxed);
    drivers.asked();
    let round = async || {
        let error = volumes.prepare_found(&pod, &none(), &found).await.unwrap_err();
        let failure = &error.failures[0];
        let message = failure.event_message();
        assert!(message.ends_with("the driver is away"), "{message}");
        let asked = drivers.asked().len();
        assert_eq!(failure.was_tried(), asked > 0, "there is an event for each try");
        (asked, error.again_in().unwrap())
    };
    assert_eq!(round().await, (1, HALF));
    // A round for another reason.
    tokio::time::advance(HALF / 2).await;
    assert_eq!(round().await, (0, HALF / 2));
    tokio::time::advance(HALF / 2).await;
    assert_eq!(round().await, (1, HALF * 2));
    assert_eq!(round().await, (0, HALF * 2));
    drivers.depends_on.store(7, Relaxed);
    assert_eq!(round().await, (1, HALF), "a secret has changed");
    assert_eq!(round().await.0, 0);
    drivers.fails.store(false, Relaxed);
    tokio::time::advance(HALF).await;
    volumes.prepare_found(&pod, &none(), &found).await.unwrap();
    drivers.fails.store(true, Relaxed);
    drivers.asked();
    assert_eq!(round().await, (1, HALF), "it had succeeded");

    let down = async || {
        let error = volumes.teardown(&uid(), &()).await.unwrap_err();
        assert_eq!(
            telemetry::chain(&error),
            "volumes of the pod could not be taken down: the driver is away"
        );
        (drivers.asked().len(), error.again_in)
    };
    assert_eq!(down().await, (1, HALF));
    assert_eq!(down().await, (0, HALF));
    drivers.arrivals.store(1, Relaxed);
    assert_eq!(down().await, (1, HALF), "a driver has come");
    drivers.fails.store(false, Relaxed);
    tokio::time::advance(HALF).await;
    volumes.teardown(&uid(), &()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_done_once_for_all_pods_is_tried_by_one_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let drivers = Arc::new(FakeDrivers { dir: dir.path().to_owned(), ..FakeDrivers::default() });
    let volumes = volumes(dir.path()).with_drivers(Arc::new(Shared(drivers.clone())));
    let pods = [claims("a"), claims("b"), claims("c")];
    let mut found = Vec::new();
    for pod in &pods {
        found.push(volumes.find(pod, &Told::default()).await.unwrap());
    }
    let round = async || {
        drivers.asked();
        let none = none();
        let rounds = pods.iter().zip(&found).map(|(pod, found)| volumes.prepare_found(pod, &none, found));
        let failed = futures::future::join_all(rounds).await;
        let again = failed.into_iter().map(|failed| failed.unwrap_err().again_in().unwrap());
        (drivers.asked().len(), again.max().unwrap())
    };
    drivers.fails.store(true, Relaxed);
    drivers.fails_for_all.store(true, Relaxed);
    assert_eq!(round().await, (3, HALF), "nobody knows yet");
    tokio::time::advance(HALF).await;
    assert_eq!(round().await, (1, HALF * 2));
    tokio::time::advance(HALF * 2).await;
    assert_eq!(round().await, (1, HALF * 4));
    drivers.fails_for_all.store(false, Relaxed);
    tokio::time::advance(HALF * 4).await;
    assert_eq!(round().await, (3, HALF), "each by itself");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_tells_of_is_looked_at_in_each_round_and_soon() {
    hold_clock();
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(json!([{"name": "data", "hostPath": {"path": "/nowhere/at/all", "type": "Directory"}}]));
    let volumes = volumes(dir.path());
    let mut waits = Vec::new();
    for _ in 0..7 {
        let error = volumes.prepare(&pod, &none()).await.unwrap_err();
        assert!(error.failures[0].was_tried());
        waits.push(error.again_in().unwrap().as_millis());
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
}
