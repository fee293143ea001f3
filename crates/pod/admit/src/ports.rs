//! Host ports: each can be had once.

use types::{ContainerKind, Pod, PodRef, pod};

use crate::{AdmitInput, Reject};

#[derive(Clone, PartialEq, Eq)]
struct HostPort {
    ip: String,
    protocol: String,
    port: i32,
}

impl HostPort {
    fn conflicts(&self, other: &Self) -> bool {
        let anywhere = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || anywhere(&self.ip) || anywhere(&other.ip))
    }
}

pub(crate) fn check(input: &AdmitInput<'_>) -> Result<(), Reject> {
    let wanted = host_ports(input.pod);
    if wanted.is_empty() {
        return Ok(());
    }
    for other in input.others() {
        for taken in host_ports(other) {
            if let Some(port) = wanted.iter().find(|port| port.conflicts(&taken)) {
                let HostPort { port, protocol, .. } = port;
                let why = format!("host port {port}/{protocol} is taken by pod {}", PodRef::of(other));
                return Err(Reject::predicate("NodePorts", why));
            }
        }
    }
    Ok(())
}

/// The ports on the node that the long-running containers of a pod take.
fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let mut all = Vec::new();
    for (kind, container) in pod::containers(pod) {
        if !matches!(kind, ContainerKind::Regular | ContainerKind::Sidecar) {
            continue;
        }
        for port in container.ports.iter().flatten() {
            let Some(number) = port.host_port.filter(|number| *number > 0) else { continue };
            all.push(HostPort {
                ip: port.host_ip.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: number,
            });
        }
    }
    all
}
