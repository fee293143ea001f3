//! How full the disk with the images is.

use std::time::Duration;

use cri::{CriError, Runtime};
use linux::PathError;
use task::blocking::{Abandoned, NODE, with_deadline};

use super::Disk;

/// How long the file system may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why it is not known how full the disk is.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The runtime does not tell where images are.
    #[error("the runtime does not tell where its images are")]
    Unknown(#[source] Option<CriError>),
    /// The file system does not answer.
    #[error("the file system with the images does not answer")]
    Hangs(#[source] Abandoned),
    /// The directory with the images cannot be reached.
    #[error("the file system with the images cannot be measured")]
    Measure(#[source] PathError),
}

/// How full the disk is on which `runtime` keeps its images.
///
/// # Errors
/// If the runtime does not tell where that is, or the file system does not tell how full it is.
pub async fn image_disk(runtime: &Runtime) -> Result<Disk, DiskError> {
    let info = runtime.image_fs_info().await.map_err(|error| DiskError::Unknown(Some(error)))?;
    let image_fs = info.images.into_iter().next().ok_or(DiskError::Unknown(None))?;
    let usage =
        with_deadline("image-disk", NODE, PATIENCE, move || linux::statfs::usage(&image_fs.mountpoint))
            .await
            .map_err(DiskError::Hangs)?
            .map_err(DiskError::Measure)?;
    Ok(Disk { capacity: usage.capacity_bytes, available: usage.available_bytes })
}
