//! Environment variables of a container (Kubernetes: "Define Environment Variables for a Container").

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cri::v1::KeyValue;
use types::corev1::{ConfigMap, Container, EnvFromSource, EnvVarSource, FileKeySelector, Secret};
use types::downward::{DownwardError, metadata_field, resource_field};
use types::expand::expand;
use types::objects::{Found, ObjectError, Objects};
use types::{Pod, pod};

use crate::NodeFacts;
use crate::services::{ServiceLink, service_variables};
use crate::variable::Variable;

/// What the environment is made from.
pub struct EnvInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// The pod's IPs, the primary one first; empty while there are none, and for host network.
    pub pod_ips: &'a [IpAddr],
    /// The services that the container is told of.
    pub services: &'a [ServiceLink],
    /// What was found of the ConfigMaps and Secrets that it refers to.
    pub objects: &'a Objects,
    /// Facts about the node.
    pub facts: &'a NodeFacts,
    /// The files that its `fileKeyRef`s are about ([`files_of`]). [`crate::envfile`] looks for the key.
    pub files: &'a EnvFiles,
}

/// Files of variables, by the volume and the path in it, with what was read: nothing when there is no such file, or why it
/// could not be read.
pub type EnvFiles = BTreeMap<(String, String), Result<Option<String>, String>>;

/// The files that variables of `container` come from: the volume's name, and the path in it.
#[must_use]
pub fn files_of(container: &Container) -> BTreeSet<(String, String)> {
    let sources = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
    sources.filter_map(|source| source.file_key_ref.as_ref()).map(place_of).collect()
}

fn place_of(selector: &FileKeySelector) -> (String, String) {
    (selector.volume_name.clone(), selector.path.clone())
}

/// Why a variable has no value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EnvError {
    /// Its field of the downward API has no value.
    #[error("variable {name:?} refers to a field that has no value")]
    Downward {
        /// The variable.
        name: String,
        /// Why.
        #[source]
        source: DownwardError,
    },
    /// An object that it comes from cannot be had.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The object that it comes from lacks the key.
    #[error("couldn't find key {key} in {kind} {namespace}/{object}")]
    Key {
        /// The key.
        key: String,
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The pod's namespace.
        namespace: String,
        /// The object's name.
        object: String,
    },
    /// The file it is in could not be read.
    #[error("variable {name:?} cannot be read from file {path:?} in volume {volume:?}: {problem}")]
    File {
        /// The variable.
        name: String,
        /// The volume.
        volume: String,
        /// The file in the volume.
        path: String,
        /// Why.
        problem: String,
    },
}

/// The environment of a container: `envFrom` first, then `env`, whose values may refer to what comes before them and to
/// the variables of services, which come last. A name that is set twice has its last value; what is set in any other way
/// goes before what a service sets.
///
/// # Errors
/// If a variable that is not optional has no value.
pub fn environment(input: &EnvInput<'_>) -> Result<Vec<Variable>, EnvError> {
    let services = service_variables(input.services);
    let mut all = Environment::default();
    for source in input.container.env_from.iter().flatten() {
        add_all(&mut all, input.objects, source)?;
    }
    for variable in input.container.env.iter().flatten() {
        let text = variable.value.as_deref().unwrap_or_default();
        let value = match &variable.value_from {
            Some(source) if text.is_empty() => match value_from(input, &variable.name, source)? {
                Some(value) => value,
                None => continue,
            },
            _ => expand(text, |name| get(&all.0, name).or_else(|| get(&services, name))).0.into_bytes(),
        };
        all.set(&variable.name, value);
    }
    for Variable { name, value } in services {
        if !all.has(&name) {
            all.set(&name, value);
        }
    }
    Ok(all.0)
}

#[derive(Default)]
struct Environment(Vec<Variable>);

impl Environment {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|variable| variable.name == name)
    }

    fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.0.iter_mut().find(|variable| variable.name == name) {
            Some(variable) => variable.value = value,
            None => self.0.push(Variable { name: name.to_owned(), value }),
        }
    }
}

/// The value of `name` among `variables`, if it is text.
#[must_use]
pub fn get<'a>(variables: &'a [Variable], name: &str) -> Option<&'a str> {
    let variable = variables.iter().find(|variable| variable.name == name)?;
    std::str::from_utf8(&variable.value).ok()
}

/// As CRI carries them.
#[must_use]
pub fn to_cri(variables: &[Variable]) -> Vec<KeyValue> {
    let pair = |variable: &Variable| KeyValue { key: variable.name.clone(), value: variable.value.clone() };
    variables.iter().map(pair).collect()
}

/// Adds all keys of the object that `source` names.
fn add_all(all: &mut Environment, objects: &Objects, source: &EnvFromSource) -> Result<(), EnvError> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    if let Some(reference) = &source.config_map_ref {
        let map = unless_optional(objects.config_map(&reference.name), reference.optional)?;
        for (key, value) in map.and_then(|map| map.data.as_ref()).into_iter().flatten() {
            all.set(&format!("{prefix}{key}"), value.clone().into_bytes());
        }
    } else if let Some(reference) = &source.secret_ref {
        let secret = unless_optional(objects.secret(&reference.name), reference.optional)?;
        for (key, value) in secret.and_then(|secret| secret.data.as_ref()).into_iter().flatten() {
            all.set(&format!("{prefix}{key}"), value.0.clone());
        }
    }
    Ok(())
}

