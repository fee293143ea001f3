//! A node with one pod, written by hand, and needs that answer with it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cgroup::Usage;
use cgroup::usage::{
    CpuLimits, CpuUsage, DeviceIo, Faults, IoCost, MemoryUsage, Pressures, TaskUsage, Throttling, Transfer,
    Transfers,
};
use cri::{CriError, CriErrorKind, ImageFsInfo, v1};
use jiff::Timestamp;
use linux::diskstats::{self, Disk};
use linux::diskuse::DiskUse;
use linux::mountinfo::MountTable;
use linux::netdev::{Interface, Traffic};
use linux::openfiles::OpenFiles;
use linux::pressure::{Pressure, Stall};
use linux::statfs::FsUsage;
use types::observed::NamespaceMode;
use types::{ContainerState, ObservedContainer, ObservedPod, ObservedSandbox, PodName, PodRef, SandboxState};

use crate::disks::{Finds, Found};
use crate::logs::LogUse;
use crate::moment::Moment;
use crate::needs::{DriverUsage, Needs, NodeView, PodView, Room, ShownTo, SystemContainer, VolumeView};
use crate::reading::{Measured, Member, NodeReading, PodReading, Processes, Reading};
use crate::summary::ClaimReference;
use crate::told::{Answer, Answers, Key};

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An hour after the machine booted.
pub(crate) fn moment() -> Moment {
    Moment { at: time("2026-03-01T12:00:00.25Z"), since_boot: Duration::from_millis(3_600_250) }
}

/// What a cgroup uses, with all numbers multiples of `n`, so that those of different cgroups can be told apart.
pub(crate) fn usage(n: u64) -> Usage {
    let stall = |total_us| Stall { avg10: 1.5, avg60: 0.5, avg300: 0.25, total_us };
    let pressure = |some, full| Some(Pressure { some: stall(some), full: stall(full) });
    let transfers =
        |read, write| Transfers::default().with(Transfer::Read, read).with(Transfer::Write, write);
    Usage {
        since: SystemTime::from(time("2026-03-01T11:30:00Z")),
        cpu: Some(CpuUsage {
            total_ns: n * 3_000_000_000,
            user_ns: n * 2_000_000_000,
            system_ns: n * 1_000_000_000,
            throttling: Some(Throttling {
                periods: n * 50,
                throttled_periods: n * 5,
                throttled_ns: n * 500_000_000,
                bursts: n,
                burst_ns: n * 100_000_000,
            }),
        }),
        memory: Some(MemoryUsage {
            usage: n * 1000,
            working_set: n * 900,
            cache: n * 400,
            rss: n * 500,
            mapped_file: n * 50,
            kernel: Some(n * 60),
            swap: n * 10,
            active_file: n * 200,
            inactive_file: n * 100,
            faults: Faults { all: n * 70, major: n * 7 },
            own_faults: None,
            peak: Some(n * 1100),
            limit_hits: Some(n),
            oom_kills: Some(n),
            limit: Some(n * 2000),
            swap_limit: Some(n * 30),
            reservation: None,
        }),
        pressure: Pressures {
            cpu: pressure(n * 1000, 0),
            memory: pressure(n * 2000, n * 500),
            io: pressure(n * 3000, n * 600),
        },
        cpu_limits: Some(CpuLimits { shares: 1024, period_us: 100_000, quota_us: Some(50_000) }),
        tasks: Some(TaskUsage { current: n * 4, limit: Some(n * 100) }),
        io: vec![DeviceIo {
            device: (8, 0),
            bytes: transfers(n * 4096, n * 8192),
            requests: transfers(n, n * 2),
            cost: Some(IoCost { usage_us: n, wait_us: 0, indebt_us: 0, indelay_us: 0 }),
        }],
    }
}

pub(crate) fn group(path: &str, n: u64) -> Measured {
    Measured { path: path.to_owned(), moment: moment(), usage: usage(n) }
}

fn member(path: &str, n: u64) -> Member {
    let open = Some(OpenFiles { files: n * 10, sockets: n });
    Member { group: group(path, n), processes: Some(Processes { count: n, open, file_limit: Some(1024) }) }
}

pub(crate) fn interface(name: &str, n: u64) -> Interface {
    let traffic = |n| Traffic { bytes: n * 1000, packets: n * 10, errors: n, dropped: n * 2 };
    Interface { name: name.to_owned(), received: traffic(n), sent: traffic(n * 2) }
}

