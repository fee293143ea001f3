//! Volumes that are not made by berth but by drivers: those of claims, and inline volumes of CSI drivers.

use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;
use types::corev1::Volume;
use types::objects::Objects;
use types::{Pod, PodUid};

use crate::Mounted;

/// Why a driver did not do it.
pub type DriverError = Box<dyn Error + Send + Sync>;

/// Whoever has drivers make volumes and take them away. Every call may be dropped at any time, and made again.
#[async_trait]
pub trait Drivers: Debug + Send + Sync + 'static {
    /// Shows `volume` to `pod`. One that is there stays as it is, whether or not its driver is.
    ///
    /// # Errors
    /// If it cannot be done now.
    async fn prepare(&self, pod: &Pod, volume: &Volume, objects: &Objects) -> Result<Mounted, DriverError>;

    /// Has the driver of `volume`, which is there, renew what it shows, if it is one that wants that.
    ///
    /// # Errors
    /// If it cannot be done now. The volume shows what it showed before.
    async fn refresh(&self, pod: &Pod, volume: &Volume, objects: &Objects) -> Result<(), DriverError>;

    /// The groups that all processes of the pod `uid` are in because of volumes that it has, by what is on disk.
    async fn groups(&self, uid: &PodUid) -> Vec<i64> {
        let _ = uid;
        Vec::new()
    }

    /// Takes away all volumes of drivers that the pod `uid` has or may have, by what is on disk. Nothing of the pod uses
    /// them any more.
    ///
    /// # Errors
    /// If some could not be taken away. The others were, and trying again continues.
    async fn take_down(&self, uid: &PodUid) -> Result<(), DriverError>;
}
