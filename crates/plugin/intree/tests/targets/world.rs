//! A node below a temporary directory, with this machine's programs and disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use intree::{Layout, Machine, Source, TakeDownError, VolumeError, Volumes, VolumesConfig, Wanted};
use lab::targets::Turn;
use linux::mountinfo::MountTable;
use serde_json::{Value, json};
use task::events::Recorder;
use types::corev1::{PersistentVolume, Secret};
use types::{Pod, PodUid};

pub(crate) const CANARY: &str = "canary";

/// What a command may take. What hangs for longer is meant to.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    /// Links are resolved in its path.
    pub(crate) root: PathBuf,
    pub(crate) volumes: Volumes,
    _dir: tempfile::TempDir,
}

/// The turn for this machine's servers; none, and the reason is told, where there are none.
pub(crate) fn turn() -> Option<Turn> {
    match Turn::take().unwrap() {
        Ok(turn) => Some(turn),
        Err(why) => {
            println!("skipped servers of volumes: {why}");
            None
        }
    }
}

fn berth(root: &Path, deadline: Duration) -> Volumes {
    Volumes::new(VolumesConfig {
        layout: Layout::new(root.join("root")),
        machine: Machine::default(),
        plugin_dir: root.join("drivers"),
        node: "node-1".into(),
        attaches: true,
        search_path: "/usr/sbin:/usr/bin:/sbin:/bin".into(),
        deadline,
        recorder: Recorder::channel(16).0,
    })
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        Self { volumes: berth(&root, PATIENCE), root, _dir: dir }
    }

    /// berth is killed, and starts anew: what it knew is gone.
    pub(crate) fn restart(&mut self) {
        self.volumes = berth(&self.root, PATIENCE);
    }

    /// The same, and it waits no longer than this for what hangs.
    pub(crate) fn restart_impatient(&mut self, deadline: Duration) {
        self.volumes = berth(&self.root, deadline);
    }

    /// A directory with a canary in it.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(CANARY), name).unwrap();
        path
    }

    pub(crate) async fn take_down(&self, pod: &str) -> Result<bool, TakeDownError> {
        self.volumes.take_down(&PodUid::from(pod), &()).await
    }

    pub(crate) async fn prepare(&self, wanted: &Wanted) -> Result<PathBuf, VolumeError> {
        self.volumes.prepare(wanted).await
    }

    /// The mounts below this world.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let table = MountTable::read().unwrap();
        table.below(&self.root).into_iter().map(|mount| mount.point.display().to_string()).collect()
    }

    /// The mounts of devices, for all pods.
    pub(crate) fn devices(&self) -> Vec<String> {
        self.mounts().into_iter().filter(|point| point.contains("/root/plugins/")).collect()
    }

    /// Whether nothing is mounted, and neither a file nor the directory of a device is left.
    pub(crate) fn assert_nothing_left(&self) {
        fn walk(dir: &Path, all: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                walk(&path, all);
                all.push(path);
            }
        }
        assert_eq!(self.mounts(), Vec::<String>::new());
        let mut all = Vec::new();
        walk(&self.root.join("root"), &mut all);
        all.retain(|path| !path.is_dir() || path.to_string_lossy().contains("-lun-"));
        assert_eq!(all, Vec::<PathBuf>::new());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for point in self.mounts() {
            let _ = linux::mount::unmount_lazily(Path::new(&point));
        }
    }
}

/// What the pod `pod` has of the PersistentVolume `name`.
pub(crate) fn claimed(
    pod: &str,
    name: &str,
    spec: Value,
    read_only: bool,
    secret: Option<&Secret>,
) -> Wanted {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": pod, "namespace": "default", "uid": pod},
        "spec": {"containers": []},
    }))
    .unwrap();
    let volume: PersistentVolume =
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
    let source = Source::Persistent { volume: &volume, name: "data", read_only };
    intree::wanted(&pod, source, secret).unwrap()
}

pub(crate) fn canary(path: &Path) -> String {
    fs::read_to_string(path.join(CANARY)).unwrap()
}

/// The options of the mount at `path`, and those of its file system.
pub(crate) fn options(path: &Path) -> String {
    let table = MountTable::read().unwrap();
    let mount = table.at(path).unwrap();
    format!("{},{}", mount.options.display(), mount.super_options.display())
}
