//! The configuration of a sandbox.

use std::collections::HashMap;

use cri::v1::{LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata};
use types::{Event, Pod, PodRef, pod};

use crate::hostname::Hostname;
use crate::{ConfigError, IdMappings, NodeFacts, dns, labels, logpath, ports, resources, security};

/// Something made, and what the user is to be told about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Built<T> {
    /// What was made.
    pub config: T,
    /// Warnings, such as DNS settings that were cut.
    pub events: Vec<Event>,
}

/// The configuration of the sandbox of `pod`, after `attempt` earlier ones. `cgroup_parent` is the pod's cgroup, in
/// the form of the runtime's driver; empty without `cgroupsPerQOS`. `userns` are the ids of a pod with
/// `hostUsers: false`.
///
/// # Errors
/// If the pod cannot have the hostname that it asks for, or has no ids for its user namespace.
pub fn sandbox_config(
    pod: &Pod,
    attempt: u32,
    facts: &NodeFacts,
    cgroup_parent: &str,
    userns: Option<&IdMappings>,
) -> Result<Built<PodSandboxConfig>, ConfigError> {
    let pod_ref = PodRef::of(pod);
    let (dns_config, events) = dns::pod_dns(pod, facts);
    let hostname = if pod::host_network(pod) {
        String::new()
    } else {
        Hostname::of(pod, &facts.cluster_domain).for_kernel(pod)?
    };
    let (resources, overhead) = resources::sandbox_resources(pod, facts);
    let config = PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod_ref.name.name.to_string(),
            uid: pod_ref.uid.to_string(),
            namespace: pod_ref.name.namespace.to_string(),
            attempt,
        }),
        hostname,
        log_directory: logpath::pod_log_dir(&facts.pod_logs_dir, &pod_ref).to_string_lossy().into_owned(),
        dns_config: Some(dns_config),
        port_mappings: ports::port_mappings(pod),
        labels: labels::sandbox_labels(pod),
        annotations: labels::sandbox_annotations(pod),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent.to_owned(),
            security_context: Some(security::sandbox_context(pod, userns)?),
            sysctls: sysctls(pod),
            overhead: Some(overhead),
            resources: Some(resources),
        }),
        windows: None,
    };
    Ok(Built { config, events })
}

fn sysctls(pod: &Pod) -> HashMap<String, String> {
    let context = pod::spec(pod).security_context.as_ref();
    let all = context.and_then(|context| context.sysctls.as_deref()).unwrap_or_default();
    all.iter().map(|sysctl| (dotted(&sysctl.name), sysctl.value.clone())).collect()
}

/// A sysctl's name with dots between its parts. Written with slashes, a dot belongs to a part (the name of a network
/// interface), and becomes a slash.
fn dotted(name: &str) -> String {
    if name.find(['.', '/']).is_none_or(|at| name.as_bytes()[at] == b'.') {
        return name.to_owned();
    }
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    name.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn sysctl_names() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", "net.ipv4.ip_forward"),
            ("net/ipv4/conf/eth0.1/rp_filter", "net.ipv4.conf.eth0/1.rp_filter"),
            ("net.ipv4.conf.eth0/1.rp_filter", "net.ipv4.conf.eth0/1.rp_filter"),
            ("plain", "plain"),
        ] {
            assert_eq!(dotted(name), expected);
        }
    }
}
