//! `env`, `envFrom`, and the selectors of the downward API.

use types::Quantity;
use types::corev1::{EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector};

use crate::field::{Errors, Path};
use crate::names;

/// Where a field of the pod is given to its containers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    Env,
    File,
}

pub(super) fn variables(errors: &mut Errors, path: &Path, env: &[EnvVar]) {
    for (index, variable) in env.iter().enumerate() {
        let path = path.index(index);
        errors.name(&path.key("name"), &variable.name, names::env_name);
        if let Some(from) = &variable.value_from {
            let given = variable.value.as_deref().is_some_and(|value| !value.is_empty());
            source(errors, &path.key("valueFrom"), from, given);
        }
    }
}

fn source(errors: &mut Errors, path: &Path, from: &EnvVarSource, has_value: bool) {
    let mut kinds = 0;
    if let Some(field) = &from.field_ref {
        kinds += 1;
        field_ref(errors, &path.key("fieldRef"), field, Into::Env);
    }
    if let Some(resource) = &from.resource_field_ref {
        kinds += 1;
        resource_ref(errors, &path.key("resourceFieldRef"), resource, Into::Env);
    }
    if let Some(selector) = &from.config_map_key_ref {
        kinds += 1;
        let path = path.key("configMapKeyRef");
        errors.name(&path.key("name"), &selector.name, names::dns_subdomain);
        errors.name(&path.key("key"), &selector.key, names::config_key);
    }
    if let Some(selector) = &from.secret_key_ref {
        kinds += 1;
        let path = path.key("secretKeyRef");
        errors.name(&path.key("name"), &selector.name, names::dns_subdomain);
        errors.name(&path.key("key"), &selector.key, names::config_key);
    }
    if let Some(file) = &from.file_key_ref {
        kinds += 1;
        let path = path.key("fileKeyRef");
        errors.name(&path.key("key"), &file.key, names::env_name);
        errors.name(&path.key("volumeName"), &file.volume_name, names::dns_label);
        errors.name(&path.key("path"), &file.path, names::projected_path);
    }
    match kinds {
        0 => errors.invalid(
            path,
            "",
            "must specify one of fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef or fileKeyRef",
        ),
        _ if has_value => errors.invalid(path, "", "may not be specified when value is not empty"),
        1 => {}
        _ => errors.invalid(path, "", "may not have more than one source"),
    }
}

pub(super) fn from(errors: &mut Errors, path: &Path, sources: &[EnvFromSource]) {
    for (index, source) in sources.iter().enumerate() {
        let path = path.index(index);
        if let Some(prefix) = &source.prefix {
            errors.rule(&path.key("prefix"), prefix, names::env_name);
        }
        if let Some(config_map) = &source.config_map_ref {
            errors.name(&path.key("configMapRef").key("name"), &config_map.name, names::dns_subdomain);
        }
        if let Some(secret) = &source.secret_ref {
            errors.name(&path.key("secretRef").key("name"), &secret.name, names::dns_subdomain);
        }
        match (&source.config_map_ref, &source.secret_ref) {
            (None, None) => errors.invalid(&path, "", "must specify one of configMapRef or secretRef"),
            (Some(_), Some(_)) => errors.invalid(&path, "", "may not have more than one source"),
            _ => {}
        }
    }
}

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

pub(super) fn field_ref(errors: &mut Errors, path: &Path, selector: &ObjectFieldSelector, into: Into) {
    errors.one_of(&path.key("apiVersion"), selector.api_version.as_deref(), &["v1"]);
    let path = path.key("fieldPath");
    let field = selector.field_path.as_str();
    if let Some((map, key)) = subscript(field) {
        let (known, rule): (bool, fn(&str) -> names::Rule) = match map {
            "metadata.annotations" => (true, names::annotation_key),
            "metadata.labels" => (true, names::qualified_name),
            _ => (false, names::qualified_name),
        };
        if known {
            errors.rule(&path, key, rule);
        } else {
            errors.invalid(&path, field, "only metadata.annotations and metadata.labels have keys");
        }
        return;
    }
    match into {
        Into::Env => errors.one_of(&path, Some(field), &ENV_FIELDS),
        Into::File => errors.one_of(&path, Some(field), &FILE_FIELDS),
    }
}

/// `map['key']` as its two parts.
fn subscript(field: &str) -> Option<(&str, &str)> {
    field.strip_suffix("']")?.split_once("['")
}

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const CPU_DIVISORS: [&str; 2] = ["1", "1m"];
const BYTE_DIVISORS: [&str; 13] =
    ["1", "1E", "1Ei", "1G", "1Gi", "1Ki", "1M", "1Mi", "1P", "1Pi", "1T", "1Ti", "1k"];

pub(super) fn resource_ref(errors: &mut Errors, path: &Path, selector: &ResourceFieldSelector, into: Into) {
    if into == Into::File && selector.container_name.as_deref().unwrap_or_default().is_empty() {
        errors.required(&path.key("containerName"), "");
    }
    let resource = selector.resource.as_str();
    let hugepages =
        ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if !hugepages {
        errors.one_of(&path.key("resource"), Some(resource), &RESOURCES);
    }
    let Some(divisor) = &selector.divisor else { return };
    let path = path.key("divisor");
    match Quantity::of(divisor) {
        Err(error) => errors.invalid(&path, &divisor.0, error.to_string()),
        Ok(parsed) if parsed.is_zero() => {}
        Ok(parsed) => {
            let allowed: &[&str] = if resource.ends_with(".cpu") { &CPU_DIVISORS } else { &BYTE_DIVISORS };
            errors.optional_one_of(&path, Some(&parsed.to_string()), allowed);
        }
    }
}
