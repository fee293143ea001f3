//! What there is: groups, versions, resources (Kubernetes: "Kubernetes API Aggregation … Discovery API").

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::resource::{self, Keeping, RESOURCES, Resource, group_version};

/// The Kubernetes version whose API this is.
const MINOR: &str = "36";

pub(super) fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0+berth"), "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
}

/// The machine's architecture by Go's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `/`.
pub(super) fn paths() -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, version) in resource::groups().into_iter().filter(|(group, _)| !group.is_empty()) {
        let path = format!("/apis/{group}");
        if !paths.contains(&path) {
            paths.push(path);
        }
        paths.push(format!("/apis/{group}/{version}"));
    }
    for path in ["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"] {
        paths.push(path.to_owned());
    }
    json!({"paths": paths})
}

/// `/api`.
pub(super) fn core_versions(address: &str) -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]})
}

/// `/apis`.
pub(super) fn groups() -> Value {
    let mut names: Vec<&str> = Vec::new();
    for (group, _) in resource::groups().into_iter().filter(|(group, _)| !group.is_empty()) {
        if !names.contains(&group) {
            names.push(group);
        }
    }
    let groups: Vec<Value> = names.into_iter().map(described).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// A group with its versions, the preferred one first.
fn described(name: &str) -> Value {
    let versions: Vec<Value> = resource::groups()
        .into_iter()
        .filter(|(group, _)| *group == name)
        .map(|(group, version)| json!({"groupVersion": group_version(group, version), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

/// `/apis/GROUP`.
pub(super) fn group(name: &str) -> Result<Value, ApiError> {
    if name.is_empty() || !resource::groups().iter().any(|(group, _)| *group == name) {
        return Err(ApiError::no_such_path());
    }
    let mut group = described(name);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Ok(group)
}

/// `/api/v1`, `/apis/GROUP/VERSION`.
pub(super) fn resources(group: &str, version: &str) -> Result<Value, ApiError> {
    let list: Vec<Value> = RESOURCES
        .iter()
        .filter(|resource| resource.group == group && resource.version == version)
        .flat_map(rows)
        .collect();
    if list.is_empty() {
        return Err(ApiError::no_such_path());
    }
    Ok(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version), "resources": list}),
    )
}

fn rows(resource: &Resource) -> Vec<Value> {
    let verbs: &[&str] = match resource.keeping {
        Keeping::Stored => {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
        Keeping::Asked => &["create"],
        Keeping::Measured => &["get", "list"],
    };
    let mut whole = json!({"name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": verbs});
    if !resource.short_names.is_empty() {
        whole["shortNames"] = json!(resource.short_names);
    }
    if resource.in_all {
        whole["categories"] = json!(["all"]);
    }
    let parts = resource.subresources.iter().map(|subresource| {
        let (kind, verbs): (&str, &[&str]) = match *subresource {
            "binding" => ("Binding", &["create"]),
            "eviction" => ("Eviction", &["create"]),
            "token" => ("TokenRequest", &["create"]),
            "log" => (resource.kind, &["get"]),
            "exec" => ("PodExecOptions", &["create", "get"]),
            "attach" => ("PodAttachOptions", &["create", "get"]),
            "portforward" => ("PodPortForwardOptions", &["create", "get"]),
            "proxy" => ("PodProxyOptions", &["create", "delete", "get", "patch", "update"]),
            "finalize" => (resource.kind, &["update"]),
            _ => (resource.kind, &["get", "patch", "update"]),
        };
        let mut row = json!({"name": format!("{}/{subresource}", resource.plural), "singularName": "",
            "namespaced": resource.namespaced, "kind": kind, "verbs": verbs});
        let (group, version) = match *subresource {
            "eviction" => ("policy", "v1"),
            "token" => ("authentication.k8s.io", "v1"),
            _ => ("", ""),
        };
        if !version.is_empty() {
            row["group"] = group.into();
            row["version"] = version.into();
        }
        row
    });
    std::iter::once(whole).chain(parts).collect()
}
