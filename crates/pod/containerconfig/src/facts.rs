//! What the node tells its pods and containers.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use cri::RuntimeHandler;
use cri::v1::IdMapping;
use types::resources::Amounts;

use crate::dns::ResolvConf;

/// Facts about the node and its configuration. They change seldom; whoever builds a configuration takes those of the
/// moment.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeFacts {
    /// The node's name (`spec.nodeName` of its pods).
    pub node_name: String,
    /// The node's addresses, the primary one first.
    pub host_ips: Vec<IpAddr>,
    /// Root of the state (`--root-dir`).
    pub root_dir: PathBuf,
    /// Root of pod logs (`podLogsDir`).
    pub pod_logs_dir: PathBuf,
    /// `clusterDomain`; may be empty.
    pub cluster_domain: String,
    /// `clusterDNS`.
    pub cluster_dns: Vec<IpAddr>,
    /// What the file of `resolvConf` says; `None` when that setting is the empty text.
    pub resolv_conf: Option<ResolvConf>,
    /// What the node gives to pods.
    pub allocatable: Amounts,
    /// What the node has.
    pub capacity: Amounts,
    /// `seccompDefault`.
    pub seccomp_default: bool,
    /// Whether the node has an SELinux policy, so that files of pods are to be relabelled.
    pub selinux: bool,
    /// Whether cgroups are version 2.
    pub cgroup_v2: bool,
    /// `cpuCFSQuota`.
    pub cpu_cfs_quota: bool,
    /// `cpuCFSQuotaPeriod`.
    pub cpu_cfs_period: Duration,
    /// Who may swap.
    pub swap: Swap,
    /// `singleProcessOOMKill`.
    pub single_process_oom_kill: bool,
    /// Sizes of huge pages that the node has, in bytes.
    pub hugepage_sizes: Vec<u64>,
    /// What the runtime's handlers can do.
    pub runtime_handlers: Vec<RuntimeHandler>,
}

impl NodeFacts {
    /// Whether read-only mounts can be so all the way down under the handler `name` (empty: the default one).
    #[must_use]
    pub fn has_recursive_read_only(&self, name: &str) -> bool {
        self.runtime_handlers.iter().any(|handler| handler.name == name && handler.recursive_read_only_mounts)
    }
}

/// `memorySwap.swapBehavior`, as far as the node can honour it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swap {
    /// The kernel keeps no account of swap by cgroup; nothing can be said about it.
    Unaccounted,
    /// Containers do not swap.
    NoSwap,
    /// Burstable pods share the node's swap in proportion to their memory requests.
    Limited {
        /// Swap of the node, in bytes.
        capacity: u64,
    },
}

/// The ids that a pod with a user namespace of its own has been given (KEP-127).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdMappings {
    /// User ids.
    pub uids: Vec<IdMapping>,
    /// Group ids.
    pub gids: Vec<IdMapping>,
}
