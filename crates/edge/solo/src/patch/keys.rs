//! Which lists of the API merge, and by what (`x-kubernetes-patch-strategy` and `-merge-key` in its documentation).

/// How a list takes a patch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Strategy {
    /// The patch takes its place.
    Replace,
    /// Items with the same value of this field are the same item.
    By(&'static str),
    /// Equal values are the same item.
    Set,
}

use Strategy::{By, Set};

/// Lists that merge, by the end of their path.
const LISTS: [(&str, Strategy); 32] = [
    ("metadata.ownerReferences", By("uid")),
    ("metadata.finalizers", Set),
    ("spec.containers", By("name")),
    ("spec.initContainers", By("name")),
    ("spec.ephemeralContainers", By("name")),
    ("spec.volumes", By("name")),
    ("spec.imagePullSecrets", By("name")),
    ("spec.hostAliases", By("ip")),
    ("spec.topologySpreadConstraints", By("topologyKey")),
    ("spec.resourceClaims", By("name")),
    ("spec.schedulingGates", By("name")),
    ("containers.ports", By("containerPort")),
    ("initContainers.ports", By("containerPort")),
    ("ephemeralContainers.ports", By("containerPort")),
    ("containers.env", By("name")),
    ("initContainers.env", By("name")),
    ("ephemeralContainers.env", By("name")),
    ("containers.volumeMounts", By("mountPath")),
    ("initContainers.volumeMounts", By("mountPath")),
    ("ephemeralContainers.volumeMounts", By("mountPath")),
    ("containers.volumeDevices", By("devicePath")),
    ("initContainers.volumeDevices", By("devicePath")),
    ("ephemeralContainers.volumeDevices", By("devicePath")),
    ("spec.ports", By("port")),
    ("spec.podCIDRs", Set),
    ("spec.drivers", By("name")),
    ("status.conditions", By("type")),
    ("status.addresses", By("type")),
    ("status.podIPs", By("ip")),
    ("status.hostIPs", By("ip")),
    ("status.resourceClaimStatuses", By("name")),
    ("secrets", By("name")),
];

/// The strategy of the list at `path` of an object of `kind`.
pub(super) fn of(kind: &str, path: &[String]) -> Strategy {
    // These conditions merge only in server-side apply.
    if kind == "CertificateSigningRequest" {
        return if path.len() == 2 && path[0] == "metadata" { in_table(path) } else { Strategy::Replace };
    }
    // A ServiceAccount has these at its top, where they merge.
    if path == ["imagePullSecrets"] && kind == "ServiceAccount" {
        return By("name");
    }
    if path == ["secrets"] && kind != "ServiceAccount" {
        return Strategy::Replace;
    }
    in_table(path)
}

fn in_table(path: &[String]) -> Strategy {
    let ends = |row: &str| {
        let mut parts = path.iter().rev();
        row.rsplit('.').all(|part| parts.next().is_some_and(|last| last == part))
    };
    LISTS.iter().find(|(row, _)| ends(row)).map_or(Strategy::Replace, |(_, strategy)| *strategy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies() {
        for (kind, path, strategy) in [
            ("Pod", "spec.containers", By("name")),
            ("Pod", "spec.containers.ports", By("containerPort")),
            ("Pod", "spec.tolerations", Strategy::Replace),
            ("Pod", "status.containerStatuses", Strategy::Replace),
            ("Pod", "spec.containers.command", Strategy::Replace),
            ("Service", "spec.ports", By("port")),
            ("ServiceAccount", "secrets", By("name")),
            ("Node", "status.conditions", By("type")),
            ("CertificateSigningRequest", "status.conditions", Strategy::Replace),
            ("CertificateSigningRequest", "metadata.finalizers", Set),
        ] {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            assert_eq!(of(kind, &path), strategy, "{kind} {path:?}");
        }
    }
}
