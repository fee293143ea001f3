//! Which attached volumes the node uses (Kubernetes: "Nodes", `status.volumesInUse`).

use std::collections::BTreeMap;

/// The volumes that the control plane must not detach from the node: they are used here, or are about to be.
///
/// Each has the generation since which it has been among them without a break. Generations only grow, by one with each
/// change. Once [`Standing::in_use`](crate::Standing::in_use) is as high as a volume's, the API server has it there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InUse {
    /// The generation of the whole.
    pub generation: u64,
    /// The volumes by their unique names, such as `kubernetes.io/csi/d.example^v`.
    pub volumes: BTreeMap<String, u64>,
}

impl InUse {
    /// Their names, as the node's status lists them.
    pub(crate) fn listed(&self) -> Option<Vec<String>> {
        let names: Vec<String> = self.volumes.keys().cloned().collect();
        (!names.is_empty()).then_some(names)
    }
}