/// A container as the runtime has it.
pub(crate) fn container(name: &str, id: &str, image: &str) -> ObservedContainer {
    ObservedContainer {
        id: id.into(),
        name: name.into(),
        sandbox: "sandbox1".into(),
        state: ContainerState::Running { started_at: time("2026-03-01T11:40:01Z") },
        created_at: time("2026-03-01T11:40:00Z"),
        image: image.to_owned(),
        image_ref: String::new(),
        image_id: String::new(),
        hash: String::new(),
        restart_count: 0,
        log_path: String::new(),
        mounts: Vec::new(),
        user: None,
        resources: None,
        annotations: Arc::default(),
    }
}

/// A pod with the containers `web` and `vm`, and an instance of `web` that ended.
pub(crate) fn pod_view(root: &Path) -> PodView {
    let dir = root.join("pods/uid1");
    let ended = ObservedContainer { state: ContainerState::Created, ..container("web", "old", "nginx") };
    let observed = ObservedPod {
        pod: PodRef { name: PodName::new("shop", "front"), uid: "uid1".into() },
        sandboxes: vec![ObservedSandbox {
            id: "sandbox1".into(),
            attempt: 0,
            state: SandboxState::Ready,
            created_at: time("2026-03-01T11:39:00Z"),
            ips: Vec::new(),
            network: Some(NamespaceMode::Pod),
            runtime_handler: "".into(),
        }],
        containers: vec![container("web", "web1", "nginx:1.25"), container("vm", "vm1", "vm:1"), ended],
    };
    let directory = |name: &str| VolumeView {
        name: name.to_owned(),
        room: Room::Directory { path: dir.join("volumes").join(name), ephemeral: true, project: None },
    };
    let claim = |name: &str, claim: &str| VolumeView {
        name: name.to_owned(),
        room: Room::Driver { claim: Some(claim.to_owned()) },
    };
    PodView {
        observed: Arc::new(observed),
        cgroup: Some("/kubepods/poduid1".to_owned()),
        logs: root.join("logs/shop_front_uid1"),
        volumes: vec![directory("scratch"), claim("data", "claim1"), directory("hangs")],
        dir,
    }
}

pub(crate) fn node_view() -> NodeView {
    NodeView {
        pods: Some("/kubepods".to_owned()),
        classes: vec!["/kubepods/burstable".to_owned()],
        system: vec![(SystemContainer::Runtime, "/system.slice/containerd.service".to_owned())],
        sandbox_image: Some("registry.k8s.io/pause:3.10".to_owned()),
        sandbox_container: "",
    }
}

pub(crate) fn disks() -> Vec<Disk> {
    diskstats::parse("8 0 sda 10 1 80 4 20 2 160 8 1 12 24\n8 1 sda1 5 1 40 2 10 2 80 4 0 6 12\n")
}

/// What was read of that pod on a node with one disk. The container `vm` has no cgroup.
pub(crate) fn reading() -> Reading {
    let mut pod = PodReading::of(pod_view(Path::new("/r"))).unwrap();
    pod.group = Some(group("/kubepods/poduid1", 3));
    pod.sandbox = Some(member("/kubepods/poduid1/sandbox1", 1));
    pod.network = Some(vec![interface("eth0", 1), interface("eth1", 2)]);
    for (observed, container) in pod.containers_mut() {
        if &*observed.name == "web" {
            container.member = Some(member("/kubepods/poduid1/web1", 2));
        }
    }
    let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:5 / /proc rw - proc proc rw\n";
    Reading {
        moment: moment(),
        view: node_view(),
        node: NodeReading {
            root: Some(group("/", 100)),
            network: vec![interface("ens3", 50)],
            tasks: Some((200, 32_768)),
            disks: disks(),
            mounts: MountTable::parse(mounts.as_bytes()),
        },
        system: BTreeMap::from([
            (SystemContainer::Runtime, member("/system.slice/containerd.service", 7)),
            (SystemContainer::Pods, Member { group: group("/kubepods", 5), processes: None }),
        ]),
        classes: vec![group("/kubepods/burstable", 4)],
        pods: vec![pod],
    }
}

/// What that pod has written.
pub(crate) fn logs() -> HashMap<types::PodUid, LogUse> {
    let used = |bytes, inodes| DiskUse { bytes, inodes };
    let containers = HashMap::from([("web".to_owned(), used(1000, 2))]);
    let found = LogUse { containers, others: Some(used(100, 1)), etc_hosts: Some(used(10, 1)) };
    HashMap::from([("uid1".into(), found)])
}

pub(crate) fn found(n: u64, below: Option<(u64, u64)>) -> Found {
    let fs = FsUsage {
        capacity_bytes: n * 1_000_000,
        available_bytes: n * 600_000,
        used_bytes: n * 300_000,
        inodes: n * 1000,
        inodes_free: n * 900,
        read_only: false,
    };
    Found { moment: moment(), fs, below: below.map(|(bytes, inodes)| DiskUse { bytes, inodes }) }
}

