//! Ports of the host that lead into a pod.

use cri::v1::{PortMapping, Protocol};
use types::{ContainerKind, Pod, pod};

/// The ports of the pod's containers and sidecars, each once. A pod on the host's network needs none.
#[must_use]
pub fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    if pod::host_network(pod) {
        return Vec::new();
    }
    let sidecars =
        pod::init_containers(pod).iter().filter(|c| ContainerKind::of_init(c) == ContainerKind::Sidecar);
    let containers = sidecars.chain(pod::regular_containers(pod));
    let mut mappings: Vec<PortMapping> = Vec::new();
    for port in containers.flat_map(|container| container.ports.iter().flatten()) {
        let protocol = match port.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        let mapping = PortMapping {
            protocol: protocol.into(),
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or_default(),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        };
        if !mappings.contains(&mapping) {
            mappings.push(mapping);
        }
    }
    mappings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mappings() {
        let mut pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [
                {"name": "init", "ports": [{"containerPort": 1}]},
                {"name": "side", "restartPolicy": "Always", "ports": [{"containerPort": 2, "protocol": "UDP"}]}],
            "containers": [
                {"name": "a", "ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"}]},
                {"name": "b", "ports": [{"containerPort": 2, "protocol": "UDP"}, {"containerPort": 5, "protocol": "SCTP"}]}]}}))
        .unwrap();
        let of = |pod: &Pod| -> Vec<_> {
            let tuple = |m: PortMapping| (m.protocol, m.container_port, m.host_port, m.host_ip);
            port_mappings(pod).into_iter().map(tuple).collect()
        };
        let no_ip = String::new;
        let expected = [(1, 2, 0, no_ip()), (0, 80, 8080, "127.0.0.1".into()), (2, 5, 0, no_ip())];
        assert_eq!(of(&pod), expected);
        pod.spec.as_mut().unwrap().host_network = Some(true);
        assert!(of(&pod).is_empty());
    }
}
