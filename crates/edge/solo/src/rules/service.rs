//! Services: their defaults and their addresses.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use schema::{ErrorKind, FieldError};
use serde_json::{Value, json};

use super::{Outcome, Scene, wrong};
use crate::error::ApiError;
use crate::object;
use crate::store::Snapshot;

/// Services have addresses of 10.96.0.0/16, as with the usual installers.
const RANGE: [u8; 2] = [10, 96];
/// The address of the service `kubernetes`, the first of the range.
pub(crate) const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Addresses below this one in the range are left to those who choose one themselves.
const FIRST_GIVEN: u16 = 10;

pub(super) fn create(service: &mut Value, scene: &Scene<'_>) -> Outcome {
    defaults(service);
    let kind = object::text(service, "/spec/type").to_owned();
    let mut errors = Vec::new();
    if object::list(service, "/spec/ports").is_empty()
        && kind != "ExternalName"
        && object::text(service, "/spec/clusterIP") != "None"
    {
        errors.push(wrong("spec.ports", ErrorKind::Required, "", ""));
    }
    if !matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        let detail = "supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"";
        errors.push(wrong("spec.type", ErrorKind::Unsupported, &kind, detail));
    }
    errors.extend(ports(service));
    scene.valid(service, &errors)?;
    object::as_map(service).insert("status".to_owned(), json!({"loadBalancer": {}}));
    if kind != "ExternalName" {
        address(service, scene)?;
    }
    Ok(())
}

pub(super) fn update(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    if object::text(new, "/spec/type") != "ExternalName" {
        let spec = object::map_mut(new, "spec");
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            object::carry_default(&old["spec"], spec, field);
        }
    }
    defaults(new);
    scene.valid(new, &ports(new))?;
    let (before, after) = (object::text(old, "/spec/clusterIP"), object::text(new, "/spec/clusterIP"));
    if !before.is_empty() && before != after && object::text(new, "/spec/type") != "ExternalName" {
        return Err(scene.invalid(
            new,
            &[wrong("spec.clusterIPs[0]", ErrorKind::Invalid, after, "may not change once set")],
        ));
    }
    Ok(())
}

/// What is wrong with the ports of a service, whose defaults are set.
fn ports(service: &Value) -> Vec<FieldError> {
    let ports = object::list(service, "/spec/ports");
    let mut errors = Vec::new();
    let mut names = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = |field: &str| format!("spec.ports[{index}].{field}");
        let number = object::number(port, "/port").unwrap_or_default();
        if !(1..=i64::from(u16::MAX)).contains(&number) {
            let detail = format!("{number} is not between 1 and 65535, inclusive");
            errors.push(wrong(&path("port"), ErrorKind::Invalid, "", &detail));
        }
        let protocol = object::text(port, "/protocol");
        if !matches!(protocol, "SCTP" | "TCP" | "UDP") {
            let detail = "supported values: \"SCTP\", \"TCP\", \"UDP\"";
            errors.push(wrong(&path("protocol"), ErrorKind::Unsupported, protocol, detail));
        }
        let name = object::text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(wrong(&path("name"), ErrorKind::Required, "", ""));
        } else if !name.is_empty() && !names.insert(name) {
            errors.push(wrong(&path("name"), ErrorKind::Duplicate, name, ""));
        }
    }
    errors
}

fn defaults(service: &mut Value) {
    let spec = object::map_mut(service, "spec");
    object::default(spec, "type", "ClusterIP");
    object::default(spec, "sessionAffinity", "None");
    if spec["type"] != "ExternalName" {
        object::default(spec, "internalTrafficPolicy", "Cluster");
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let port = object::as_map(port);
        object::default(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            object::default(port, "targetPort", number);
        }
    }
}

fn address(service: &mut Value, scene: &Scene<'_>) -> Outcome {
    let asked = object::text(service, "/spec/clusterIP").to_owned();
    let taken = taken(scene.objects);
    let address = match asked.as_str() {
        "None" => asked,
        "" => free(&taken).ok_or_else(|| ApiError::internal("no address of the service range is free"))?,
        given if taken.contains(given) => {
            let detail = "failed to allocate IP: provided IP is already allocated";
            return Err(
                scene.invalid(service, &[wrong("spec.clusterIPs", ErrorKind::Invalid, given, detail)])
            );
        }
        _ => asked,
    };
    let spec = object::map_mut(service, "spec");
    spec.insert("clusterIP".to_owned(), address.clone().into());
    spec.insert("clusterIPs".to_owned(), json!([address]));
    object::default(spec, "ipFamilies", json!(["IPv4"]));
    object::default(spec, "ipFamilyPolicy", "SingleStack");
    Ok(())
}

fn taken(objects: &Snapshot) -> HashSet<&str> {
    objects.list("services", None).map(|(_, service)| object::text(service, "/spec/clusterIP")).collect()
}

fn free(taken: &HashSet<&str>) -> Option<String> {
    (FIRST_GIVEN..u16::MAX)
        .map(|low| {
            let [high, low] = low.to_be_bytes();
            Ipv4Addr::new(RANGE[0], RANGE[1], high, low).to_string()
        })
        .find(|address| !taken.contains(address.as_str()))
}

/// The service by which pods find the API server.
pub(crate) fn kubernetes(port: u16) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
            "uid": crate::random::uid(), "creationTimestamp": crate::time::now()},
        "spec": {"clusterIP": SERVICE_ADDRESS.to_string(), "clusterIPs": [SERVICE_ADDRESS.to_string()],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]},
        "status": {"loadBalancer": {}},
    });
    defaults(&mut service);
    service
}
