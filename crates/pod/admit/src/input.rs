//! What admission goes by.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::Pod;
use types::corev1::Taint;
use types::resources::Amounts;

/// Everything that [`crate::admit()`] goes by.
#[derive(Clone, Copy, Debug)]
pub struct AdmitInput<'a> {
    /// The pod that asks.
    pub pod: &'a Pod,
    /// The pods that take up room here: admitted and not yet over. The pod itself may be among them, and is skipped.
    pub active: &'a [Arc<Pod>],
    /// The node.
    pub node: &'a Node,
}

impl<'a> AdmitInput<'a> {
    /// The other pods that take up room.
    pub(crate) fn others(&self) -> impl Iterator<Item = &'a Pod> {
        let uid = &self.pod.metadata.uid;
        self.active.iter().map(|pod| &**pod).filter(move |pod| pod.metadata.uid != *uid)
    }
}

/// What a node offers and what it is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels, which node selectors and node affinity go by.
    pub labels: BTreeMap<String, String>,
    /// Its taints; only those with the effect `NoExecute` count here.
    pub taints: Vec<Taint>,
    /// `status.allocatable`: what pods may ask for in all. What is missing is not there, but for extended resources,
    /// which are not the node's business then.
    pub allocatable: Amounts,
    /// Version of the kernel, major and minor: some sysctls are safe from a version on.
    pub kernel: (u32, u32),
    /// `allowedUnsafeSysctls`: names, or prefixes that end in `*`.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Whether the kernel enforces AppArmor profiles.
    pub apparmor: bool,
    /// Whether the runtime knows `supplementalGroupsPolicy`.
    pub supplemental_groups_policy: bool,
    /// Whether pods may have resources of their own (`PodLevelResources`).
    pub pod_level_resources: bool,
    /// Whether the node is shutting down.
    pub shutting_down: bool,
}
