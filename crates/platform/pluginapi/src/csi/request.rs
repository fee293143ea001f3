//! What is asked for in the larger calls.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Capabilities, Capability, Secrets, VolumeAccess};
use crate::proto::csi::{
    CapacityRange, NodeExpandVolumeRequest, NodePublishVolumeRequest, NodeStageVolumeRequest,
};

/// A volume that is to be made ready on the node, once for all pods.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Stage {
    /// The volume's handle.
    pub volume: String,
    /// A directory that is there, which the driver mounts on (for a block volume: into which it puts what it likes).
    pub staging_path: PathBuf,
    /// How the volume is used.
    pub access: VolumeAccess,
    /// What the controller said when it attached the volume.
    pub publish_context: BTreeMap<String, String>,
    /// The volume's attributes.
    pub volume_context: BTreeMap<String, String>,
    /// `nodeStageSecretRef`.
    pub secrets: Secrets,
}

impl Stage {
    pub(super) fn wire(&self, capabilities: &Capabilities) -> NodeStageVolumeRequest {
        NodeStageVolumeRequest {
            volume_id: self.volume.clone(),
            publish_context: map(&self.publish_context),
            staging_target_path: text(&self.staging_path),
            volume_capability: Some(self.access.wire(capabilities)),
            secrets: self.secrets.wire(),
            volume_context: map(&self.volume_context),
        }
    }
}

/// A volume that is to be shown to one pod.
#[derive(Clone, PartialEq, Eq)]
pub struct Publish {
    /// The volume's handle.
    pub volume: String,
    /// Where it was staged; `None` for a volume that is not.
    pub staging_path: Option<PathBuf>,
    /// What the driver makes: a directory, or for a block volume a file. Its parent is there.
    pub target_path: PathBuf,
    /// How the volume is used.
    pub access: VolumeAccess,
    /// Whether the pod may only read.
    pub read_only: bool,
    /// What the controller said when it attached the volume.
    pub publish_context: BTreeMap<String, String>,
    /// The volume's attributes, with those of the pod. May hold its tokens.
    pub volume_context: BTreeMap<String, String>,
    /// `nodePublishSecretRef`, or the pod's tokens.
    pub secrets: Secrets,
}

impl Publish {
    pub(super) fn wire(&self, capabilities: &Capabilities) -> NodePublishVolumeRequest {
        let staged = capabilities.has(Capability::StageUnstage);
        NodePublishVolumeRequest {
            volume_id: self.volume.clone(),
            publish_context: map(&self.publish_context),
            staging_target_path: self
                .staging_path
                .as_deref()
                .filter(|_| staged)
                .map(text)
                .unwrap_or_default(),
            target_path: text(&self.target_path),
            volume_capability: Some(self.access.wire(capabilities)),
            readonly: self.read_only,
            secrets: self.secrets.wire(),
            volume_context: map(&self.volume_context),
        }
    }
}

/// Shows the keys of what the driver is told of the pod, not what they hold: tokens may be among them.
impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("volume", &self.volume)
            .field("staging_path", &self.staging_path)
            .field("target_path", &self.target_path)
            .field("access", &self.access)
            .field("read_only", &self.read_only)
            .field("publish_context", &self.publish_context)
            .field("volume_context", &self.volume_context.keys())
            .field("secrets", &self.secrets)
            .finish()
    }
}

/// A volume that has grown, and of which the node has to take note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expand {
    /// The volume's handle.
    pub volume: String,
    /// Where it is published, or staged.
    pub volume_path: PathBuf,
    /// Where it was staged; `None` for a volume that is not.
    pub staging_path: Option<PathBuf>,
    /// The size that it is to have at least, in bytes.
    pub bytes: u64,
    /// How the volume is used.
    pub access: VolumeAccess,
    /// `nodeExpandSecretRef`.
    pub secrets: Secrets,
}

impl Expand {
    pub(super) fn wire(&self, capabilities: &Capabilities) -> NodeExpandVolumeRequest {
        let required_bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        NodeExpandVolumeRequest {
            volume_id: self.volume.clone(),
            volume_path: text(&self.volume_path),
            capacity_range: Some(CapacityRange { required_bytes, limit_bytes: 0 }),
            staging_target_path: self.staging_path.as_deref().map(text).unwrap_or_default(),
            volume_capability: Some(self.access.wire(capabilities)),
            secrets: self.secrets.wire(),
        }
    }
}

fn map(pairs: &BTreeMap<String, String>) -> HashMap<String, String> {
    pairs.clone().into_iter().collect()
}

/// Paths are the root directory's, which has to be UTF-8 for CSI, and names that we made.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