/// What was found; nothing if there is nothing and that is all right.
fn unless_optional<T>(found: Found<T>, optional: Option<bool>) -> Result<Option<T>, ObjectError> {
    match found {
        Err(error) if error.is_not_found() && optional == Some(true) => Ok(None),
        found => found.map(Some),
    }
}

/// The value that `source` points to; `None` when it may be missing and is.
fn value_from(input: &EnvInput<'_>, name: &str, source: &EnvVarSource) -> Result<Option<Vec<u8>>, EnvError> {
    let downward = |source| EnvError::Downward { name: name.to_owned(), source };
    if let Some(field) = &source.field_ref {
        return pod_field(input, &field.field_path).map(|text| Some(text.into_bytes())).map_err(downward);
    }
    if let Some(selector) = &source.resource_field_ref {
        let value = resource_field(input.pod, Some(input.container), selector, &input.facts.allocatable);
        return value.map(|text| Some(text.into_bytes())).map_err(downward);
    }
    if let Some(selector) = &source.config_map_key_ref {
        let map = unless_optional(input.objects.config_map(&selector.name), selector.optional)?;
        let of_key = |map: &ConfigMap| Some(map.data.as_ref()?.get(&selector.key)?.clone().into_bytes());
        let no_key = || missing_key(input.pod, "ConfigMap", &selector.name, &selector.key);
        return unless_missing(map.and_then(of_key), selector.optional, no_key);
    }
    if let Some(selector) = &source.secret_key_ref {
        let secret = unless_optional(input.objects.secret(&selector.name), selector.optional)?;
        let of_key = |secret: &Secret| Some(secret.data.as_ref()?.get(&selector.key)?.0.clone());
        let no_key = || missing_key(input.pod, "Secret", &selector.name, &selector.key);
        return unless_missing(secret.and_then(of_key), selector.optional, no_key);
    }
    match &source.file_key_ref {
        Some(selector) => Ok(from_file(input, name, selector)?.map(String::into_bytes)),
        None => Ok(Some(Vec::new())),
    }
}

fn unless_missing(
    value: Option<Vec<u8>>,
    optional: Option<bool>,
    error: impl FnOnce() -> EnvError,
) -> Result<Option<Vec<u8>>, EnvError> {
    if value.is_none() && optional != Some(true) { Err(error()) } else { Ok(value) }
}

fn missing_key(pod: &Pod, kind: &'static str, object: &str, key: &str) -> EnvError {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    EnvError::Key { key: key.to_owned(), kind, namespace, object: object.to_owned() }
}

fn from_file(
    input: &EnvInput<'_>,
    name: &str,
    selector: &FileKeySelector,
) -> Result<Option<String>, EnvError> {
    let wrong = |problem| EnvError::File {
        name: name.to_owned(),
        volume: selector.volume_name.clone(),
        path: selector.path.clone(),
        problem,
    };
    let optional = selector.optional == Some(true);
    let text = match input.files.get(&place_of(selector)) {
        Some(Err(problem)) => return Err(wrong(problem.clone())),
        Some(Ok(text)) => text.as_deref(),
        None => None,
    };
    let Some(text) = text else {
        return if optional { Ok(None) } else { Err(wrong("there is no such file".to_owned())) };
    };
    let value = crate::envfile::value(text, &selector.key).map_err(|error| wrong(error.to_string()))?;
    if value.is_none() && !optional {
        return Err(wrong(format!("it does not set {:?}", selector.key)));
    }
    Ok(value)
}

/// The fields that only environment variables may refer to, and those of `metadata` but for the whole maps.
fn pod_field(input: &EnvInput<'_>, path: &str) -> Result<String, DownwardError> {
    let spec = pod::spec(input.pod);
    // A pod on the host's network has the host's addresses.
    let host = &input.facts.host_ips;
    let on_host = pod::host_network(input.pod) && input.pod_ips.is_empty();
    let pod_ips = if on_host { host } else { input.pod_ips };
    match path {
        "spec.nodeName" => Ok(input.facts.node_name.clone()),
        "spec.serviceAccountName" => Ok(spec.service_account_name.clone().unwrap_or_default()),
        "status.hostIP" => Ok(first(host)),
        "status.hostIPs" => Ok(joined(host)),
        "status.podIP" => Ok(first(pod_ips)),
        "status.podIPs" => Ok(joined(pod_ips)),
        "metadata.labels" | "metadata.annotations" => Err(DownwardError::Field(path.to_owned())),
        _ => metadata_field(input.pod, path),
    }
}

fn first(ips: &[IpAddr]) -> String {
    ips.first().map(ToString::to_string).unwrap_or_default()
}

fn joined(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
