//! Sysctls that a pod may set (Kubernetes: "Using sysctls in a Kubernetes Cluster").

use types::corev1::Sysctl;
use types::pod;

use crate::{AdmitInput, Reject};

/// Sysctls that do no harm to others, and the kernel from which on they belong to a namespace of the pod's.
const SAFE: [(&str, (u32, u32)); 12] = [
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_wmem", (4, 15)),
];

/// The namespace that holds a sysctl.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Net,
    /// Not known to be held by any.
    None,
}

impl Namespace {
    fn of(name: &str) -> Self {
        if name.starts_with("net.") {
            Self::Net
        } else if name == "kernel.sem"
            || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
        {
            Self::Ipc
        } else {
            Self::None
        }
    }
}

pub(crate) fn check(input: &AdmitInput<'_>) -> Result<(), Reject> {
    let context = pod::spec(input.pod).security_context.as_ref();
    let sysctls = context.and_then(|context| context.sysctls.as_deref()).unwrap_or_default();
    sysctls.iter().try_for_each(|Sysctl { name, .. }| one(input, &dotted(name)))
}

fn one(input: &AdmitInput<'_>, name: &str) -> Result<(), Reject> {
    let forbidden =
        |why: &str| Err(Reject::new("SysctlForbidden", format!("forbidden sysctl: {name:?} {why}")));
    let safe = SAFE.iter().any(|(safe, since)| *safe == name && input.node.kernel >= *since);
    let allowed = input.node.allowed_unsafe_sysctls.iter().any(|pattern| {
        let pattern = dotted(pattern);
        pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
    });
    if !safe && !allowed {
        return forbidden("not allowlisted");
    }
    match Namespace::of(name) {
        Namespace::Net if pod::host_network(input.pod) => forbidden("not allowed with host net enabled"),
        Namespace::Ipc if pod::spec(input.pod).host_ipc.unwrap_or(false) => {
            forbidden("not allowed with host ipc enabled")
        }
        _ => Ok(()),
    }
}

/// A name with dots between its parts: in `net/ipv4/conf/eth0.1/x` slashes do that, and dots are part of a name.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name.as_bytes().get(first) == Some(&b'/') => {
            let swap = |c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            };
            name.chars().map(swap).collect()
        }
        _ => name.to_owned(),
    }
}
