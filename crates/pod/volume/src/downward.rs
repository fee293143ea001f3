//! The files of downwardAPI volumes, and of projected volumes as far as they show the same.

use types::corev1::DownwardAPIVolumeFile;
use types::resources::Amounts;
use types::{Pod, downward};

use crate::atomic::{Payload, ProjectedFile};
use crate::error::Problem;

/// Adds the files of `items` to `payload`.
pub(crate) fn add(
    payload: &mut Payload,
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: Option<i32>,
    allocatable: &Amounts,
) -> Result<(), Problem> {
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            downward::metadata_field(pod, &field.field_path)
        } else if let Some(selector) = &item.resource_field_ref {
            downward::resource_field(pod, None, selector, allocatable)
        } else {
            continue;
        };
        let text = text.map_err(|source| Problem::Downward { file: item.path.clone(), source })?;
        payload.insert(&item.path, ProjectedFile::new(text.as_bytes(), item.mode.or(default_mode)))?;
    }
    Ok(())
}
