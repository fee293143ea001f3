//! How full volumes of drivers are.

use csi::{Usage, VolumeError};
use types::PodUid;

use super::ClusterDrivers;

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
}
