//! Calls about images, to the image service.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::error::gone_is_done;
use crate::sandbox::non_empty;
use crate::{CriError, Operation, Runtime, convert, v1};

/// An image in the runtime's store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    /// Its id (`sha256:…`).
    pub id: String,
    /// Names with tags.
    pub repo_tags: Vec<String>,
    /// Names with digests.
    pub repo_digests: Vec<String>,
    /// Its size on disk, in bytes.
    pub size: u64,
    /// The numeric user it runs as, if it names one.
    pub uid: Option<i64>,
    /// The user it runs as by name; empty if it names none, or a number.
    pub username: String,
    /// Whether it must not be removed.
    pub pinned: bool,
    /// The handler it was pulled for; empty for the default one (KEP-4216).
    pub runtime_handler: String,
}

/// How full a filesystem is with images or containers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilesystemUsage {
    /// When it was measured, if the runtime tells.
    pub measured_at: Option<Timestamp>,
    /// A directory on the filesystem.
    pub mountpoint: PathBuf,
    /// Bytes that images (or containers) use. The filesystem may hold more than these.
    pub used_bytes: u64,
    /// Inodes that they use, if the runtime tells.
    pub inodes_used: Option<u64>,
}

/// Where the runtime keeps images and the writable layers of containers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageFsInfo {
    /// Filesystems of read-only layers.
    pub images: Vec<FilesystemUsage>,
    /// Filesystems of writable layers; the same as `images` unless they are kept apart (KEP-4191), and empty if the
    /// runtime does not tell.
    pub containers: Vec<FilesystemUsage>,
}

impl Runtime {
    /// All images.
    pub async fn list_images(&self) -> Result<Vec<Image>, CriError> {
        let request = v1::ListImagesRequest { filter: None };
        let mut client = self.image_client();
        let deadline = Some(self.request_timeout());
        let response =
            self.call_images(Operation::ListImages, deadline, request, |r| async move {
                client.list_images(r).await
            })
            .await?;
        Ok(response.images.into_iter().map(convert::image).collect())
    }

    /// The image that `image` names, if it is there.
    pub async fn image_status(&self, image: v1::ImageSpec) -> Result<Option<Image>, CriError> {
        let operation = Operation::ImageStatus;
        let request = v1::ImageStatusRequest { image: Some(image), verbose: false };
        let mut client = self.image_client();
        let deadline = Some(self.request_timeout());
        let response = self
            .call_images(operation, deadline, request, |r| async move { client.image_status(r).await })
            .await?;
        match response.image {
            Some(image) if image.id.is_empty() => Err(CriError::incomplete(operation.name(), "image id")),
            image => Ok(image.map(convert::image)),
        }
    }

    /// Pulls an image and returns the reference by which containers name it. A pull has no deadline, since nobody
    /// knows how large the image is and how slow the network; dropping the future cancels it.
    pub async fn pull_image(
        &self,
        image: v1::ImageSpec,
        auth: Option<v1::AuthConfig>,
        sandbox_config: Option<v1::PodSandboxConfig>,
    ) -> Result<String, CriError> {
        let operation = Operation::PullImage;
        let request = v1::PullImageRequest { image: Some(image), auth, sandbox_config };
        let mut client = self.image_client();
        let response =
            self.call_images(operation, None, request, |r| async move { client.pull_image(r).await }).await?;
        non_empty(operation, response.image_ref, "image reference")
    }

    /// Removes an image. Removing it again is no error.
    pub async fn remove_image(&self, image: v1::ImageSpec) -> Result<(), CriError> {
        let request = v1::RemoveImageRequest { image: Some(image) };
        let mut client = self.image_client();
        let deadline = Some(self.request_timeout());
        let result = self
            .call_images(Operation::RemoveImage, deadline, request, |r| async move {
                client.remove_image(r).await
            })
            .await
            .map(drop);
        gone_is_done(result)
    }

    /// Where images and writable layers are, and how much room they take.
    pub async fn image_fs_info(&self) -> Result<ImageFsInfo, CriError> {
        let request = v1::ImageFsInfoRequest {};
        let mut client = self.image_client();
        let deadline = Some(self.request_timeout());
        let response = self
            .call_images(Operation::ImageFsInfo, deadline, request, |r| async move {
                client.image_fs_info(r).await
            })
            .await?;
        Ok(convert::image_fs_info(response))
    }
}
