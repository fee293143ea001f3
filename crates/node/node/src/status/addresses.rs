//! `status.addresses`, and what a cloud provider is told of them.

use std::net::IpAddr;

use types::corev1::{NodeAddress, NodeStatus};

use crate::facts::{Addresses, Facts};

/// Sets the node's addresses. With an external cloud provider, addresses that are there are its own and stay.
pub(super) fn set(status: &mut NodeStatus, facts: &Facts) {
    let there = status.addresses.as_ref().is_some_and(|addresses| !addresses.is_empty());
    if facts.addresses.external_cloud && there {
        return;
    }
    let address = |type_: &str, address: String| NodeAddress { type_: type_.to_owned(), address };
    let mut addresses: Vec<NodeAddress> =
        facts.addresses.internal.iter().map(|ip| address("InternalIP", ip.to_string())).collect();
    addresses.push(address("Hostname", facts.name.clone()));
    status.addresses = Some(addresses);
}

/// The value of the annotation `alpha.kubernetes.io/provided-node-ip`, by which an external cloud provider learns which
/// addresses the operator wants; `None` if there is to be none.
#[must_use]
pub fn provided_node_ip(addresses: &Addresses) -> Option<String> {
    let given: Vec<String> = addresses.given.iter().map(IpAddr::to_string).collect();
    (addresses.external_cloud && !given.is_empty()).then(|| given.join(","))
}
