//! What there is to know about the node for work on its CSI volumes.

use std::path::PathBuf;
use std::time::Duration;

use pluginapi::csi::{Capabilities, Driver};
use task::events::Recorder;
use volume::claim::VolumeMode;

use crate::disk::DiskError;
use crate::drivers::{Drivers, Registered};
use crate::error::VolumeError;
use crate::layout::{Layout, VolumeId, published_in};
use crate::plan::Target;

/// What [`Volumes`](crate::Volumes) has to know about the node.
#[derive(Clone, Debug)]
pub struct VolumesConfig {
    /// Where everything is.
    pub layout: Layout,
    /// The node's name.
    pub node: String,
    /// The drivers.
    pub drivers: Drivers,
    /// Who is told of volumes that take long.
    pub recorder: Recorder,
    /// How long looking at a volume's directories, or giving its files to a group, may take before it is waited for no
    /// longer. What a driver is asked has deadlines of its own.
    pub deadline: Duration,
}

impl VolumesConfig {
    /// Where the volume is for the pod.
    ///
    /// # Errors
    /// If the pod's UID or the volume's name is none.
    pub(crate) fn published_path(&self, target: &Target) -> Result<PathBuf, VolumeError> {
        let layout = &self.layout;
        // Both are below the directory of something that is called like the pod.
        let dir = layout.publish_dir(&target.pod, &target.spec_name).map_err(DiskError::from)?;
        Ok(match target.mode {
            VolumeMode::Filesystem => published_in(&dir),
            VolumeMode::Block => layout.device_path(&target.spec_name, &target.pod),
        })
    }

    /// The driver of this name.
    ///
    /// # Errors
    /// If it is not registered.
    pub(crate) fn registered(&self, driver: &str) -> Result<Registered, VolumeError> {
        self.drivers.get(driver).ok_or_else(|| VolumeError::NotRegistered(driver.to_owned()))
    }

    /// The driver of the volume, and what it can.
    ///
    /// # Errors
    /// If it is not registered, or does not say.
    pub(crate) async fn driver(&self, volume: &VolumeId) -> Result<(Driver, Capabilities), VolumeError> {
        let registered = self.registered(&volume.driver)?;
        let capabilities = registered.capabilities().await?.clone();
        Ok((registered.driver, capabilities))
    }
}
