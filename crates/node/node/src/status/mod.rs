//! The node's status: what it says of itself (Kubernetes: "Nodes", node status). Pure.
//!
//! [`derive`] goes from the status that the API server has to the one that it should have. What is not the node agent's
//! stays as it is: attached volumes, conditions of others, resources that others advertise, a cloud provider's addresses.

mod addresses;
mod conditions;
mod images;
mod info;
mod resources;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use types::corev1::{
    DaemonEndpoint, NodeDaemonEndpoints, NodeFeatures, NodeRuntimeHandler, NodeRuntimeHandlerFeatures,
    NodeStatus,
};

use crate::facts::Inputs;

pub use addresses::provided_node_ip;
pub(crate) use conditions::OWNED;
pub use resources::is_extended;

/// The status after `before`, at `now`.
#[must_use]
pub fn derive(before: &NodeStatus, inputs: Inputs<'_>, now: Timestamp) -> NodeStatus {
    let mut status = before.clone();
    let facts = inputs.facts;
    addresses::set(&mut status, facts);
    resources::set(&mut status, facts);
    // The API server shows port 0 where none was set.
    let port = DaemonEndpoint { port: i32::from(facts.port) };
    status.daemon_endpoints = Some(NodeDaemonEndpoints { kubelet_endpoint: Some(port) });
    if let Some(listed) = &facts.images {
        status.images = some(images::shown(listed, facts.max_images));
    }
    if let Some(runtime) = &inputs.runtime.status {
        status.runtime_handlers = some(runtime.handlers.iter().map(handler).collect());
        let supplemental_groups_policy = Some(runtime.supplemental_groups_policy);
        status.features = Some(NodeFeatures { supplemental_groups_policy });
    }
    if let Some(in_use) = inputs.in_use {
        status.volumes_in_use = in_use.listed();
    }
    status.declared_features = some(facts.declared_features.clone());
    conditions::set(&mut status, inputs, now);
    // Whether the machine was booted since matters to the conditions, so this comes after them.
    status.node_info = Some(info::node_info(before.node_info.as_ref(), facts));
    status
}

fn handler(handler: &cri::RuntimeHandler) -> NodeRuntimeHandler {
    NodeRuntimeHandler {
        name: Some(handler.name.clone()),
        features: Some(NodeRuntimeHandlerFeatures {
            recursive_read_only_mounts: Some(handler.recursive_read_only_mounts),
            user_namespaces: Some(handler.user_namespaces),
        }),
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
