//! The content of a pod's `/etc/hosts` (Kubernetes: "Adding entries to Pod /etc/hosts with HostAliases").

use std::fmt::Write as _;
use std::net::IpAddr;

use types::corev1::Container;
use types::{Pod, pod};

use crate::hostname::Hostname;

/// Where containers see it.
pub const PATH: &str = "/etc/hosts";

/// How much of the node's own file is copied at the most, in bytes.
pub const MAX_HOST_FILE: u64 = 10 << 20;

/// The first line. Programs, and the conformance tests of Kubernetes, know by it whose file this is.
const MANAGED: &str = "# Kubernetes-managed hosts file.\n";
const MANAGED_HOST_NETWORK: &str = "# Kubernetes-managed hosts file (host network).\n";

const LOCAL: &str = "\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// Whether `container` is given the file: not when it mounts something else there, nor while the pod has no IP.
#[must_use]
pub fn is_mounted(pod: &Pod, container: &Container, pod_ips: &[IpAddr]) -> bool {
    let own = container.volume_mounts.iter().flatten();
    let taken = own.map(|mount| mount.mount_path.trim_end_matches('/')).any(|path| path == PATH);
    !taken && (pod::host_network(pod) || !pod_ips.is_empty())
}

/// The file. A pod on the host's network has the node's own (`node_file`), all others the names of the pod itself;
/// both with the pod's `hostAliases`.
#[must_use]
pub fn content(pod: &Pod, pod_ips: &[IpAddr], hostname: &Hostname, node_file: &str) -> String {
    let mut out = String::new();
    if pod::host_network(pod) {
        out.push_str(MANAGED_HOST_NETWORK);
        out.push_str(node_file);
        if !node_file.is_empty() && !node_file.ends_with('\n') {
            out.push('\n');
        }
    } else {
        out.push_str(MANAGED);
        out.push_str(LOCAL);
        for ip in pod_ips {
            // Writing to a String cannot fail.
            let _ = match hostname.domain.as_str() {
                "" => writeln!(out, "{ip}\t{}", hostname.name),
                _ => writeln!(out, "{ip}\t{}\t{}", hostname.fqdn(), hostname.name),
            };
        }
    }
    let aliases = pod::spec(pod).host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        out.push_str("\n# The pod's hostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        let _ = writeln!(out, "{}\t{names}", alias.ip);
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn files() {
        let pod = |extra: serde_json::Value| -> Pod {
            let mut spec = json!({"containers": [], "subdomain": "s",
                "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]});
            spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "ns"}, "spec": spec}))
                .unwrap()
        };
        let ips = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let own = pod(json!({}));
        expect![[r#"
            # Kubernetes-managed hosts file.
            127.0.0.1	localhost
            ::1	localhost ip6-localhost ip6-loopback
            fe00::0	ip6-localnet
            fe00::0	ip6-mcastprefix
            fe00::1	ip6-allnodes
            fe00::2	ip6-allrouters
            10.0.0.2	web.s.ns.svc.d	web
            fd00::2	web.s.ns.svc.d	web

            # The pod's hostAliases.
            1.2.3.4	a	b
        "#]]
        .assert_eq(&content(&own, &ips, &Hostname::of(&own, "d"), "10.9.9.9 node"));
        let host = pod(json!({"hostNetwork": true, "hostAliases": []}));
        expect![[r#"
            # Kubernetes-managed hosts file (host network).
            10.9.9.9 node
        "#]]
        .assert_eq(&content(&host, &ips, &Hostname::of(&host, "d"), "10.9.9.9 node"));
    }

    #[test]
    fn who_is_given_the_file() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "plain"},
            {"name": "own", "volumeMounts": [{"name": "v", "mountPath": "/etc/hosts/"}]}]}}))
        .unwrap();
        let [plain, own] = pod::regular_containers(&pod) else { panic!() };
        let ips = ["10.0.0.2".parse().unwrap()];
        assert!(is_mounted(&pod, plain, &ips));
        assert!(!is_mounted(&pod, plain, &[]));
        assert!(!is_mounted(&pod, own, &ips));
    }
}
