//! Which flags are valid that are no field of the configuration.

use std::net::IpAddr;

use crate::flags::Flags;
use crate::validate::Found;

/// What is wrong with the flags that are no field.
pub(crate) fn flags(flags: &Flags) -> Vec<Found> {
    let mut found = Vec::new();
    let mut wrong = |flag: &str, message: &str| {
        found.push(Found { path: format!("--{flag}"), other: None, message: message.to_owned() });
    };
    if flags.exit_on_lock_contention && flags.lock_file.as_os_str().is_empty() {
        wrong("exit-on-lock-contention", "needs --lock-file");
    }
    if !matches!(flags.cloud_provider.as_str(), "" | "external") {
        wrong("cloud-provider", "must be empty or external: cloud providers are no part of the node agent");
    }
    let addresses: Vec<Option<IpAddr>> = match flags.node_ip.as_str() {
        "" => Vec::new(),
        text => text.split(',').map(|part| part.trim().parse().ok()).collect(),
    };
    match addresses.as_slice() {
        [] | [Some(_)] => {}
        [Some(one), Some(other)] if one.is_ipv4() != other.is_ipv4() => {
            if one.is_unspecified() || other.is_unspecified() {
                wrong("node-ip", "an unspecified address must stand alone");
            }
        }
        _ => wrong("node-ip", "must be one IP address, or one IPv4 and one IPv6 address"),
    }
    for label in flags.node_labels.keys().filter(|label| !may_label(label)) {
        let message = format!("a node may not give itself the label {label}");
        wrong("node-labels", &message);
    }
    found
}

/// Whether the node restriction of the API server lets a node set `label` on itself.
fn may_label(label: &str) -> bool {
    const ALLOWED: [&str; 11] = [
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "node.kubernetes.io/instance-type",
    ];
    let Some((namespace, _)) = label.split_once('/') else { return true };
    let under = |domain: &str| {
        namespace.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    !(under("kubernetes.io") || under("k8s.io"))
        || ALLOWED.contains(&label)
        || under("kubelet.kubernetes.io")
        || under("node.kubernetes.io")
}
