//! `metadata`: name, namespace, labels, annotations.

use types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::{Pod, labels, pod};

use crate::FieldError;
use crate::field::{Errors, Path};
use crate::names;

/// All annotations of an object together, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// What is wrong with the metadata of an object of any kind, on its creation. The name of an object may be a DNS
/// subdomain, or has to be a DNS label.
#[must_use]
pub fn validate_metadata(meta: &ObjectMeta, namespaced: bool, name_is_label: bool) -> Vec<FieldError> {
    let mut errors = Errors::default();
    common(&mut errors, meta, namespaced, name_is_label);
    errors.finish()
}

fn common(errors: &mut Errors, meta: &ObjectMeta, namespaced: bool, name_is_label: bool) {
    let path = Path::root("metadata");
    let name = if name_is_label { names::dns_label } else { names::dns_subdomain };
    errors.name(&path.key("name"), meta.name.as_deref().unwrap_or_default(), name);
    if namespaced {
        errors.name(&path.key("namespace"), meta.namespace.as_deref().unwrap_or_default(), names::dns_label);
    }
    label_map(errors, &path.key("labels"), meta.labels.iter().flatten());
    let at = path.key("annotations");
    let mut size = 0;
    for (key, value) in meta.annotations.iter().flatten() {
        size += key.len() + value.len();
        errors.rule(&at, key, names::annotation_key);
    }
    if size > MAX_ANNOTATIONS {
        errors.too_long(&at, MAX_ANNOTATIONS);
    }
    for finalizer in meta.finalizers.iter().flatten() {
        errors.rule(&path.key("finalizers"), finalizer, names::qualified_name);
    }
}

pub(super) fn validate(errors: &mut Errors, pod: &Pod) {
    common(errors, &pod.metadata, true, false);
    let at = Path::root("metadata").key("annotations");
    for (key, value) in pod.metadata.annotations.iter().flatten() {
        let Some(container) = key.strip_prefix(labels::APPARMOR_PREFIX) else { continue };
        let at = at.entry(key);
        if pod::container(pod, container).is_none() {
            errors.invalid(&at, container, "no container has this name");
        }
        if !matches!(value.as_str(), "" | "runtime/default" | "unconfined")
            && !value.starts_with("localhost/")
        {
            errors.invalid(&at, value, "must be runtime/default, unconfined or localhost/<profile>");
        }
    }
}

/// Keys and values of labels, or of a node selector.
pub(super) fn label_map<'a>(
    errors: &mut Errors,
    path: &Path,
    map: impl Iterator<Item = (&'a String, &'a String)>,
) {
    for (key, value) in map {
        errors.rule(path, key, names::qualified_name);
        if let Err(detail) = names::label_value(value) {
            errors.invalid(&path.entry(key), value, detail);
        }
    }
}
