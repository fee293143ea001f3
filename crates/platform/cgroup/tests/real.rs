//! The cgroups of this machine, below a root of our own. A test that needs what the machine does not have says so and
//! passes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "test code")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use cgroup::usage::{Detail, TaskUsage};
use cgroup::version::MOUNT_POINT;
use cgroup::{
    CgroupName, Cgroups, Driver, Hierarchies, Metrics, PodCgroupConfig, PodCgroups, UsageReader, Version,
};
use serde_json::json;
use types::resources::{Amounts, CPU, MEMORY};
use types::{Pod, Quantity};

/// Controllers the suite needs, on cgroup v2.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "0b6a3ee5-11aa-4f5c-a3a9-6ef4fd6a0001"},
        "spec": {"containers": [{
            "name": "a",
            "resources": {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
        }]},
    }))
    .unwrap()
}

/// Why `driver` cannot be tried on this machine with `version`.
fn impossible(version: Version, driver: Driver) -> Option<String> {
    let root = Path::new(MOUNT_POINT);
    if !rustix::process::geteuid().is_root() {
        return Some("this is not root".to_owned());
    }
    let host = Version::detect(root).unwrap();
    if host != version {
        return Some(format!("the machine has cgroup v{}", host.number()));
    }
    if version == Version::V2 {
        let has = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let missing: Vec<_> =
            NEEDED.into_iter().filter(|c| !has.split_whitespace().any(|h| h == *c)).collect();
        if !missing.is_empty() {
            return Some(format!("the controllers {missing:?} are missing"));
        }
    }
    if driver == Driver::Systemd && !Path::new("/run/systemd/private").exists() {
        return Some("systemd does not run".to_owned());
    }
    None
}

/// A root of our own that takes everything below it away when the test ends, however it ends.
struct Root {
    name: CgroupName,
    hierarchies: Hierarchies,
    driver: Driver,
    child: Option<Child>,
}

impl Root {
    async fn make(version: Version, driver: Driver, what: &str) -> (Self, Cgroups) {
        let mount_point = Path::new(MOUNT_POINT);
        let name = CgroupName::new([format!("berth-test-{what}{}", std::process::id())]).unwrap();
        let root = Self {
            name: name.clone(),
            hierarchies: Hierarchies::find(version, mount_point).unwrap(),
            driver,
            child: None,
        };
        let open = |root| {
            let metrics = Metrics::register(&telemetry::metrics::Registry::default());
            Cgroups::open(version, driver, mount_point, root, metrics)
        };
        open(CgroupName::root()).await.unwrap().ensure(&name, &cgroup::Limits::default()).await.unwrap();
        (root, open(name).await.unwrap())
    }

    fn files<'a>(&'a self, name: &CgroupName) -> impl Iterator<Item = PathBuf> + 'a {
        let path = self.driver.path(name);
        self.hierarchies.roots().map(move |root| root.join(path.trim_start_matches('/')))
    }

    fn read(&self, name: &CgroupName, controller: &str, file: &str) -> String {
        let root = self.hierarchies.root_of(controller).unwrap();
        let path = root.join(self.driver.path(name).trim_start_matches('/')).join(file);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
    }

    /// A process that lives in the cgroup below `name`, as a container's does.
    fn run_in(&mut self, name: &CgroupName) {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        for directory in self.files(name).map(|directory| directory.join("container")) {
            fs::create_dir(&directory).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read_to_string(directory.join("..").join(file))
                    && !value.trim().is_empty()
                {
                    fs::write(directory.join(file), value).unwrap();
                }
            }
            fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        self.child = Some(child);
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        fn remove(directory: &Path) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove(&entry.path());
                }
            }
            let _ = fs::remove_dir(directory);
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        for directory in self.files(&self.name) {
            remove(&directory);
        }
    }
}

