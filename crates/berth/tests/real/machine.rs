//! What the machine itself tells of containers: their processes and cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use types::ContainerId;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Whether the machine has the unified hierarchy.
pub(crate) fn is_v2() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// The processes of a container.
pub(crate) fn processes(container: &ContainerId) -> Vec<u32> {
    let ids = fs::read_dir("/proc").unwrap().flatten();
    let mut pids: Vec<u32> = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.retain(|pid| {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(container.as_str()))
    });
    pids.sort_unstable();
    pids
}

/// The first process of a container with process numbers of its own. It need not have the lowest number: they begin anew.
pub(crate) fn first_process(container: &ContainerId) -> u32 {
    let is_first = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let own = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        own.is_some_and(|numbers| numbers.split_whitespace().last() == Some("1"))
    };
    processes(container).into_iter().find(is_first).expect("a first process")
}

/// The directory of a process' cgroup, on v1 that of `controller`.
pub(crate) fn cgroup(pid: u32, controller: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let found = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let wanted = if is_v2() { "" } else { controller };
        controllers.split(',').any(|name| name == wanted).then(|| path.trim_start_matches('/').to_owned())
    });
    let root = if is_v2() { PathBuf::from(CGROUPS) } else { Path::new(CGROUPS).join(controller) };
    root.join(found.expect("a cgroup"))
}

/// The value of a file of a cgroup, by its names on v1 and v2.
pub(crate) fn limit(cgroup: &Path, v1: &str, v2: &str) -> String {
    let file = cgroup.join(if is_v2() { v2 } else { v1 });
    let read = fs::read_to_string(&file);
    read.unwrap_or_else(|error| panic!("{}: {error}", file.display())).trim().to_owned()
}

/// The cgroups whose name has one of two spellings of a pod's UID.
pub(crate) fn cgroups_naming(systemd: &str, cgroupfs: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(CGROUPS)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(systemd) || name.contains(cgroupfs) {
                found.push(entry.path());
            }
            folders.push(entry.path());
        }
    }
    found
}
