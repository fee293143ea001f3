//! Environment variables of a container (Kubernetes: "Define Environment Variables for a Container").

use std::net::IpAddr;

use cri::v1::KeyValue;
use types::corev1::{Container, EnvVarSource, FileKeySelector};
use types::downward::{DownwardError, metadata_field, resource_field};
use types::{Pod, pod};

use crate::NodeFacts;
use crate::expand::expand;

/// One variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What the environment is made from.
pub struct EnvInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// The pod's IPs, the primary one first; empty while there are none, and for host network.
    pub pod_ips: &'a [IpAddr],
    /// Facts about the node.
    pub facts: &'a NodeFacts,
    /// Reads the file that a `fileKeyRef` is about, from the volume it names. `Ok(None)` when there is no such file.
    /// [`crate::envfile`] looks for the key.
    pub read_file: &'a dyn Fn(&FileKeySelector) -> Result<Option<String>, String>,
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
    /// It refers to an object of the API server.
    #[error("{subject} refers to {kind} {object:?}, which is not available without an API server")]
    NeedsApi {
        /// `variable "A"` or `envFrom`.
        subject: String,
        /// The kind of the object.
        kind: &'static str,
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

/// The environment of a container: `envFrom` first, then `env`, whose values may refer to what comes before them. A
/// name that is set twice has its last value.
///
/// # Errors
/// If a variable that is not optional has no value.
pub fn environment(input: &EnvInput<'_>) -> Result<Vec<Variable>, EnvError> {
    let mut all = Environment::default();
    for source in input.container.env_from.iter().flatten() {
        let reference = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => Some(("ConfigMap", &map.name, map.optional)),
            (None, Some(secret)) => Some(("Secret", &secret.name, secret.optional)),
            (None, None) => None,
        };
        if let Some((kind, object, optional)) = reference
            && optional != Some(true)
        {
            return Err(EnvError::NeedsApi { subject: "envFrom".to_owned(), kind, object: object.clone() });
        }
    }
    for variable in input.container.env.iter().flatten() {
        let text = variable.value.as_deref().unwrap_or_default();
        let value = match &variable.value_from {
            Some(source) if text.is_empty() => match value_from(input, &variable.name, source)? {
                Some(value) => value,
                None => continue,
            },
            _ => expand(text, |name| all.get(name)).0,
        };
        all.set(&variable.name, value);
    }
    Ok(all.0)
}

#[derive(Default)]
struct Environment(Vec<Variable>);

impl Environment {
    fn get(&self, name: &str) -> Option<&str> {
        get(&self.0, name)
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|variable| variable.name == name) {
            Some(variable) => variable.value = value,
            None => self.0.push(Variable { name: name.to_owned(), value }),
        }
    }
}

/// The value of `name` among `variables`.
#[must_use]
pub fn get<'a>(variables: &'a [Variable], name: &str) -> Option<&'a str> {
    variables.iter().find(|variable| variable.name == name).map(|variable| variable.value.as_str())
}

/// As CRI carries them.
#[must_use]
pub fn to_cri(variables: &[Variable]) -> Vec<KeyValue> {
    let pair = |variable: &Variable| KeyValue {
        key: variable.name.clone(),
        value: variable.value.clone().into_bytes(),
    };
    variables.iter().map(pair).collect()
}

/// The value that `source` points to; `None` when it may be missing and is.
fn value_from(input: &EnvInput<'_>, name: &str, source: &EnvVarSource) -> Result<Option<String>, EnvError> {
    let downward = |source| EnvError::Downward { name: name.to_owned(), source };
    let needs_api = |kind, object: &String, optional: Option<bool>| {
        if optional == Some(true) {
            return Ok(None);
        }
        Err(EnvError::NeedsApi { subject: format!("variable {name:?}"), kind, object: object.clone() })
    };
    if let Some(field) = &source.field_ref {
        return pod_field(input, &field.field_path).map(Some).map_err(downward);
    }
    if let Some(selector) = &source.resource_field_ref {
        let value = resource_field(input.pod, Some(input.container), selector, &input.facts.allocatable);
        return value.map(Some).map_err(downward);
    }
    if let Some(selector) = &source.config_map_key_ref {
        return needs_api("ConfigMap", &selector.name, selector.optional);
    }
    if let Some(selector) = &source.secret_key_ref {
        return needs_api("Secret", &selector.name, selector.optional);
    }
    match &source.file_key_ref {
        Some(selector) => from_file(input, name, selector),
        None => Ok(Some(String::new())),
    }
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
    let Some(text) = (input.read_file)(selector).map_err(wrong)? else {
        return if optional { Ok(None) } else { Err(wrong("there is no such file".to_owned())) };
    };
    let value = crate::envfile::value(&text, &selector.key).map_err(|error| wrong(error.to_string()))?;
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
