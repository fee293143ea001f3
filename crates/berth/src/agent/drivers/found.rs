//! Volumes of pods of which is known how they are had.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use csi::Wanted;
use tokio::time::Instant;
use volume::claim::VolumeMode;
use volume::{Attempt, FoundVolume, MountSource, Mounted, NotShown};

use super::grow::{Grower, Id, OfClaim};
use super::label::{Conflicts, Labels};
use super::renewal::Renewals;

/// A volume that is there.
#[derive(Debug)]
pub(super) struct Shown(pub(super) Mounted);

#[async_trait]
impl FoundVolume for Shown {
    async fn show(&self) -> Result<Mounted, NotShown> {
        Ok(self.0.clone())
    }

    fn attempt(&self) -> Attempt {
        Attempt::default()
    }
}

/// A volume that its driver is to make.
pub(super) struct ToMake {
    pub(super) volumes: csi::Volumes,
    pub(super) grower: Grower,
    pub(super) labels: Arc<Labels>,
    pub(super) renewals: Arc<Renewals>,
    /// The claim that the pod has it by.
    pub(super) of_claim: Option<OfClaim>,
    /// Which registration of its driver there was.
    pub(super) instance: Option<u64>,
    pub(super) wanted: Wanted,
}

impl fmt::Debug for ToMake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToMake").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

#[async_trait]
impl FoundVolume for ToMake {
    async fn show(&self) -> Result<Mounted, NotShown> {
        let wanted = &self.wanted;
        let path = self.volumes.prepare(wanted).await.map_err(|error| {
            if matches!(error, csi::VolumeError::Label { .. }) {
                let plugin = csi::qualified_name(&wanted.volume.driver);
                self.labels.conflict(&plugin, wanted.by_one_pod);
            }
            let of_all = matches!(error, csi::VolumeError::Stage(_));
            NotShown { error: error.into(), of_all }
        })?;
        // It was published just now.
        drop(self.renewals.begin(&wanted.pod, &wanted.name, Instant::now()));
        if let Some(of_claim) = &self.of_claim {
            self.grower.grow_at_mount(of_claim, &Id::Csi(wanted.volume.clone())).await?;
        }
        Ok(mounted(path, wanted.volume_mode, wanted.read_only, wanted.label.is_some()))
    }

    fn attempt(&self) -> Attempt {
        self.wanted.attempt(self.volumes.layout(), self.instance)
    }
}

/// A volume that berth is to mount.
#[derive(Debug)]
pub(super) struct ToMount {
    pub(super) volumes: intree::Volumes,
    pub(super) wanted: intree::Wanted,
    /// None for a volume that cannot be mounted with a label.
    pub(super) conflicts: Option<Conflicts>,
    /// Who has it grow before a container gets it, if it may have to.
    pub(super) grower: Option<(Grower, OfClaim)>,
}

#[async_trait]
impl FoundVolume for ToMount {
    async fn show(&self) -> Result<Mounted, NotShown> {
        let path = self.volumes.prepare(&self.wanted).await.map_err(|error| {
            if let (intree::VolumeError::Label { .. }, Some(conflicts)) = (&error, &self.conflicts) {
                conflicts.add();
            }
            let of_all = error.is_of_device();
            NotShown { error: error.into(), of_all }
        })?;
        if let Some((grower, of_claim)) = &self.grower {
            grower.grow_at_mount(of_claim, &Id::Mounted(self.wanted.target.spec_name.clone())).await?;
        }
        Ok(Mounted {
            source: source(path, self.wanted.target.mode),
            read_only: self.wanted.read_only,
            selinux_relabel: self.wanted.is_relabeled(),
        })
    }

    fn attempt(&self) -> Attempt {
        self.wanted.attempt(*self.volumes.late_ends().borrow())
    }
}

/// What is mounted with a label has no need of another.
pub(super) fn mounted(path: PathBuf, mode: VolumeMode, read_only: bool, labelled: bool) -> Mounted {
    Mounted { source: source(path, mode), read_only, selinux_relabel: !read_only && !labelled }
}

/// What is at `path` on the node.
pub(super) fn source(path: PathBuf, mode: VolumeMode) -> MountSource {
    match mode {
        VolumeMode::Filesystem => MountSource::HostPath(path),
        VolumeMode::Block => MountSource::Device(path),
    }
}
