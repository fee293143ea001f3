//! The image service of the fake runtime.

use cri::v1::{self, image_service_server::ImageService};
use tonic::{Request, Response, Status};

use super::serve::Served;
use super::store::{Image, Subject};

/// The size of an image that was pulled, in bytes.
const PULLED_SIZE: u64 = 10 << 20;

fn about(image: Option<&v1::ImageSpec>) -> Subject {
    Subject { pod: None, container: image.map(|image| image.image.clone()) }
}

#[tonic::async_trait]
impl ImageService for Served {
    async fn list_images(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesResponse>, Status> {
        let wanted = request.into_inner().filter.and_then(|filter| filter.image).unwrap_or_default().image;
        self.serve("ListImages", Subject::default(), |store| {
            let images = store.images.values().filter(|image| wanted.is_empty() || image.name == wanted);
            Ok(v1::ListImagesResponse { images: images.map(Image::message).collect() })
        })
        .await
    }

    async fn image_status(
        &self,
        request: Request<v1::ImageStatusRequest>,
    ) -> Result<Response<v1::ImageStatusResponse>, Status> {
        let image = request.into_inner().image;
        self.serve("ImageStatus", about(image.as_ref()), |store| {
            let image = store.image(&image.unwrap_or_default().image).map(Image::message);
            Ok(v1::ImageStatusResponse { image, ..Default::default() })
        })
        .await
    }

    async fn pull_image(
        &self,
        request: Request<v1::PullImageRequest>,
    ) -> Result<Response<v1::PullImageResponse>, Status> {
        let v1::PullImageRequest { image, sandbox_config, auth } = request.into_inner();
        self.change(|store| store.pull_users.push(auth.unwrap_or_default().username));
        let pod = sandbox_config.and_then(|config| config.metadata).map(|metadata| metadata.name);
        let subject = Subject { pod, ..about(image.as_ref()) };
        self.serve("PullImage", subject, |store| {
            let name = image.unwrap_or_default().image;
            if store.pullable.as_ref().is_some_and(|pullable| !pullable.contains(&name)) {
                let message = format!("failed to pull and unpack image {name:?}: {name}: not found");
                return Err(Status::not_found(message));
            }
            let (size, pinned) =
                store.images.get(&name).map_or((PULLED_SIZE, false), |image| (image.size, image.pinned));
            Ok(v1::PullImageResponse { image_ref: store.add_image(&name, size, pinned) })
        })
        .await
    }

    async fn remove_image(
        &self,
        request: Request<v1::RemoveImageRequest>,
    ) -> Result<Response<v1::RemoveImageResponse>, Status> {
        let image = request.into_inner().image;
        self.serve("RemoveImage", about(image.as_ref()), |store| {
            let wanted = image.unwrap_or_default().image;
            store.images.retain(|name, image| *name != wanted && image.id != wanted);
            Ok(v1::RemoveImageResponse {})
        })
        .await
    }

    async fn image_fs_info(
        &self,
        _request: Request<v1::ImageFsInfoRequest>,
    ) -> Result<Response<v1::ImageFsInfoResponse>, Status> {
        self.serve("ImageFsInfo", Subject::default(), |store| {
            let used = store.images.values().map(|image| image.size).sum();
            let usage = v1::FilesystemUsage {
                timestamp: 1,
                fs_id: Some(v1::FilesystemIdentifier { mountpoint: "/var/lib/fake/snapshots".into() }),
                used_bytes: Some(v1::UInt64Value { value: used }),
                inodes_used: Some(v1::UInt64Value { value: 100 * store.images.len() as u64 }),
            };
            Ok(v1::ImageFsInfoResponse {
                image_filesystems: vec![usage.clone()],
                container_filesystems: vec![usage],
            })
        })
        .await
    }
}
