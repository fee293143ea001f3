//! Facts for the tests of all modules, and snapshots of whole configurations.

use std::path::Path;
use std::time::Duration;

use cri::RuntimeHandler;
use expect_test::expect;
use serde_json::json;
use types::{ContainerKind, Pod, Quantity, pod};

use crate::dns::ResolvConf;
use crate::env::{EnvInput, Variable, environment};
use crate::security::ImageUser;
use crate::*;

pub(crate) fn facts() -> NodeFacts {
    let gib = |count: i64| Quantity::bytes(count << 30);
    NodeFacts {
        node_name: "node-1".into(),
        host_ips: vec!["192.0.2.10".parse().unwrap()],
        root_dir: "/var/lib/kubelet".into(),
        pod_logs_dir: "/var/log/pods".into(),
        cluster_domain: "cluster.local".into(),
        cluster_dns: vec!["10.96.0.10".parse().unwrap()],
        resolv_conf: Some(ResolvConf::parse("nameserver 192.0.2.53\nsearch example.com\noptions edns0")),
        allocatable: [("cpu".to_owned(), Quantity::whole(2)), ("memory".to_owned(), gib(3))].into(),
        capacity: [("cpu".to_owned(), Quantity::whole(2)), ("memory".to_owned(), gib(4))].into(),
        seccomp_default: false,
        selinux: false,
        cgroup_v2: true,
        cpu_cfs_quota: true,
        cpu_cfs_period: Duration::from_millis(100),
        swap: Swap::NoSwap,
        single_process_oom_kill: false,
        hugepage_sizes: vec![2 << 20, 1 << 30],
        runtime_handlers: vec![RuntimeHandler {
            name: String::new(),
            recursive_read_only_mounts: true,
            user_namespaces: true,
        }],
    }
}