async fn a_pods_life(version: Version, driver: Driver, what: &str) {
    if let Some(why) = impossible(version, driver) {
        println!("skipped: {why}");
        return;
    }
    let (mut root, cgroups) = Root::make(version, driver, what).await;
    let sizes = [];
    let pods = PodCgroups::new(cgroups.clone(), &sizes).unwrap();
    let together = Amounts::from([
        (CPU.to_owned(), Quantity::milli(1500)),
        (MEMORY.to_owned(), Quantity::bytes(1 << 30)),
    ]);
    pods.setup().await.unwrap();
    pods.limit_together(&together).await.unwrap();
    // Once more, as after a restart.
    pods.setup().await.unwrap();
    pods.limit_together(&together).await.unwrap();

    let pod = pod();
    assert!(!pods.pod_exists(&pod).await.unwrap());
    let config = PodCgroupConfig { pids_limit: Some(100), ..Default::default() };
    let parent = pods.ensure_pod(&pod, &config).await.unwrap();
    assert_eq!(pods.ensure_pod(&pod, &config).await.unwrap(), parent);
    assert!(pods.pod_exists(&pod).await.unwrap());

    let listed = pods.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    let name = listed[0].name.clone();
    assert_eq!(cgroups.path(&name), parent);
    let burstable = &pods.class_paths()[0];
    assert!(
        parent.starts_with(&format!("{burstable}/")) && burstable.starts_with(&format!("{}/", pods.path()))
    );
    assert_eq!(root.read(&name, "pids", "pids.max"), "100");
    match version {
        Version::V1 => {
            assert_eq!(root.read(&name, "cpu", "cpu.shares"), "256");
            assert_eq!(root.read(&name, "cpu", "cpu.cfs_quota_us"), "50000");
            assert_eq!(root.read(&name, "memory", "memory.limit_in_bytes"), (64u64 << 20).to_string());
            let cpus = root.read(&name, "cpuset", "cpuset.cpus");
            assert!(!cpus.is_empty());
        }
        Version::V2 => {
            assert_eq!(root.read(&name, "cpu", "cpu.weight"), "10");
            assert_eq!(root.read(&name, "cpu", "cpu.max"), "50000 100000");
            assert_eq!(root.read(&name, "memory", "memory.max"), (64u64 << 20).to_string());
        }
    }

    pods.update_qos(&[pod.clone().into()]).await.unwrap();
    let burstable = name.parent().unwrap();
    match version {
        Version::V1 => assert_eq!(root.read(&burstable, "cpu", "cpu.shares"), "256"),
        Version::V2 => assert_eq!(root.read(&burstable, "cpu", "cpu.weight"), "10"),
    }

    // A process that was left behind goes with its pod.
    root.run_in(&name);
    let left = root.child.as_ref().unwrap().id();
    assert_eq!(cgroups.pids(&name).await.unwrap(), [left]);
    it_is_measured(&root, &parent, left);
    // Somebody has to wait for it, or it stays in its cgroup as a zombie.
    let mut child = root.child.take().unwrap();
    let waiter = std::thread::spawn(move || child.wait().unwrap());
    pods.remove_pod(&listed[0].uid).await.unwrap();
    assert_eq!(waiter.join().unwrap().signal(), Some(9));
    assert!(!pods.pod_exists(&pod).await.unwrap());
    assert!(pods.list().await.unwrap().is_empty());
    assert!(root.files(&name).all(|directory| !directory.exists()));
    cgroups.destroy(cgroups.root()).await.unwrap();
}

