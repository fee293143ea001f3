//! How full volumes are, as their drivers say.

use pluginapi::csi::{Capability, Usage as Numbers};
use types::PodUid;

use crate::error::VolumeError;
use crate::volumes::Volumes;

/// What a driver says of a volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    /// In bytes.
    pub bytes: Option<Numbers>,
    /// In inodes.
    pub inodes: Option<Numbers>,
    /// Whether it is well; none of a driver without the capability to say so (`VOLUME_CONDITION`).
    pub condition: Option<Condition>,
}

/// How a volume is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Nothing is wrong with it.
    Well,
    /// Something is, in the driver's words.
    Abnormal(String),
}

impl Volumes {
    /// What its driver says of the volume that the pod calls `name`. None if the pod does not have it, or the driver does
    /// not say how full volumes are. Neither the API server nor a file system is asked but that of the root directory.
    ///
    /// # Errors
    /// If the driver is not registered, has too many such questions already, or answers with an error.
    pub async fn usage(&self, pod: &PodUid, name: &str) -> Result<Option<Usage>, VolumeError> {
        let Some((target, volume)) = self.find(pod, name).await? else { return Ok(None) };
        let path = self.config.published_path(&target)?;
        let registered = self.config.registered(&volume.driver)?;
        let capabilities = registered.capabilities().await?;
        if !capabilities.has(Capability::VolumeStats) {
            return Ok(None);
        }
        let Some(_place) = self.usage_calls.place(&volume.driver).await else {
            return Err(VolumeError::Busy(volume.driver));
        };
        let said = registered.driver.usage(&volume.handle, &path).await?;
        let condition = capabilities
            .has(Capability::VolumeCondition)
            .then(|| said.abnormal.map_or(Condition::Well, Condition::Abnormal));
        Ok(Some(Usage { bytes: said.bytes, inodes: said.inodes, condition }))
    }
}
