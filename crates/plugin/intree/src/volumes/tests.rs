use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command as Process;

use serde_json::json;
use tokio::sync::mpsc;
use types::event::Event;
use types::{PodName, PodRef, StorageRef};
use volume::claim::VolumeMode;
use volume::ownership::ChangePolicy;

use super::*;
use crate::layout::Plugin;
use crate::local::Local;
use crate::nfs::Nfs;
use crate::wanted::Group;

mod devices;
mod disks;
mod drivers;
mod kills;
mod real;

const LONG: Duration = Duration::from_secs(60);
const CANARY: &str = "canary";

/// A node below a temporary directory, with programs of its own that write down how they are called.
struct World {
    /// Links are resolved in its path.
    root: PathBuf,
    volumes: Volumes,
    events: mpsc::Receiver<Event>,
    _dir: Option<tempfile::TempDir>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = Self::at(fs::canonicalize(dir.path()).unwrap());
        world._dir = Some(dir);
        world
    }

    /// The node that is at `root` already, for a berth that starts anew.
    fn at(root: PathBuf) -> Self {
        fs::create_dir_all(root.join("bin")).unwrap();
        let (volumes, events) = berth(&root, LONG);
        Self { root, volumes, events, _dir: None }
    }

    /// berth starts anew: what it knew is gone.
    fn restart(&mut self) {
        (self.volumes, self.events) = berth(&self.root, LONG);
    }

    /// The same for one that waits for nothing longer than `deadline`.
    fn restart_impatient(&mut self, deadline: Duration) {
        (self.volumes, self.events) = berth(&self.root, deadline);
    }

    /// A program that notes how it is called before it does what `script` says.
    fn program(&self, name: &str, script: &str) {
        let path = self.root.join("bin").join(name);
        let log = self.root.join("called");
        fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{script}\n", log.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// How the programs were called since it was last asked, without the path of this world.
    fn called(&self) -> Vec<String> {
        let path = self.root.join("called");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.replace(&self.root.join("root").display().to_string(), "ROOT")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// A directory of the node, with a canary in it.
    fn directory(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(CANARY), name).unwrap();
        path
    }

    fn wanted(&self, pod: &str, plugin: Plugin, spec_name: &str, kind: Kind) -> Wanted {
        let pod = PodRef { name: PodName::new("default", pod), uid: pod.into() };
        Wanted {
            target: Target {
                pod: pod.uid.clone(),
                plugin,
                mode: VolumeMode::Filesystem,
                spec_name: spec_name.into(),
            },
            pod,
            name: format!("the-{spec_name}"),
            read_only: false,
            mount_options: Vec::new(),
            group: None,
            unique_name: None,
            device_path: None,
            label: None,
            persistent: None,
            kind,
        }
    }

    fn local(&self, pod: &str, path: &Path) -> Wanted {
        let kind = Kind::Local(Local { path: path.to_owned(), fs_type: "ext4".into() });
        self.wanted(pod, Plugin::Local, "pv", kind)
    }

    /// The disk at `path` itself.
    fn device(&self, pod: &str, path: &Path) -> Wanted {
        let mut wanted = self.local(pod, path);
        (wanted.target.mode, wanted.target.spec_name) = (VolumeMode::Block, "raw".into());
        wanted.name = "the-raw".into();
        wanted
    }

    fn nfs(&self, pod: &str) -> Wanted {
        let kind = Kind::Nfs(Nfs { server: "nas".into(), path: "/export".into() });
        self.wanted(pod, Plugin::Nfs, "share", kind)
    }

    async fn take_down(&self, pod: &str) -> Result<bool, TakeDownError> {
        self.volumes.take_down(&PodUid::from(pod), &()).await
    }

    /// What is mounted below this world, and the directories and files that volumes have left.
    fn left(&self) -> Vec<String> {
        fn walk(dir: &Path, all: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, all);
                }
                all.push(path);
            }
        }
        let mut all = mounts_below(&self.root.join("root"));
        if !all.is_empty() {
            return all;
        }
        let mut paths = Vec::new();
        walk(&self.root.join("root"), &mut paths);
        let bases =
            ["pods", "volumes", "volumeDevices", "plugins", "kubernetes.io", "mounts", "volume_commands"];
        let is_base = |path: &Path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            bases.contains(&name)
                || path.parent().is_some_and(|parent| parent.ends_with("root/pods"))
                || Plugin::of_files_dir(name).is_some_and(|(plugin, _)| !matches!(plugin, Plugin::Flex(_)))
                || [
                    "local-volume",
                    "iscsi",
                    "iface-default",
                    "fc",
                    "flexvolume",
                    "example.com",
                    "example.com~lvm",
                    "lvm",
                ]
                .contains(&name)
        };
        all.extend(paths.iter().filter(|path| !is_base(path)).map(|path| path.display().to_string()));
        all
    }
}

