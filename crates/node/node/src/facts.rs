//! What the node's status is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use types::resources::Amounts;

use crate::{InUse, Machine, NodeIp, RuntimeHealth};

/// What the node is and has. It changes seldom.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// The node's name, which is its host name too.
    pub name: String,
    /// The machine.
    pub machine: Machine,
    /// What of Kubernetes' own resources there is.
    pub capacity: Amounts,
    /// What of them pods may request.
    pub allocatable: Amounts,
    /// How the node can be reached.
    pub addresses: Addresses,
    /// The architecture, as Kubernetes calls it (`amd64`).
    pub architecture: String,
    /// The version that is shown (see [`crate::kubelet_version`]).
    pub kubelet_version: String,
    /// Who the container runtime is; `None` until it has said so.
    pub runtime: Option<cri::Version>,
    /// The port of the HTTPS server; 0 if there is none.
    pub port: u16,
    /// The runtime's images; `None` until they were listed.
    pub images: Option<Arc<Vec<cri::Image>>>,
    /// How many images are shown at most (`nodeStatusMaxImages`); `None` for all.
    pub max_images: Option<usize>,
    /// Features of this version that the scheduler and the API server have to know of (KEP-5328), sorted.
    pub declared_features: Vec<String>,
}

/// The node's addresses, and who decides over them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    /// Those that the node shows as its own, the primary one first. May be empty with an external cloud provider.
    pub internal: Vec<IpAddr>,
    /// Those that `--node-ip` names, which a cloud provider is told.
    pub given: Vec<IpAddr>,
    /// Whether a cloud provider decides (`--cloud-provider=external`). Then the node's own addresses hold only until it
    /// has written others.
    pub external_cloud: bool,
}

impl Addresses {
    /// From the text of `--node-ip` and the addresses that were found with it ([`crate::node_ips`]). An external cloud
    /// provider that was given no hint at all finds the addresses itself.
    #[must_use]
    pub fn of(node_ip: &str, found: &[IpAddr], external_cloud: bool) -> Self {
        let given = match NodeIp::parse(node_ip) {
            Ok(NodeIp::Given(ips)) => ips,
            Ok(NodeIp::Find(_)) | Err(_) => Vec::new(),
        };
        let internal = if external_cloud && node_ip.is_empty() { Vec::new() } else { found.to_vec() };
        Self { internal, given, external_cloud }
    }
}

/// What the node is short of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pressure {
    /// Memory.
    Memory,
    /// Room or inodes on a disk.
    Disk,
    /// Process ids.
    Pid,
}

/// What, apart from the runtime, is in the way of pods. In the order in which it is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Obstacle {
    /// Storage cannot be used.
    Storage,
    /// The CSINode object cannot be written.
    CsiNode,
    /// The machine is being shut down.
    Shutdown,
}

/// What weighs on the node, told by those who watch over it. Nothing, by default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Strain {
    /// What it is short of.
    pub pressures: BTreeSet<Pressure>,
    /// Why it is not ready, each in words.
    pub obstacles: BTreeMap<Obstacle, String>,
}

/// All that the node's status is derived from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What the node is and has.
    pub facts: &'a Facts,
    /// How the runtime is.
    pub runtime: &'a RuntimeHealth,
    /// What weighs on it.
    pub strain: &'a Strain,
    /// The attached volumes that are used here, once that is known.
    pub in_use: Option<&'a InUse>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_provider_is_told_what_was_given() {
        let found: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap()];
        let given = Addresses::of("10.0.0.1", &found, true);
        assert_eq!((given.given, given.internal), (found.clone(), found.clone()));
        let unspecified = Addresses::of("0.0.0.0", &found, true);
        assert_eq!((unspecified.given, unspecified.internal), (vec![], found.clone()));
        assert_eq!(Addresses::of("", &found, true).internal, Vec::<IpAddr>::new());
        assert_eq!(Addresses::of("", &found, false).internal, found);
    }
}
