//! Stats of cgroups that this machine really has.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cgroup::version::MOUNT_POINT;
use cgroup::{CgroupName, Cgroups, Driver, Hierarchies, Limits, UsageReader, Version};
use cri::{CriError, ImageFsInfo, v1};
use jiff::Timestamp;
use stats::{DriverUsage, Metrics, Needs, NodeView, PodView, Settings, ShownTo, Stats};
use telemetry::metrics::Registry;
use types::{ContainerState, ObservedContainer, ObservedPod, PodName, PodRef};

/// The id of the container, which is the name of its cgroup.
const ID: &str = "0123abcd";

/// What the container's process keeps in its memory, in bytes.
const KEPT: u64 = 5_000_000;

/// A pod's cgroup with a container's below it, in which a process lives. All of it goes away when the test ends,
/// however it ends.
struct Place {
    hierarchies: Hierarchies,
    name: CgroupName,
    child: Child,
}

impl Place {
    async fn make(version: Version) -> Self {
        let mount_point = Path::new(MOUNT_POINT);
        let metrics = cgroup::Metrics::register(&Registry::new());
        let open = Cgroups::open(version, Driver::Cgroupfs, mount_point, CgroupName::root(), metrics);
        let cgroups = open.await.unwrap();
        let name = CgroupName::new([format!("berth-test-stats{}", std::process::id())]).unwrap();
        let container = name.child("pod1").unwrap().child(ID).unwrap();
        cgroups.ensure(&container, &Limits::default()).await.unwrap();
        let hierarchies = Hierarchies::find(version, mount_point).unwrap();
        let script = format!("read go; kept=$(head -c {KEPT} /dev/zero | tr '\\0' x); echo ready; read stop");
        let child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut place = Self { hierarchies, name, child };
        for directory in place.directories(&container) {
            fs::write(directory.join("cgroup.procs"), place.child.id().to_string()).unwrap();
        }
        // Memory counts where it is taken, so it is taken here.
        place.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut ready = String::new();
        BufReader::new(place.child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        place
    }

    fn directories(&self, name: &CgroupName) -> Vec<PathBuf> {
        let path = name.cgroupfs_path();
        self.hierarchies.roots().map(|root| root.join(path.trim_start_matches('/'))).collect()
    }

    fn pod(&self) -> String {
        format!("{}/pod1", self.name.cgroupfs_path())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let pod = self.name.child("pod1").unwrap();
        for name in [pod.child(ID).unwrap(), pod, self.name.clone()] {
            for directory in self.directories(&name) {
                let _ = fs::remove_dir(directory);
            }
        }
    }
}

struct OnePod {
    cgroup: String,
    parent: String,
    dir: PathBuf,
}

impl Needs for OnePod {
    fn pods(&self) -> Vec<PodView> {
        let now = Timestamp::now();
        let container = ObservedContainer {
            id: ID.into(),
            name: "app".into(),
            sandbox: "s".into(),
            state: ContainerState::Running { started_at: now },
            created_at: now,
            image: "app:1".to_owned(),
            image_ref: String::new(),
            image_id: String::new(),
            hash: String::new(),
            restart_count: 0,
            log_path: String::new(),
            mounts: Vec::new(),
            user: None,
            resources: None,
            annotations: Arc::default(),
        };
        let pod = PodRef { name: PodName::new("default", "p"), uid: "1".into() };
        let observed = ObservedPod { pod, sandboxes: Vec::new(), containers: vec![container] };
        vec![PodView {
            observed: Arc::new(observed),
            cgroup: Some(self.cgroup.clone()),
            dir: self.dir.clone(),
            logs: self.dir.clone(),
            volumes: Vec::new(),
        }]
    }

    fn node(&self) -> NodeView {
        NodeView { pods: Some(self.parent.clone()), ..NodeView::default() }
    }

    async fn container_stats(&self) -> Result<Vec<v1::ContainerStats>, CriError> {
        Ok(Vec::new())
    }

    async fn image_fs(&self) -> Result<ImageFsInfo, CriError> {
        Ok(ImageFsInfo::default())
    }

    async fn driver_usage(&self, _: &[ShownTo]) -> Option<DriverUsage> {
        None
    }
}

#[tokio::test]
async fn real_cgroups() {
    let version = Version::detect(Path::new(MOUNT_POINT)).unwrap();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this is not root");
        return;
    }
    let place = Place::make(version).await;
    let dir = tempfile::tempdir().unwrap();
    let needs =
        OnePod { cgroup: place.pod(), parent: place.name.cgroupfs_path(), dir: dir.path().to_owned() };
    let settings = Settings {
        node_name: "n".to_owned(),
        root_dir: dir.path().to_owned(),
        volume_period: Some(Duration::from_secs(60)),
    };
    let reader = UsageReader::new(place.hierarchies.clone());
    let stats = Stats::new(settings, reader, needs, &Metrics::register(&Registry::new()));

    let summary = stats.summary(false).await.unwrap();
    let (node, pod) = (&summary.node, &summary.pods[0]);
    let container = &pod.containers[0];
    let memory = |memory: &Option<stats::summary::MemoryStats>| memory.as_ref().unwrap().usage_bytes.unwrap();
    assert!(memory(&container.memory) >= KEPT, "{container:?}");
    assert!(memory(&pod.memory) >= KEPT && memory(&node.memory) >= KEPT, "{pod:?}");
    let cpu = container.cpu.as_ref().unwrap();
    assert!(cpu.usage_core_nano_seconds > Some(0), "{cpu:?}");
    assert_eq!(pod.process_stats.as_ref().unwrap().process_count, 1);
    assert_eq!(node.system_containers[0].name, "pods");
    assert!(node.memory.as_ref().unwrap().available_bytes.unwrap() > 0);
    assert!(pod.network.as_ref().unwrap().interfaces.iter().all(|interface| interface.name != "lo"));
    assert_eq!(node.memory.as_ref().unwrap().psi.is_some(), Path::new("/proc/pressure/memory").exists());
    assert_eq!(pod.memory.as_ref().unwrap().psi.is_some(), version == Version::V2);

    let has_disk = || fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - ext4 /dev/");
    let had_disk = has_disk();
    let text = stats.cadvisor_metrics().await;
    let of = |name: &str, id: &str| {
        let series = format!("{name}{{");
        let id = format!("id=\"{id}\"");
        text.lines().filter(|line| line.starts_with(&series) && line.contains(&id)).count()
    };
    let id = format!("{}/{ID}", place.pod());
    for (name, count) in [
        ("container_memory_working_set_bytes", 1),
        ("container_memory_failures_total", 4),
        ("container_cpu_user_seconds_total", 1),
        ("container_spec_cpu_shares", 1),
        ("container_processes", 1),
        ("container_threads", 1),
        ("container_oom_events_total", 1),
    ] {
        assert_eq!(of(name, &id), count, "{name}\n{text}");
    }
    assert_eq!(of("container_cpu_usage_seconds_total", "/"), 1);
    // Other tests mount disks of theirs.
    if had_disk == has_disk() {
        assert_eq!(of("container_fs_limit_bytes", "/") > 0, had_disk);
    }
    let resource = stats.resource_metrics().await;
    assert!(resource.contains("container_memory_working_set_bytes{container=\"app\","), "{resource}");
}
