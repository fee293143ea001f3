//! The name that a pod has for itself (Kubernetes: "Pod Hostname").

use types::{Pod, pod};

/// The longest label of a host name.
const MAX_LABEL: usize = 63;
/// The longest name that the kernel takes.
const MAX_KERNEL_NAME: usize = 64;

/// Why a pod cannot have its hostname.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "its fully qualified name {name:?} has {} characters, and the kernel takes 64 at most: shorten the pod's name, its subdomain or its namespace, or leave setHostnameAsFQDN unset",
    name.len()
)]
pub struct HostnameError {
    /// The name.
    pub name: String,
}

/// A pod's host name and its domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hostname {
    /// The name without the domain.
    pub name: String,
    /// The domain; empty when the pod has no subdomain.
    pub domain: String,
}

impl Hostname {
    /// The names of `pod`: its `hostnameOverride`, alone; or its `hostname` or its own name, and its subdomain.
    #[must_use]
    pub fn of(pod: &Pod, cluster_domain: &str) -> Self {
        let spec = pod::spec(pod);
        if let Some(name) = &spec.hostname_override {
            return Self { name: name.clone(), domain: String::new() };
        }
        let own = pod.metadata.name.as_deref().unwrap_or_default();
        let name = spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(own);
        let name = &name[..name.floor_char_boundary(MAX_LABEL)];
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let domain = spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty());
        Self {
            name: name.trim_end_matches(['-', '.']).to_owned(),
            domain: domain.map(|sub| format!("{sub}.{namespace}.svc.{cluster_domain}")).unwrap_or_default(),
        }
    }

    /// The name with its domain.
    #[must_use]
    pub fn fqdn(&self) -> String {
        if self.domain.is_empty() { self.name.clone() } else { format!("{}.{}", self.name, self.domain) }
    }

    /// What `uname -n` says in the pod: the name, or the whole of it with `setHostnameAsFQDN`.
    ///
    /// # Errors
    /// If the whole name is longer than the kernel allows.
    pub fn for_kernel(&self, pod: &Pod) -> Result<String, HostnameError> {
        if pod::spec(pod).set_hostname_as_fqdn != Some(true) {
            return Ok(self.name.clone());
        }
        let name = self.fqdn();
        if name.len() > MAX_KERNEL_NAME { Err(HostnameError { name }) } else { Ok(name) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(name: &str, spec: serde_json::Value) -> (Hostname, Result<String, HostnameError>) {
        let pod =
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns"}, "spec": spec}))
                .unwrap();
        let hostname = Hostname::of(&pod, "cluster.local");
        let kernel = hostname.for_kernel(&pod);
        (hostname, kernel)
    }

    #[test]
    fn names() {
        let long = format!("{}-x", "a".repeat(62));
        for (name, spec, fqdn, kernel) in [
            ("web", json!({"containers": []}), "web", "web"),
            ("web", json!({"containers": [], "hostname": "h"}), "h", "h"),
            ("web", json!({"containers": [], "subdomain": "s"}), "web.s.ns.svc.cluster.local", "web"),
            (
                "web",
                json!({"containers": [], "subdomain": "s", "setHostnameAsFQDN": true}),
                "web.s.ns.svc.cluster.local",
                "web.s.ns.svc.cluster.local",
            ),
            (
                "web",
                json!({"containers": [], "subdomain": "s", "hostname": "h", "hostnameOverride": "o.example"}),
                "o.example",
                "o.example",
            ),
            (&long, json!({"containers": []}), &"a".repeat(62), &"a".repeat(62)),
        ] {
            let (hostname, of_kernel) = of(name, spec);
            assert_eq!(hostname.fqdn(), fqdn);
            assert_eq!(of_kernel.as_deref(), Ok(kernel));
        }
    }

    #[test]
    fn too_long_for_the_kernel() {
        let spec = json!({"containers": [], "subdomain": "s".repeat(60), "setHostnameAsFQDN": true});
        let error = of("web", spec).1.unwrap_err();
        assert!(error.to_string().contains("has 85 characters"), "{error}");
    }
}
