//! What a pod wants of a volume.

use std::collections::BTreeMap;

use pluginapi::csi::{AccessMode, AccessType, Publish, Secrets, Stage, VolumeAccess};
use types::{PodName, PodRef, PodUid};
use volume::claim::VolumeMode;
use volume::ownership::ChangePolicy;
use volume::selinux;
use volume::{Attempt, digest};

use crate::layout::{Layout, Site, VolumeId};
use crate::note::{Lifecycle, Note};
use crate::plan::Target;

/// A volume that one pod is to have, with all that its driver is told.
#[derive(Clone, Hash, Debug)]
pub struct Wanted {
    /// The volume.
    pub volume: VolumeId,
    /// The pod.
    pub pod: PodUid,
    /// The pod's name, for events.
    pub pod_name: PodName,
    /// The name of the PersistentVolume, or of the volume in the pod's spec.
    pub spec_name: String,
    /// The name of the volume in the pod's spec.
    pub name: String,
    /// As what the pod gets it.
    pub volume_mode: VolumeMode,
    /// How long the volume lives. One that goes with its pod is not staged.
    pub lifecycle: Lifecycle,
    /// Who may use it at once.
    pub mode: AccessMode,
    /// Whether no other pod of the node may have it at the same time.
    pub by_one_pod: bool,
    /// The file system; empty for the driver's choice.
    pub fs_type: String,
    /// Mount options.
    pub mount_options: Vec<String>,
    /// Whether the pod may only read.
    pub read_only: bool,
    /// What the controller said when it attached the volume (`VolumeAttachment.status.attachmentMetadata`).
    pub publish_context: BTreeMap<String, String>,
    /// The volume's attributes.
    pub volume_context: BTreeMap<String, String>,
    /// What the driver is told of the pod when it publishes: its name, its tokens.
    pub pod_context: PodContext,
    /// `nodeStageSecretRef`.
    pub stage_secrets: Secrets,
    /// `nodePublishSecretRef`, with the pod's tokens if the driver wants them there.
    pub publish_secrets: Secrets,
    /// To whom its files are given.
    pub group: Option<Group>,
    /// The group that all processes of the pod are in because of it.
    pub gid: Option<i64>,
    /// The SELinux label that it is mounted with, if it is mounted with one.
    pub label: Option<String>,
}

/// What a driver is told of a pod. Its `Debug` shows the keys alone: tokens may be among it.
#[derive(Clone, Hash, Default)]
pub struct PodContext(
    /// By key.
    pub BTreeMap<String, String>,
);

impl std::fmt::Debug for PodContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The group of a pod (`securityContext.fsGroup`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Group {
    /// Its id.
    pub id: u32,
    /// When files are gone through.
    pub policy: ChangePolicy,
    /// Whether the kubelet gives the files to it, if the driver does not (`CSIDriver.spec.fsGroupPolicy`).
    pub by_kubelet: bool,
}

impl Wanted {
    /// What showing it depends on: what its driver is told, and which registration of that it is (`instance`; see
    /// [`Drivers::instance`](crate::Drivers::instance)).
    #[must_use]
    pub fn attempt(&self, layout: &Layout, instance: Option<u64>) -> Attempt {
        let is_staged = self.lifecycle == Lifecycle::Persistent;
        let shared = is_staged.then(|| (self.volume.to_string(), digest(&(self.stage(layout), instance))));
        Attempt { shared, own: digest(&(self, instance)) }
    }

    pub(crate) fn target(&self) -> Target {
        Target { pod: self.pod.clone(), mode: self.volume_mode, spec_name: self.spec_name.clone() }
    }

    pub(crate) fn pod_ref(&self) -> PodRef {
        PodRef { name: self.pod_name.clone(), uid: self.pod.clone() }
    }

    pub(crate) fn site(&self) -> Site {
        Site::of(&self.volume, &self.target())
    }

    fn access(&self) -> VolumeAccess {
        if self.volume_mode == VolumeMode::Block {
            return VolumeAccess { mode: self.mode, as_type: AccessType::Block };
        }
        let label = self.label.as_deref().map(selinux::mount_option);
        let as_type = AccessType::Mount {
            fs_type: self.fs_type.clone(),
            flags: self.mount_options.iter().cloned().chain(label).collect(),
            group: self.group.map(|group| group.id),
        };
        VolumeAccess { mode: self.mode, as_type }
    }

    /// The note where it is staged. A device has one note alone.
    pub(crate) fn staged_note(&self, node: &str) -> Note {
        if self.volume_mode == VolumeMode::Block {
            return self.published_note(node);
        }
        Note::Staged { volume: self.volume.clone(), selinux_context: self.label.clone() }
    }

    pub(crate) fn published_note(&self, node: &str) -> Note {
        Note::Published {
            volume: self.volume.clone(),
            spec_name: self.spec_name.clone(),
            node: node.to_owned(),
            lifecycle: self.lifecycle,
            selinux_context: self.label.clone(),
        }
    }

    pub(crate) fn stage(&self, layout: &Layout) -> Stage {
        Stage {
            volume: self.volume.handle.clone(),
            staging_path: layout.staged_path(&self.site()),
            access: self.access(),
            publish_context: self.publish_context.clone(),
            volume_context: self.volume_context.clone(),
            secrets: self.stage_secrets.clone(),
        }
    }

    pub(crate) fn publish(&self, layout: &Layout, target_path: std::path::PathBuf) -> Publish {
        let mut volume_context = self.volume_context.clone();
        volume_context.extend(self.pod_context.0.clone());
        Publish {
            volume: self.volume.handle.clone(),
            staging_path: (self.lifecycle == Lifecycle::Persistent).then(|| layout.staged_path(&self.site())),
            target_path,
            access: self.access(),
            read_only: self.read_only,
            publish_context: self.publish_context.clone(),
            volume_context,
            secrets: self.publish_secrets.clone(),
        }
    }
}
