//! A ground for tests that mount: a directory whose mounts go with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use linux::mount::{self, Tmpfs};
use linux::mountinfo::MountTable;
use types::resources::{self, Amounts};
use types::{Pod, PodUid, Quantity};

use crate::{PodPaths, Volumes, VolumesConfig};

/// Whether the tests may change owners; says so when not.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

pub(crate) struct Ground(tempfile::TempDir);

impl Ground {
    /// `None`, with a word about it, when the tests may not mount.
    pub(crate) fn new() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let ground = Self(tempfile::tempdir().unwrap());
        if let Err(e) = mount::tmpfs(ground.path(), Tmpfs::default()) {
            println!("skipped: {}", telemetry::chain(&e));
            return None;
        }
        Some(ground)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The directory `name`, made.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// What is mounted at `path` and below it.
    pub(crate) fn mounts(path: &Path) -> Vec<PathBuf> {
        MountTable::read().unwrap().below(path).into_iter().map(|mounted| mounted.point.clone()).collect()
    }

    pub(crate) fn volumes(&self) -> Volumes {
        volumes(self.path())
    }

    /// The paths of the pod `u`.
    pub(crate) fn paths(&self) -> PodPaths {
        let paths = PodPaths::new(self.path(), &uid()).unwrap();
        paths.create().unwrap();
        paths
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for point in Self::mounts(self.path()) {
            mount::unmount_lazily(&point).unwrap();
        }
    }
}

pub(crate) fn volumes(root_dir: &Path) -> Volumes {
    Volumes::new(config(root_dir))
}

pub(crate) fn config(root_dir: &Path) -> VolumesConfig {
    VolumesConfig {
        root_dir: root_dir.to_owned(),
        allocatable: Amounts::from([(resources::MEMORY.to_owned(), Quantity::bytes(64 << 20))]),
        deadline: Duration::from_secs(30),
        metrics: crate::Metrics::register(&telemetry::metrics::Registry::new()),
        quotas: None,
    }
}

pub(crate) fn uid() -> PodUid {
    "u".into()
}

/// A pod whose only container mounts all of `volumes`.
pub(crate) fn pod(volumes: serde_json::Value) -> Arc<Pod> {
    let mounts: Vec<_> = volumes
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| serde_json::json!({"name": volume["name"], "mountPath": format!("/v/{}", volume["name"])}))
        .collect();
    let pod = serde_json::json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "web"}},
        "spec": {"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}
