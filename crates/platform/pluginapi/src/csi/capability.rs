//! What the node's part of a driver can do.

use std::collections::BTreeSet;

use crate::proto::csi::NodeGetCapabilitiesResponse;
use crate::proto::csi::node_service_capability::Type;
use crate::proto::csi::node_service_capability::rpc::Type as Rpc;

/// Something that the node's part of a driver can do, or not (CSI: `NodeServiceCapability`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Capability {
    /// A volume is staged once on the node, before it is published to pods.
    StageUnstage,
    /// It says how full a volume is.
    VolumeStats,
    /// It has something to do on the node when a volume grows.
    Expand,
    /// It says whether a volume is well.
    VolumeCondition,
    /// It tells one pod that writes from several on one node.
    SingleNodeMultiWriter,
    /// It gives a volume to a group itself.
    VolumeMountGroup,
}

/// All that a driver can do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// Whether `capability` is among them.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// Those that berth knows nothing of are left out: drivers may be newer.
impl From<NodeGetCapabilitiesResponse> for Capabilities {
    fn from(answer: NodeGetCapabilitiesResponse) -> Self {
        let known = |rpc| {
            Some(match rpc {
                Rpc::Unknown => return None,
                Rpc::StageUnstageVolume => Capability::StageUnstage,
                Rpc::GetVolumeStats => Capability::VolumeStats,
                Rpc::ExpandVolume => Capability::Expand,
                Rpc::VolumeCondition => Capability::VolumeCondition,
                Rpc::SingleNodeMultiWriter => Capability::SingleNodeMultiWriter,
                Rpc::VolumeMountGroup => Capability::VolumeMountGroup,
            })
        };
        answer
            .capabilities
            .into_iter()
            .filter_map(|capability| match capability.r#type? {
                Type::Rpc(rpc) => known(Rpc::try_from(rpc.r#type).ok()?),
            })
            .collect()
    }
}
