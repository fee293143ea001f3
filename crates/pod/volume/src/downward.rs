//! The files of downwardAPI volumes, and of projected volumes as far as they show the same.

use types::corev1::{DownwardAPIVolumeFile, ProjectedVolumeSource, VolumeProjection};
use types::resources::Amounts;
use types::{Pod, downward};

use crate::Problem;
use crate::atomic::{Payload, ProjectedFile};

const DEFAULT_MODE: i32 = 0o644;

/// Adds the files of `items` to `payload`.
pub(crate) fn add(
    payload: &mut Payload,
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: Option<i32>,
    allocatable: &Amounts,
) -> Result<(), Problem> {
    for item in items {
        let mode = item.mode.or(default_mode).unwrap_or(DEFAULT_MODE);
        let text = if let Some(field) = &item.field_ref {
            downward::metadata_field(pod, &field.field_path)
        } else if let Some(selector) = &item.resource_field_ref {
            downward::resource_field(pod, None, selector, allocatable)
        } else {
            continue;
        };
        let text = text.map_err(|source| Problem::Downward { file: item.path.clone(), source })?;
        let mode = u32::try_from(mode).unwrap_or_default() & 0o777;
        payload.insert(&item.path, ProjectedFile { data: text.into_bytes(), mode })?;
    }
    Ok(())
}

/// The files of a projected volume.
pub(crate) fn projected(
    pod: &Pod,
    source: &ProjectedVolumeSource,
    allocatable: &Amounts,
) -> Result<Payload, Problem> {
    let mut payload = Payload::default();
    for projection in source.sources.iter().flatten() {
        if let Some(source) = needs_api(projection) {
            return Err(Problem::Unsupported {
                what: format!("the source {source}"),
                needs: "an API server, which berth runs without: take the source out, or use a hostPath volume",
            });
        }
        let items = projection.downward_api.as_ref().and_then(|downward| downward.items.as_deref());
        add(&mut payload, pod, items.unwrap_or_default(), source.default_mode, allocatable)?;
    }
    Ok(payload)
}

/// The field of a source that only an API server can fill.
fn needs_api(projection: &VolumeProjection) -> Option<&'static str> {
    let sources = [
        (projection.service_account_token.is_some(), "serviceAccountToken"),
        (projection.config_map.is_some(), "configMap"),
        (projection.secret.is_some(), "secret"),
        (projection.cluster_trust_bundle.is_some(), "clusterTrustBundle"),
        (projection.pod_certificate.is_some(), "podCertificate"),
    ];
    sources.into_iter().find_map(|(present, name)| present.then_some(name))
}
