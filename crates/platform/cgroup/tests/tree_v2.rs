//! The QoS tree on cgroup v2, laid out in a directory that stands for the mount point.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cgroup::{CgroupError, CgroupName, Cgroups, Driver, Metrics, PodCgroupConfig, PodCgroups, Version};
use serde_json::json;
use types::resources::{Amounts, CPU, MEMORY};
use types::{Pod, QosClass, Quantity};

const CONTROLLERS: &str = "cpuset cpu io memory hugetlb pids rdma\n";

fn pod(uid: &str, resources: serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "default", "uid": uid},
        "spec": {"containers": [{"name": "a", "resources": resources}]},
    }))
    .unwrap()
}

struct Node {
    dir: tempfile::TempDir,
    pods: PodCgroups,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), CONTROLLERS).unwrap();
        let metrics = Metrics::register(&telemetry::metrics::Registry::default());
        let cgroups = Cgroups::open(Version::V2, Driver::Cgroupfs, dir.path(), CgroupName::root(), metrics)
            .await
            .unwrap();
        let pods = PodCgroups::new(cgroups, &[2 << 20]).unwrap();
        let node = Self { dir, pods };
        // What the kernel does by itself: the controllers passed down to a cgroup show in it.
        for path in ["kubepods", "kubepods/burstable", "kubepods/besteffort"] {
            node.kernel_makes(path);
        }
        let together = Amounts::from([
            (CPU.to_owned(), Quantity::milli(2000)),
            (MEMORY.to_owned(), Quantity::bytes(1 << 30)),
        ]);
        node.pods.setup().await.unwrap();
        node.pods.limit_together(&together).await.unwrap();
        node
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn kernel_makes(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
        fs::write(self.path(path).join("cgroup.controllers"), CONTROLLERS).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }
}

/// Only the kernel may remove a cgroup with its files still in it.
fn remove_files(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { remove_files(&path) } else { fs::remove_file(path).unwrap() }
    }
}

#[tokio::test]
async fn pods_get_their_place_and_their_limits() {
    let node = Node::start().await;
    assert_eq!(node.read("kubepods/cpu.weight"), "79");
    assert_eq!(node.read("kubepods/memory.max"), (1u64 << 30).to_string());
    assert_eq!(node.read("kubepods/besteffort/cpu.weight"), "1");

    let web = pod("12-ab", json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "64Mi"}}));
    let config = PodCgroupConfig { pids_limit: Some(100), page_sizes: vec![2 << 20], ..Default::default() };
    assert_eq!(node.pods.ensure_pod(&web, &config).await.unwrap(), "/kubepods/burstable/pod12-ab");
    let at = |file: &str| node.read(&format!("kubepods/burstable/pod12-ab/{file}"));
    assert_eq!(at("cpu.weight"), "39");
    assert_eq!(at("cpu.max"), "200000 100000");
    assert_eq!(at("memory.max"), (64u64 << 20).to_string());
    assert_eq!(at("pids.max"), "100");
    // Each was written for itself, and the last one stays in a plain file.
    assert_eq!(node.read("kubepods/burstable/cgroup.subtree_control"), "+pids");

    node.pods.update_qos(&[Arc::new(web)]).await.unwrap();
    assert_eq!(node.read("kubepods/burstable/cpu.weight"), "39");
}

#[tokio::test]
async fn a_cgroup_without_its_controllers_does_not_exist_yet() {
    let node = Node::start().await;
    let web = pod("1", json!({}));
    node.pods.ensure_pod(&web, &PodCgroupConfig::default()).await.unwrap();
    assert!(!node.pods.pod_exists(&web).await.unwrap());
    node.kernel_makes("kubepods/besteffort/pod1");
    assert!(node.pods.pod_exists(&web).await.unwrap());
}

#[tokio::test]
async fn pods_are_listed_and_removed() {
    let node = Node::start().await;
    let guaranteed = json!({"limits": {"cpu": "1", "memory": "64Mi"}});
    for pod in [pod("1", json!({})), pod("2", guaranteed), pod("3", json!({"requests": {"cpu": "1"}}))] {
        node.pods.ensure_pod(&pod, &PodCgroupConfig::default()).await.unwrap();
    }
    fs::create_dir(node.path("kubepods/other")).unwrap();
    let list = || async {
        let found = node.pods.list().await.unwrap();
        found.iter().map(|pod| (pod.uid.to_string(), pod.class)).collect::<Vec<_>>()
    };
    assert_eq!(
        list().await,
        [
            ("2".to_owned(), QosClass::Guaranteed),
            ("3".to_owned(), QosClass::Burstable),
            ("1".to_owned(), QosClass::BestEffort),
        ]
    );
    fs::create_dir(node.path("kubepods/burstable/pod3/container")).unwrap();
    remove_files(&node.path("kubepods/burstable/pod3"));
    node.pods.remove_pod(&"3".into()).await.unwrap();
    node.pods.remove_pod(&"3".into()).await.unwrap();
    assert_eq!(list().await.len(), 2);
}

#[tokio::test]
async fn what_is_set_already_is_not_written_again() {
    let node = Node::start().await;
    let web = pod("1", json!({"requests": {"cpu": "1"}}));
    node.pods.ensure_pod(&web, &PodCgroupConfig::default()).await.unwrap();
    node.kernel_makes("kubepods/burstable/pod1");
    let file = node.path("kubepods/burstable/pod1/cpu.weight");
    let mut permissions = fs::metadata(&file).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&file, permissions).unwrap();
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    node.pods.ensure_pod(&web, &PodCgroupConfig::default()).await.unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn impossible_names_are_refused() {
    let node = Node::start().await;
    for uid in ["../../x", "a/b", "a_b", "a b"] {
        let refused = node.pods.ensure_pod(&pod(uid, json!({})), &PodCgroupConfig::default()).await;
        assert!(matches!(refused, Err(CgroupError::Name(_))), "{uid}");
        assert!(node.pods.remove_pod(&uid.into()).await.is_err(), "{uid}");
    }
}

#[tokio::test]
async fn a_root_that_does_not_exist_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = CgroupName::new(["mine"]).unwrap();
    let metrics = Metrics::register(&telemetry::metrics::Registry::default());
    let refused =
        Cgroups::open(Version::V2, Driver::Cgroupfs, dir.path(), root.clone(), metrics.clone()).await;
    assert!(matches!(refused, Err(CgroupError::NoSuchCgroup { field: "cgroupRoot", .. })));
    let refused = Cgroups::open(Version::V1, Driver::Cgroupfs, dir.path(), root, metrics).await;
    assert!(matches!(refused, Err(CgroupError::RequiredMissing { .. })));
}
