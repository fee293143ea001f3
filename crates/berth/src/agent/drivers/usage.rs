//! How full volumes of claims are.

use std::time::Duration;

use csi::{Usage, VolumeError};
use linux::statfs::{self, FsUsage};
use task::blocking;
use types::PodUid;
use volume::claim::VolumeMode;

use super::ClusterDrivers;

/// How long a file system is waited for.
const STATFS_WITHIN: Duration = Duration::from_secs(10);

impl ClusterDrivers {
    /// What its driver says of the volume that the pod `uid` calls `name`; none if the pod does not have it, or the driver
    /// does not say. Does not ask the API server.
    ///
    /// # Errors
    /// If the driver does not answer, or with an error.
    pub(in crate::agent) async fn usage(
        &self,
        uid: &PodUid,
        name: &str,
    ) -> Result<Option<Usage>, VolumeError> {
        self.volumes.usage(uid, name).await
    }

    /// How full the file system is that berth has mounted for the pod `uid` as `name`; none if it has not, or the file system
    /// does not answer. What is a device has none that berth knows of.
    pub(in crate::agent) async fn measured(&self, uid: &PodUid, name: &str) -> Option<FsUsage> {
        let shown = self.mounted.shown(uid, name).await?;
        let path = (shown.target.mode == VolumeMode::Filesystem).then_some(shown.path)?;
        let about = path.display().to_string();
        let measured = blocking::with_deadline("statfs", about, STATFS_WITHIN, move || statfs::usage(&path));
        measured.await.ok()?.ok()
    }
}