fn berth(root: &Path, deadline: Duration) -> (Volumes, mpsc::Receiver<Event>) {
    let (recorder, events) = Recorder::channel(16);
    let volumes = Volumes::new(VolumesConfig {
        layout: Layout::new(root.join("root")),
        machine: Machine { sys: root.join("sys"), dev: root.join("dev") },
        plugin_dir: root.join("drivers"),
        node: "node-1".into(),
        attaches: true,
        search_path: format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", root.join("bin").display()).into(),
        deadline,
        recorder,
    });
    (volumes, events)
}

impl Drop for World {
    fn drop(&mut self) {
        for point in mounts_below(&self.root) {
            let _ = linux::mount::unmount_lazily(Path::new(&point));
        }
    }
}

fn mounts_below(path: &Path) -> Vec<String> {
    let table = MountTable::read().unwrap();
    table.below(path).into_iter().map(|mount| mount.point.display().to_string()).collect()
}

fn canary(path: &Path) -> String {
    fs::read_to_string(path.join(CANARY)).unwrap()
}

fn mount_options(path: &Path) -> String {
    let table = MountTable::read().unwrap();
    table.at(path).unwrap().options.to_str().unwrap().to_owned()
}

/// A disk of the size of a file.
struct Loop(PathBuf);

impl Loop {
    fn new(world: &World) -> Option<Self> {
        Self::of_file(world, "disk")
    }

    fn of_file(world: &World, name: &str) -> Option<Self> {
        let file = world.root.join(name);
        fs::File::create(&file).unwrap().set_len(16 << 20).unwrap();
        let made = Process::new("losetup").args(["--find", "--show"]).arg(&file).output().ok()?;
        let name = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        (made.status.success() && !name.is_empty()).then(|| Self(name.into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Process::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[tokio::test]
async fn nothing_is_made_for_a_volume_that_is_not_there() {
    let world = World::new();
    let missing = world.root.join("missing");
    let error = world.volumes.prepare(&world.local("a", &missing)).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("there is nothing at {}", missing.display())), "{error}");
    assert!(!world.root.join("root").exists());
    world.take_down("a").await.unwrap();
    assert_eq!(world.volumes.reclaim().await.unwrap().len(), 0);
}

#[tokio::test]
async fn hostile_names_and_links_lead_nowhere() {
    let world = World::new();
    let source = world.directory("source");
    let plugin = world.root.join("root/pods/a/volumes/kubernetes.io~local-volume");
    let outside = world.directory("outside");
    fs::create_dir_all(&plugin).unwrap();
    std::os::unix::fs::symlink(&outside, plugin.join("pv")).unwrap();
    let error = world.volumes.prepare(&world.local("a", &source)).await.unwrap_err();
    assert!(error.to_string().contains("is no directory"), "{error}");
    for name in ["..", "a/b", ""] {
        let mut odd = world.local("a", &source);
        odd.target.spec_name = name.into();
        assert!(world.volumes.prepare(&odd).await.is_err(), "{name:?}");
    }
    for pod in ["..", "a/b", ""] {
        assert!(world.volumes.prepare(&world.local(pod, &source)).await.is_err(), "{pod:?}");
        assert!(world.take_down(pod).await.is_err(), "{pod:?}");
    }
    world.take_down("a").await.unwrap();
    assert_eq!(canary(&outside), "outside");
    fs::remove_file(plugin.join("pv")).unwrap();
    fs::remove_dir(&plugin).unwrap();
    std::os::unix::fs::symlink(&outside, &plugin).unwrap();
    assert!(world.volumes.prepare(&world.local("a", &source)).await.is_err());
    world.take_down("a").await.unwrap();
    assert_eq!(canary(&outside), "outside");
    assert_eq!(mounts_below(&world.root), Vec::<String>::new());
}
