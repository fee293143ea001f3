//! `status.nodeInfo`.

use types::corev1::{NodeSwapStatus, NodeSystemInfo};

use crate::facts::Facts;

/// The node's system information. As long as the runtime has not said who it is, what was said of it before stays.
pub(super) fn node_info(before: Option<&NodeSystemInfo>, facts: &Facts) -> NodeSystemInfo {
    let machine = &facts.machine;
    let runtime = match (&facts.runtime, before) {
        (Some(runtime), _) => format!("{}://{}", runtime.name, runtime.version),
        (None, Some(before)) => before.container_runtime_version.clone(),
        (None, None) => String::new(),
    };
    let swap = i64::try_from(machine.swap_bytes).unwrap_or(i64::MAX);
    NodeSystemInfo {
        architecture: facts.architecture.clone(),
        boot_id: machine.boot_id.clone(),
        container_runtime_version: runtime,
        kernel_version: machine.kernel_version.clone(),
        // No kubelet knows the version of kube-proxy (KEP-4004).
        kube_proxy_version: String::new(),
        kubelet_version: facts.kubelet_version.clone(),
        machine_id: machine.machine_id.clone(),
        operating_system: "linux".to_owned(),
        os_image: machine.os_image.clone(),
        swap: (swap > 0).then_some(NodeSwapStatus { capacity: Some(swap) }),
        system_uuid: machine.system_uuid.clone(),
    }
}