/// The process `pid` runs in a cgroup below that of `path`, whose limits are those of [`pod`].
fn it_is_measured(root: &Root, path: &str, pid: u32) {
    let reader = UsageReader::new(root.hierarchies.clone());
    assert_eq!(reader.children(path), ["container"]);
    assert_eq!(reader.processes(path), [pid]);
    let usage = reader.read(path, Detail::Full).unwrap();
    let (cpu, memory) = (usage.cpu.unwrap(), usage.memory.unwrap());
    assert_eq!(usage.tasks.unwrap(), TaskUsage { current: 1, limit: Some(100) });
    assert_eq!(usage.cpu_limits.unwrap().quota_us, Some(50_000));
    assert!(cpu.throttling.is_some());
    assert_eq!((memory.limit, memory.limit_hits, memory.oom_kills), (Some(64 << 20), Some(0), Some(0)));
    assert!(memory.usage < 64 << 20 && memory.working_set <= memory.usage, "{memory:?}");
    // The inner cgroup has the process: what is known of it is known of its parent.
    let inner = reader.read(&format!("{path}/container"), Detail::Basic).unwrap();
    // On v2 it has controllers of its own only once its maker has handed them down, as a runtime does.
    assert!(inner.memory.is_none_or(|inner| inner.rss <= memory.rss.max(1 << 20)));
    assert!(reader.read(&format!("{path}/none"), Detail::Basic).is_none());
}

#[tokio::test]
async fn real_pod_on_v1_with_cgroupfs() {
    a_pods_life(Version::V1, Driver::Cgroupfs, "fs").await;
}

#[tokio::test]
async fn real_pod_on_v2_with_cgroupfs() {
    a_pods_life(Version::V2, Driver::Cgroupfs, "fs").await;
}

#[tokio::test]
async fn real_pod_on_v1_with_systemd() {
    a_pods_life(Version::V1, Driver::Systemd, "sd").await;
}

#[tokio::test]
async fn real_pod_on_v2_with_systemd() {
    a_pods_life(Version::V2, Driver::Systemd, "sd").await;
}

/// A node with both versions has v2 without the controllers of pods, but with all that making, killing and removing need.
#[tokio::test]
async fn real_v2_kills_and_removes() {
    let roots = [MOUNT_POINT, "/sys/fs/cgroup/unified"].map(Path::new);
    let Some(mount_point) =
        roots.into_iter().find(|root| Version::detect(root).is_ok_and(|v| v == Version::V2))
    else {
        println!("skipped: cgroup v2 is not mounted");
        return;
    };
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this is not root");
        return;
    }
    let name = CgroupName::new([format!("berth-test-kill{}", std::process::id())]).unwrap();
    let hierarchies = Hierarchies::find(Version::V2, mount_point).unwrap();
    let mut root = Root { name: name.clone(), hierarchies, driver: Driver::Cgroupfs, child: None };
    let metrics = Metrics::register(&telemetry::metrics::Registry::default());
    let cgroups =
        Cgroups::open(Version::V2, Driver::Cgroupfs, mount_point, CgroupName::root(), metrics).await.unwrap();
    let pod = name.child("pod1").unwrap();
    cgroups.ensure(&pod, &cgroup::Limits::default()).await.unwrap();
    assert!(cgroups.exists(&pod).await.unwrap());
    assert_eq!(cgroups.children(&name).await.unwrap(), std::slice::from_ref(&pod));

    root.run_in(&pod);
    let mut child = root.child.take().unwrap();
    assert_eq!(cgroups.pids(&pod).await.unwrap(), [child.id()]);
    let waiter = std::thread::spawn(move || child.wait().unwrap());
    cgroups.destroy(&name).await.unwrap();
    assert_eq!(waiter.join().unwrap().signal(), Some(9));
    assert!(!cgroups.is_present(&name).await.unwrap());
    cgroups.destroy(&name).await.unwrap();
}

#[tokio::test]
async fn without_systemd_its_driver_says_what_to_do() {
    if Path::new("/run/dbus/system_bus_socket").exists() {
        println!("skipped: this machine has a system bus");
        return;
    }
    let version = Version::detect(Path::new(MOUNT_POINT)).unwrap();
    let metrics = Metrics::register(&telemetry::metrics::Registry::default());
    let refused =
        Cgroups::open(version, Driver::Systemd, Path::new(MOUNT_POINT), CgroupName::root(), metrics).await;
    assert!(refused.unwrap_err().to_string().contains("SystemdCgroup = false"));
}
