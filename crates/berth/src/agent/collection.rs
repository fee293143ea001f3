//! Which images the collector must leave alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use cri::Runtime;
use image::gc::{Disk, DiskError, Needs, image_disk};
use tokio::sync::watch;
use types::pod;
use worker::Table;

/// The images that containers and image volumes use.
pub(super) struct ImagesInUse {
    pub(super) runtime: Runtime,
    pub(super) table: watch::Receiver<Arc<Table>>,
}

impl Needs for ImagesInUse {
    async fn images_in_use(&self) -> Option<BTreeSet<String>> {
        // From the list: one pod that cannot be looked at must not keep all images.
        let containers = self.runtime.list_containers(None).await.ok()?;
        let mut used = BTreeSet::new();
        for (_, container) in containers {
            let names = [container.image, container.image_ref, container.image_id];
            used.extend(names.into_iter().filter(|name| !name.is_empty()));
        }
        let table = self.table.borrow().clone();
        for pod in table.pods.values().filter_map(|entry| entry.target.pod()) {
            let volumes = pod::spec(pod).volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
            used.extend(volumes.filter_map(|image| image.reference.clone()));
        }
        table.complete.then_some(used)
    }

    async fn disk(&self) -> Result<Disk, DiskError> {
        image_disk(&self.runtime).await
    }
}