/// What was found on the disks: the node's, and the volumes but for the one that hangs.
pub(crate) fn finds() -> Finds {
    [
        ("/", found(1, None)),
        ("/r", found(1, None)),
        ("/var/lib/containerd", found(2, None)),
        ("/r/pods/uid1/volumes/scratch", found(1, Some((5000, 6)))),
    ]
    .into_iter()
    .map(|(path, found)| (PathBuf::from(path), found))
    .collect()
}

/// What a driver tells of a volume.
pub(crate) fn driver_usage(n: u64) -> DriverUsage {
    DriverUsage {
        capacity_bytes: n * 1_000_000,
        available_bytes: n * 600_000,
        used_bytes: n * 300_000,
        inodes: n * 1000,
        inodes_free: n * 900,
        inodes_used: n * 100,
        abnormal: Some(false),
    }
}

/// What the driver of the claim's volume told.
pub(crate) fn answers() -> Answers {
    let key = Key::Claim(ClaimReference { name: "claim1".to_owned(), namespace: "shop".to_owned() });
    Answers::from([(key, Answer { moment: moment(), usage: driver_usage(9) })])
}

/// What the runtime tells of a container; `n` as in [`usage`].
pub(crate) fn told(id: &str, n: u64) -> v1::ContainerStats {
    let timestamp = i64::try_from(moment().at.as_nanosecond()).unwrap();
    let value = |value| Some(v1::UInt64Value { value });
    v1::ContainerStats {
        attributes: Some(v1::ContainerAttributes { id: id.to_owned(), ..Default::default() }),
        cpu: Some(v1::CpuUsage {
            timestamp,
            usage_core_nano_seconds: value(n * 1_000_000_000),
            usage_nano_cores: value(n * 100_000_000),
            psi: None,
        }),
        memory: Some(v1::MemoryUsage { timestamp, working_set_bytes: value(n * 900), ..Default::default() }),
        writable_layer: Some(v1::FilesystemUsage {
            timestamp,
            fs_id: Some(v1::FilesystemIdentifier { mountpoint: "/var/lib/containerd".to_owned() }),
            used_bytes: value(n * 10_000),
            inodes_used: value(n * 10),
        }),
        ..Default::default()
    }
}

pub(crate) fn image_fs() -> ImageFsInfo {
    let fs = cri::FilesystemUsage {
        measured_at: Some(moment().at),
        mountpoint: "/var/lib/containerd".into(),
        used_bytes: 123_456,
        inodes_used: Some(789),
    };
    ImageFsInfo { images: vec![fs], containers: Vec::new() }
}

/// Needs that answer with what they are given, and count how often they are asked.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    pub(crate) pods: Arc<Mutex<Vec<PodView>>>,
    pub(crate) node: Arc<Mutex<NodeView>>,
    /// None for a runtime that is away.
    pub(crate) told: Arc<Mutex<Option<Vec<v1::ContainerStats>>>>,
    pub(crate) image_fs: Arc<Mutex<Option<ImageFsInfo>>>,
    /// What drivers tell; none for one that does not.
    pub(crate) driver: Arc<Mutex<Option<DriverUsage>>>,
    /// The pods that a driver shows the volume to that it was asked about, each time.
    pub(crate) asked_driver: Arc<Mutex<Vec<Vec<ShownTo>>>>,
    pub(crate) asked_pods: Arc<AtomicUsize>,
    pub(crate) asked_runtime: Arc<AtomicUsize>,
}

fn away(call: &'static str) -> CriError {
    CriError { call, kind: CriErrorKind::Unavailable, message: "gone fishing".to_owned() }
}

impl Needs for Fake {
    fn pods(&self) -> Vec<PodView> {
        self.asked_pods.fetch_add(1, Relaxed);
        self.pods.lock().unwrap().clone()
    }

    fn node(&self) -> NodeView {
        self.node.lock().unwrap().clone()
    }

    async fn container_stats(&self) -> Result<Vec<v1::ContainerStats>, CriError> {
        self.asked_runtime.fetch_add(1, Relaxed);
        self.told.lock().unwrap().clone().ok_or_else(|| away("ListContainerStats"))
    }

    async fn image_fs(&self) -> Result<ImageFsInfo, CriError> {
        self.image_fs.lock().unwrap().clone().ok_or_else(|| away("ImageFsInfo"))
    }

    async fn driver_usage(&self, shown_to: &[ShownTo]) -> Option<DriverUsage> {
        self.asked_driver.lock().unwrap().push(shown_to.to_owned());
        *self.driver.lock().unwrap()
    }
}
