//! Cgroups and files outside the instance's directory.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::containerd::instance::Instance;
use crate::oci::hex;

/// Where the runtime's shims put their sockets: the path is fixed, the name is a hash.
const SHIM_SOCKETS: &str = "/run/containerd/s";

/// Where CNI remembers what it has done for whom.
const CNI_RESULTS: &str = "/var/lib/cni/results";

/// The cgroups of the instance in every hierarchy: its own top cgroup, and those of containers that were started
/// without a parent.
pub(super) fn cgroups(instance: &Instance) -> Vec<PathBuf> {
    let names = [instance.name(), format!("{}.slice", instance.name())];
    let ids = instance.task_ids();
    let mut found = Vec::new();
    // With version 2 the first of these is the only hierarchy; with version 1 each folder in it is one.
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = std::iter::once(top.to_path_buf()).chain(folders(top));
    for hierarchy in hierarchies {
        found.extend(names.iter().map(|name| hierarchy.join(name)));
        found.extend(ids.iter().map(|id| hierarchy.join("k8s.io").join(id)));
    }
    found.retain(|cgroup| cgroup.is_dir());
    // Several names may lead to one hierarchy (`cpu` and `cpu,cpuacct`).
    found.sort();
    found.dedup();
    found
}

/// Removes a cgroup and those in it. The files in a cgroup are not removable and need not be.
pub(super) fn remove_cgroup(cgroup: &Path) {
    for inner in folders(cgroup) {
        remove_cgroup(&inner);
    }
    let _ = std::fs::remove_dir(cgroup);
}

/// The folders in a folder, links not followed.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Where a node agent links its containers' logs, for log collectors: the path is fixed.
const LOG_LINKS: &str = "/var/log/containers";

/// The instance's files in folders that it shares with others.
pub(super) fn outside(instance: &Instance) -> Vec<PathBuf> {
    let ids = instance.task_ids();
    let mut found: Vec<_> =
        ids.iter().map(|id| shim_socket(&instance.socket(), id)).filter(|socket| socket.exists()).collect();
    for entry in std::fs::read_dir(CNI_RESULTS).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let of_network = name.starts_with(&format!("{}-", instance.name()));
        if of_network || ids.iter().any(|id| name.contains(id.as_str())) {
            found.push(entry.path());
        }
    }
    let links = std::fs::read_dir(LOG_LINKS).into_iter().flatten().flatten().map(|entry| entry.path());
    found.extend(
        links.filter(|link| std::fs::read_link(link).is_ok_and(|log| log.starts_with(instance.dir()))),
    );
    found
}

/// The socket of the shim that serves the sandbox: its name is the hash of containerd's address, the namespace and
/// the identifier.
fn shim_socket(containerd: &Path, id: &str) -> PathBuf {
    let key = containerd.join("k8s.io").join(id);
    Path::new(SHIM_SOCKETS).join(hex(&Sha256::digest(key.to_string_lossy().as_bytes())))
}
