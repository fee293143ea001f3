//! What a pod gets of its ServiceAccount (Kubernetes: "ServiceAccount admission controller").

use serde_json::{Value, json};

use super::{Outcome, Scene};
use crate::object;

/// Where a token is mounted, and what says that a container has one.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A token's life in seconds, as the API server asks for it.
const TOKEN_SECONDS: u32 = 3607;

pub(super) fn admit(pod: &mut Value, scene: &Scene<'_>) -> Outcome {
    if pod["metadata"]["annotations"].get(types::labels::CONFIG_MIRROR).is_some() {
        return mirror(pod, scene);
    }
    let spec = object::map_mut(pod, "spec");
    let deprecated = spec.get("serviceAccount").cloned().unwrap_or_default();
    object::default(spec, "serviceAccountName", deprecated);
    object::default(spec, "serviceAccountName", "default");
    spec.insert("serviceAccount".to_owned(), spec["serviceAccountName"].clone());
    let name = object::text(pod, "/spec/serviceAccountName").to_owned();
    let namespace = object::namespace(pod);
    let Some(account) = scene.objects.get("serviceaccounts", namespace, &name) else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(scene.forbidden(pod, &why));
    };
    let wants = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_bool);
    let automount = wants(pod, "/spec/automountServiceAccountToken")
        .or_else(|| wants(account, "/automountServiceAccountToken"))
        .unwrap_or(true);
    if automount {
        mount_token(pod);
    }
    let spec = object::map_mut(pod, "spec");
    if spec.get("imagePullSecrets").is_none_or(|secrets| secrets.as_array().is_none_or(Vec::is_empty))
        && let Some(secrets) = account.get("imagePullSecrets")
    {
        spec.insert("imagePullSecrets".to_owned(), secrets.clone());
    }
    Ok(())
}

/// A mirror pod shows a pod that runs without the API server: it may not refer to anything of it.
fn mirror(pod: &Value, scene: &Scene<'_>) -> Outcome {
    if object::text(pod, "/spec/serviceAccountName").is_empty() {
        Ok(())
    } else {
        Err(scene.forbidden(pod, "a mirror pod may not reference service accounts"))
    }
}

fn mount_token(pod: &mut Value) {
    let spec = object::map_mut(pod, "spec");
    let has_mount = |container: &Value| {
        object::list(container, "/volumeMounts").iter().any(|mount| mount["mountPath"] == MOUNT_PATH)
    };
    let lists = ["initContainers", "containers"];
    let lacking = lists.iter().any(|list| {
        spec.get(*list).and_then(Value::as_array).into_iter().flatten().any(|one| !has_mount(one))
    });
    if !lacking {
        return;
    }
    let volume = token_volume(spec);
    for list in lists {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if !has_mount(container) {
                let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH});
                push(object::as_map(container), "volumeMounts", mount);
            }
        }
    }
}

/// The name of the volume with the token: one that is there already, or a new one.
fn token_volume(spec: &mut serde_json::Map<String, Value>) -> String {
    let volumes = spec.get("volumes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let has = volumes
        .iter()
        .map(|volume| object::text(volume, "/name"))
        .find(|name| name.starts_with("kube-api-access-"));
    if let Some(name) = has {
        return name.to_owned();
    }
    let name = format!("kube-api-access-{}", crate::random::suffix());
    let field = json!({"apiVersion": "v1", "fieldPath": "metadata.namespace"});
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]);
    push(spec, "volumes", json!({"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}));
    name
}

fn push(map: &mut serde_json::Map<String, Value>, key: &str, item: Value) {
    let list = map.entry(key).or_insert(Value::Null);
    if let Value::Array(items) = list {
        items.push(item);
    } else {
        *list = json!([item]);
    }
}
